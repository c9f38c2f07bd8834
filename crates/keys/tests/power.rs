//! Power goes at every step of writing, and what was not durable is lost, half there or rubbish. Whatever the disk then
//! holds, the watch starts, goes on with the right order on the right screen, and pays once.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};

use nodpay_core::PublicKey;
use nodpay_keys::storage::{Disk, Storage};
use nodpay_protocol::{SignError, Signer, SoftwareKey};
use nodpay_testkit::cny;
use nodpay_watch::view::{EndKind, Screen, UserAction};
use nodpay_watch::{KeyStore, KeyStoreError};

// The world of the agent's own tests: each test program uses a part of it.
#[allow(dead_code)]
#[path = "../../watch/tests/agent/weather.rs"]
mod weather;
#[allow(dead_code)]
#[path = "../../watch/tests/agent/world.rs"]
mod world;

use world::{Flash, Plan, TestKeys, World};

const JOURNAL: &str = "journal.json";
const KEY: &str = "key";

/// What becomes of bytes that were not durable.
type Damage = fn(&[u8]) -> Vec<u8>;
type Names = BTreeMap<String, usize>;
/// What can be read: content by name.
type Image = BTreeMap<String, Vec<u8>>;

#[derive(Debug)]
struct Content {
    written: Vec<u8>,
    synced: bool,
}

/// A disk that keeps what POSIX promises and nothing more: of a file what was there at its last fsync, of the folder what
/// was there at its last fsync or at any moment since.
#[derive(Debug, Default)]
struct Platter {
    contents: Vec<Content>,
    names: Names,
    /// Since the folder's last fsync, that one first.
    folders: Vec<Names>,
    steps: usize,
    /// The power goes after this step.
    cut_after: Option<usize>,
    off: bool,
    /// An fsync of a file does nothing, as if it had been forgotten.
    careless: bool,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Power(Arc<Mutex<Platter>>);

impl Power {
    fn new(image: &Image) -> Self {
        let mut platter = Platter::default();
        platter.load(image);
        Self(Arc::new(Mutex::new(platter)))
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().expect("whole")
    }

    fn storage(&self) -> Storage {
        Storage::on(Box::new(self.clone()), Path::new("the watch"))
    }

    fn step<T>(&self, step: impl FnOnce(&mut Platter) -> T) -> io::Result<T> {
        let platter = &mut *self.platter();
        if platter.off {
            return Err(io::Error::other("no power"));
        }
        let done = step(platter);
        platter.steps += 1;
        platter.off = platter.cut_after == Some(platter.steps);
        if platter.off { Err(io::Error::other("the power went")) } else { Ok(done) }
    }
}

impl Platter {
    /// Durable and whole.
    fn load(&mut self, image: &Image) {
        self.contents = image.values().map(|bytes| Content { written: bytes.clone(), synced: true }).collect();
        self.names = image.keys().cloned().zip(0..).collect();
        self.folders = vec![self.names.clone()];
        self.off = false;
    }

    fn moved(&mut self) {
        self.folders.push(self.names.clone());
    }

