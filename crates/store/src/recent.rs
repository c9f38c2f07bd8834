//! A bounded memory of recently used values: two generations, so that remembering, finding and forgetting are each one
//! step and what is used stays.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Holds at least the `capacity / 2` values used last and at most `capacity`.
#[derive(Debug)]
pub struct Recent<K, V> {
    generations: Mutex<Generations<K, V>>,
    half: usize,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash + Copy, V: Clone> Recent<K, V> {
    /// `capacity` of at least 2.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let generations = Mutex::new(Generations { young: HashMap::new(), old: HashMap::new() });
        Self { generations, half: capacity / 2 }
    }

    pub fn get(&self, key: K) -> Option<V> {
        self.look(key, V::clone)
    }

    /// What `look` gives of the value of `key`, if it is remembered.
    pub fn look<R>(&self, key: K, look: impl FnOnce(&V) -> R) -> Option<R> {
        let mut all = lock(&self.generations);
        if let Some(value) = all.young.get(&key) {
            return Some(look(value));
        }
        let value = all.old.remove(&key)?;
        let looked = look(&value);
        self.put(&mut all, key, value);
        Some(looked)
    }

    pub fn insert(&self, key: K, value: V) {
        let mut all = lock(&self.generations);
        all.old.remove(&key);
        self.put(&mut all, key, value);
    }

    /// Changes the value of `key`, made by `fresh` when it is not remembered, and gives what `change` gives.
    pub fn update<R>(&self, key: K, fresh: impl FnOnce() -> V, change: impl FnOnce(&mut V) -> R) -> R {
        let mut all = lock(&self.generations);
        let mut value = match all.young.remove(&key).or_else(|| all.old.remove(&key)) {
            Some(value) => value,
            None => fresh(),
        };
        let result = change(&mut value);
        self.put(&mut all, key, value);
        result
    }

    pub fn take(&self, key: K) -> Option<V> {
        let mut all = lock(&self.generations);
        all.young.remove(&key).or_else(|| all.old.remove(&key))
    }

    pub fn clear(&self) {
        let mut all = lock(&self.generations);
        all.young.clear();
        all.old.clear();
    }

    fn put(&self, all: &mut Generations<K, V>, key: K, value: V) {
        if all.young.len() >= self.half {
            all.old = std::mem::take(&mut all.young);
        }
        all.young.insert(key, value);
    }
}

/// The maps stay whole whatever panicked while they were locked: each change is one step.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_used_and_never_grows_beyond_its_bound() {
        let recent = Recent::new(8);
        for number in 0..1_000_u32 {
            recent.insert(number, number);
            assert_eq!(recent.get(0), Some(0), "used at every step");
            let all = lock(&recent.generations);
            assert!(all.young.len() + all.old.len() <= 8);
        }
        assert_eq!(recent.get(999), Some(999));
        assert_eq!(recent.get(500), None);
        assert_eq!(recent.update(999, || 0, |value| std::mem::replace(value, 7)), 999);
        assert_eq!(recent.take(999), Some(7));
        assert_eq!(recent.get(999), None);
        recent.clear();
        assert_eq!(recent.look(0, |value| *value), None);
    }
}
