//! Equal statements of requests that share a transaction, as one statement over arrays: what a statement costs by itself
//! (starting it, reading its table's checks, ending it) is then paid once, and each row costs little more than itself.
//!
//! Only text and order here; whoever sends it is [`super::Link`].

use tokio_postgres::types::Type;

/// Numbers statements by what they may be sent together with: equal ones of all requests make one group, where that keeps
/// each request's own statements in their order. An update stands once a request in its group, so that no row is changed
/// twice by one statement. `statements` are the requests' numbers and texts, each request's together; gives the groups'
/// members in the order to send them.
pub(super) fn groups<'a>(statements: impl Iterator<Item = (usize, &'a str)>) -> Vec<Vec<usize>> {
    struct Group<'a> {
        sql: &'a str,
        kind: Option<Kind>,
        /// Of the last member.
        request: usize,
        members: Vec<usize>,
    }
    let mut groups: Vec<Group<'_>> = Vec::new();
    // Where the request's last statement is.
    let mut last: Option<(usize, usize)> = None;
    for (member, (request, sql)) in statements.enumerate() {
        let place = last.filter(|(of, _)| *of == request).map(|(_, place)| place);
        let may_join = |group: &Group<'_>| match group.kind {
            Some(Kind::Insert) => group.sql == sql,
            Some(Kind::Update) => group.sql == sql && group.request != request,
            None => false,
        };
        let from = place.unwrap_or(0);
        let known = groups.iter().skip(from).position(may_join).map(|steps| from + steps);
        let place = known.unwrap_or_else(|| {
            let new = place.map_or(0, |place| place + 1);
            groups.insert(new, Group { sql, kind: kind(sql), request, members: Vec::new() });
            new
        });
        if let Some(group) = groups.get_mut(place) {
            group.request = request;
            group.members.push(member);
        }
        last = Some((request, place));
    }
    groups.into_iter().map(|group| group.members).collect()
}

/// As [`groups`], for reads, whose order does not matter but for the locks: they come first, and theirs stays.
pub(super) fn read_groups<'a>(questions: impl Iterator<Item = &'a str>) -> Vec<Vec<usize>> {
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    for (member, sql) in questions.enumerate() {
        match groups.iter_mut().find(|(known, _)| *known == sql) {
            Some((_, members)) => members.push(member),
            None => groups.push((sql, vec![member])),
        }
    }
    groups.sort_by_key(|(sql, _)| !sql.ends_with("FOR UPDATE"));
    groups.into_iter().map(|(_, members)| members).collect()
}

#[derive(Clone, Copy)]
enum Kind {
    Insert,
    /// Or a deletion.
    Update,
}

/// The kinds of statements that can be written over arrays: plain values, or one condition on one table.
fn kind(sql: &str) -> Option<Kind> {
    if sql.starts_with("INSERT INTO ") {
        return parts_of_insert(sql).map(|_| Kind::Insert);
    }
    let rest = sql.strip_prefix("UPDATE ").or_else(|| sql.strip_prefix("DELETE FROM "))?;
    let (set, condition) = rest.split_once("WHERE ")?;
    let plain = |part: &str| !["SELECT", "FROM", "WHERE"].iter().any(|word| part.contains(word));
    (plain(set) && plain(condition)).then_some(Kind::Update)
}

/// Before the values, the values, and after them.
fn parts_of_insert(sql: &str) -> Option<(&str, &str, &str)> {
    let (head, rest) = sql.split_once("VALUES (")?;
    let (values, tail) = rest.split_once(')')?;
    (!values.contains('(') && !tail.contains('?')).then_some((head, values, tail))
}

/// A write over arrays of its parameters, which have these types. Text of PostgreSQL.
pub(super) fn write(sql: &str, types: &[Type]) -> String {
    let arrays = arrays(types);
    match parts_of_insert(sql) {
        Some((head, values, tail)) if sql.starts_with("INSERT") => {
            format!("{head}SELECT {} FROM {arrays} AS v({}){tail}", columns(values), names(types))
        }
        Some(_) | None => match sql.split_once("WHERE ") {
            Some((set, condition)) => {
                let (set, condition) = (columns(set.trim_end()), columns(condition));
                let from = if sql.starts_with("DELETE") { "USING" } else { "FROM" };
                format!("{set} {from} {arrays} AS v({}) WHERE {condition}", names(types))
            }
            // Of no kind that is grouped.
            None => sql.to_owned(),
        },
    }
}

/// A read over arrays: the rows found for each, and after their columns the number of the one that they are of, from 1.
pub(super) fn read(sql: &str, types: &[Type]) -> String {
    match sql.strip_prefix("SELECT ") {
        // Nothing else is asked without a key: the next number of a sequence.
        Some(number) if types.is_empty() => {
            format!("SELECT {number}, v.i FROM generate_series(1, $1::bigint) AS v(i)")
        }
        // OFFSET keeps it apart from the arrays: planned as it is for one, and run once for each, in their order.
        Some(_) | None => format!(
            "SELECT q.*, v.i FROM {} WITH ORDINALITY AS v({}, i) CROSS JOIN LATERAL ({} OFFSET 0) AS q",
            arrays(types),
            names(types),
            columns(sql),
        ),
    }
}