    /// All that may be found after a power cut now.
    fn images(&self) -> Vec<Image> {
        let damages: [Damage; 7] = [
            |bytes| bytes.to_vec(),
            |_| Vec::new(),
            |bytes| bytes[..1.min(bytes.len())].to_vec(),
            |bytes| bytes[..bytes.len() / 2].to_vec(),
            |bytes| bytes[..bytes.len().saturating_sub(1)].to_vec(),
            |bytes| vec![0; bytes.len()],
            |bytes| [&bytes[..bytes.len() / 2], &vec![0xA5; bytes.len() - bytes.len() / 2]].concat(),
        ];
        let read = |names: &Names, damage: Damage| {
            let content = |index: usize| {
                let content = &self.contents[index];
                if content.synced { content.written.clone() } else { damage(&content.written) }
            };
            names.iter().map(|(name, index)| (name.clone(), content(*index))).collect::<Image>()
        };
        let images = self.folders.iter().flat_map(|names| damages.map(|damage| read(names, damage)));
        images.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl Disk for Power {
    fn read(&self, name: &str, _limit: u64) -> io::Result<Option<Vec<u8>>> {
        let platter = self.platter();
        Ok(platter.names.get(name).map(|index| platter.contents[*index].written.clone()))
    }

    fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.step(|platter| {
            assert!(!platter.names.contains_key(name), "{name} is there already");
            platter.contents.push(Content { written: bytes.to_vec(), synced: false });
            platter.names.insert(name.to_owned(), platter.contents.len() - 1);
            platter.bytes += bytes.len();
            platter.moved();
        })
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.step(|platter| {
            let index = platter.names[name];
            platter.contents[index].synced = !platter.careless;
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.step(|platter| {
            let index = platter.names.remove(from).expect("there");
            platter.names.insert(to.to_owned(), index);
            platter.moved();
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step(|platter| {
            platter.names.remove(name);
            platter.moved();
        })
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.step(|platter| platter.folders = vec![platter.names.clone()])
    }
}

/// What a file may hold after the power went somewhere in replacing `one` by `two`; `done`: after that was reported done.
fn found(careless: bool, done: bool) -> BTreeSet<Vec<u8>> {
    let old = Image::from([(JOURNAL.to_owned(), b"one".to_vec())]);
    let mut found = BTreeSet::new();
    for cut in 1.. {
        let power = Power::new(&old);
        power.platter().careless = careless;
        power.platter().cut_after = Some(cut);
        let over = power.storage().replace(JOURNAL, b"two").is_ok();
        if over == done {
            let images = power.platter().images();
            found.extend(images.into_iter().map(|image| image[JOURNAL].clone()));
        }
        if over {
            break;
        }
    }
    found
}

#[test]
fn a_file_is_the_old_one_or_the_new_one_and_after_success_the_new_one() {
    let (one, two) = (b"one".to_vec(), b"two".to_vec());
    assert_eq!(found(false, false), BTreeSet::from([one, two.clone()]));
    assert_eq!(found(false, true), BTreeSet::from([two]));
    assert!(found(true, true).len() > 2, "the disk of this test punishes a missing fsync");
}

/// Journal and key on a disk whose power goes once.
struct Device {
    power: Power,
    keys: TestKeys,
    /// Which of the images that may be found is found.
    choice: usize,
    /// How many there were.
    choices: Rc<RefCell<usize>>,
}

impl Flash for Device {
    fn save(&mut self, journal: &[u8]) {
        // A failed write is for the runtime to end on; here the power is gone.
        let saved = self.power.storage().replace(JOURNAL, journal);
        assert_eq!(saved.is_err(), self.is_off());
    }

    fn is_off(&self) -> bool {
        self.power.platter().off
    }

    fn boot(&mut self) -> (Option<Vec<u8>>, Box<dyn KeyStore>) {
        if self.is_off() {
            let images = self.power.platter().images();
            *self.choices.borrow_mut() = images.len();
            let mut platter = self.power.platter();
            platter.load(&images[self.choice]);
            platter.cut_after = None;
        }
        let storage = self.power.storage();
        let journal = storage.read(JOURNAL).expect("reads");
        let secret = storage.read(KEY).expect("reads").expect("a key");
        *self.keys.0.borrow_mut() = key(secret.as_slice().try_into().expect("a whole key"));
        (journal, Box::new(Keys { storage, key: self.keys.clone() }))
    }
}

fn key(secret: &[u8; 32]) -> SoftwareKey {
    SoftwareKey::from_secret(secret).expect("a scalar")
}

/// A key in a file, replaced as `file::FileKeys` replaces its own.
struct Keys {
    storage: Storage,
    key: TestKeys,
}

impl Signer for Keys {
    fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        self.key.sign(message)
    }
}

impl KeyStore for Keys {
    fn renew(&mut self, secret: &[u8; 32]) -> Result<PublicKey, KeyStoreError> {
        self.storage.replace(KEY, secret).map_err(|error| KeyStoreError(error.to_string()))?;
        *self.key.0.borrow_mut() = key(secret);
        Ok(self.public_key())
    }
}

struct Told {
    world: World,
    power: Power,
    choices: usize,
}

/// From a new watch to the home screen after a paid order.
fn story(cut_after: Option<usize>, choice: usize) -> Told {
    let secret = [200; 32];
    let power = Power::new(&Image::from([(KEY.to_owned(), secret.to_vec())]));
    power.platter().cut_after = cut_after;
    let keys = TestKeys(Rc::new(RefCell::new(key(&secret))));
    let choices = Rc::new(RefCell::new(0));
    let device = Device { power: power.clone(), keys: keys.clone(), choice, choices: Rc::clone(&choices) };
    let mut world = World::on(keys, Some(Box::new(device)));
    world.plan = Plan::Approve { struck: vec!["3"] };
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    world.settle();
    let ended = world.screen();
    world.reboot();
    world.settle();
    assert_eq!(world.screen(), ended, "the same screen after a reboot");
    world.finished = true;
    world.user(UserAction::Done);
    if matches!(world.screen(), Screen::Ended(_)) {
        // The power went before that was in the journal.
        world.user(UserAction::Done);
    }
    world.settle();
    let choices = *choices.borrow();
    Told { world, power, choices }
}

#[test]
fn a_payment_survives_a_power_cut_at_every_step_of_every_write() {
    let undisturbed = story(None, 0);
    let steps = undisturbed.power.platter().steps;
    assert!(steps > 40, "{steps}");
    let mut stories = 0;
    for cut in 1..=steps {
        let mut choice = 0;
        loop {
            let Told { world, choices, .. } = story(Some(cut), choice);
            let label = format!("after step {cut}, image {choice} of {choices}");
            assert!(world.crashed, "{label}");
            assert!(matches!(world.screen(), Screen::Home { .. }), "{label}: {:?}", world.screen());
            let paid = |screen: &Screen| matches!(screen, Screen::Ended(ending) if (ending.kind, ending.total) == (EndKind::Paid, cny(2950)));
            assert!(world.screens.iter().any(paid), "{label}");
            let service = &world.service;
            let seen = (service.seen_orders.len(), service.seen_payments.len(), service.seen_results.len());
            assert_eq!(seen, (1, 1, 1), "{label}");
            assert_eq!(service.balance, 5_000 - 2_950, "{label}");
            stories += 1;
            choice += 1;
            if choice >= choices {
                break;
            }
        }
    }
    eprintln!("{stories} power cuts in {steps} steps");
    assert!(stories > steps * 2, "{stories} of {steps} steps");
}