fn arrays(types: &[Type]) -> String {
    let arrays: Vec<_> = (1..).zip(types).map(|(number, kind)| format!("${number}::{}[]", kind.name())).collect();
    format!("unnest({})", arrays.join(", "))
}

fn names(types: &[Type]) -> String {
    let names: Vec<_> = (1..=types.len()).map(|number| format!("c{number}")).collect();
    names.join(", ")
}

fn columns(sql: &str) -> String {
    sql.replace('?', "v.c")
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSERT: &str = "INSERT INTO t (a, b) VALUES (?1, ?2)";
    const UPDATE: &str = "UPDATE t SET a = ?2 WHERE k = ?1";
    const OTHER: &str = "UPDATE u SET a = ?2 WHERE k = ?1";
    const DELETE: &str = "DELETE FROM t WHERE k = ?1";
    const SINGLE: &str = "DELETE FROM t WHERE k IN (SELECT k FROM u WHERE a = ?1)";

    fn grouped(statements: &[(usize, &'static str)]) -> Vec<Vec<usize>> {
        groups(statements.iter().copied())
    }

    #[test]
    fn equal_statements_stand_together() {
        let of_two = [(0, INSERT), (0, UPDATE), (1, INSERT), (1, UPDATE)];
        assert_eq!(grouped(&of_two), [[0, 2], [1, 3]]);
        // Rows of one request may be inserted at once, but a row is not changed twice.
        let twice = [(0, INSERT), (0, INSERT), (0, UPDATE), (0, UPDATE), (1, UPDATE), (1, UPDATE)];
        assert_eq!(grouped(&twice), [vec![0, 1], vec![2, 4], vec![3, 5]]);
        assert_eq!(grouped(&[(0, SINGLE), (1, SINGLE)]), [[1], [0]]);
    }

    #[test]
    fn each_request_keeps_its_order() {
        let crossed = [(0, UPDATE), (0, OTHER), (1, OTHER), (1, UPDATE), (2, INSERT), (2, OTHER), (2, INSERT)];
        let groups = grouped(&crossed);
        assert_eq!(groups, [vec![4], vec![0], vec![1, 2, 5], vec![6], vec![3]]);
        let place = |member| groups.iter().position(|group| group.contains(&member)).expect("it is in a group");
        for (before, after) in [(0, 1), (2, 3), (4, 5), (5, 6)] {
            assert!(place(before) <= place(after), "{before} before {after} in {groups:?}");
        }
    }

    #[test]
    fn locks_are_asked_first_and_keep_their_order() {
        let lock = "SELECT a FROM t WHERE k = ?1 FOR UPDATE";
        let read = "SELECT a FROM u WHERE k = ?1";
        assert_eq!(read_groups([read, lock, read, lock].into_iter()), [[1, 3], [0, 2]]);
    }

    #[test]
    fn statements_over_arrays() {
        let types = [Type::INT8, Type::BYTEA];
        let rows = "FROM unnest($1::int8[], $2::bytea[]) AS v(c1, c2)";
        assert_eq!(write(INSERT, &types), format!("INSERT INTO t (a, b) SELECT v.c1, v.c2 {rows}"));
        let once = "INSERT INTO t (a, b, c) VALUES (?1, 'x', ?2) ON CONFLICT (a) DO NOTHING";
        let wanted = format!("INSERT INTO t (a, b, c) SELECT v.c1, 'x', v.c2 {rows} ON CONFLICT (a) DO NOTHING");
        assert_eq!(write(once, &types), wanted);
        assert_eq!(write(UPDATE, &types), format!("UPDATE t SET a = v.c2 {rows} WHERE k = v.c1"));
        let wanted = "DELETE FROM t USING unnest($1::int8[]) AS v(c1) WHERE k = v.c1";
        assert_eq!(write(DELETE, &[Type::INT8]), wanted);
        let wanted = "SELECT q.*, v.i FROM unnest($1::int8[]) WITH ORDINALITY AS v(c1, i) \
                      CROSS JOIN LATERAL (SELECT a FROM t WHERE k = v.c1 FOR UPDATE OFFSET 0) AS q";
        assert_eq!(read("SELECT a FROM t WHERE k = ?1 FOR UPDATE", &[Type::INT8]), wanted);
    }

    #[test]
    fn what_is_no_plain_write_stays_single() {
        for sql in [
            SINGLE,
            "INSERT INTO t (a) SELECT ?1",
            "INSERT INTO t (a) VALUES (coalesce(?1, 0))",
            "INSERT INTO t (a) VALUES (?1) ON CONFLICT (a) DO UPDATE SET a = ?1",
            "UPDATE t SET a = 1 WHERE k IN (SELECT k FROM u WHERE b = ?1)",
        ] {
            assert!(kind(sql).is_none(), "{sql}");
        }
    }
}
