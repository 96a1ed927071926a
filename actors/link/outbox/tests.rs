//! What waits is sent in order, whatever happens on the way, and nothing that must last is lost.

use super::*;
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::MessageType;
use rookery_storage::{Direction, Store};

const ROOMY: Bounds = Bounds {
    memory_stanzas: 100,
    memory_bytes: 100_000,
    stanzas: 1000,
    bytes: 1_000_000,
};

fn pair() -> Pair {
    Pair::new("a.test", "b.test")
}

fn stanza(id: &str) -> Stanza {
    let to = Jid::parse("bob@b.test").expect("a JID");
    Stanza::message(MessageType::Chat).with_to(to).with_id(id)
}

/// An outbox with the disk under it.
struct Desk {
    outbox: Outbox,
    store: Store,
    ticket: u64,
}

impl Desk {
    fn new(bounds: Bounds) -> Desk {
        Desk {
            outbox: Outbox::new(&pair(), bounds),
            store: Store::temporary(),
            ticket: 0,
        }
    }

    /// Takes a stanza in; its frame is on the disk.
    fn take(&mut self, id: &str, lasting: bool) -> Result<(), Full> {
        let mut frame = Frame::new();
        self.ticket += 1;
        let at = (self.ticket, self.ticket);
        self.outbox.take(&stanza(id), lasting, at, &mut frame)?;
        self.write(frame);
        self.outbox.durable(self.ticket);
        Ok(())
    }

    fn write(&self, frame: Frame) {
        if !frame.is_empty() {
            self.store.commit(vec![frame]).expect("it is stored");
        }
    }

    /// Writes all that may be written.
    fn send(&mut self) -> Vec<String> {
        let mut sent = Vec::new();
        loop {
            while let Some(bytes) = self.outbox.next(self.ticket, self.ticket) {
                let stanza = Stanza::parse_stored(bytes).expect("a stanza");
                sent.extend(stanza.id.map(|id| id.to_string()));
            }
            let Some(query) = self.outbox.due() else {
                return sent;
            };
            let rows = query.rows(&self.store).expect("it can be read");
            self.outbox.read(Some(rows));
        }
    }

    fn acked(&mut self, count: usize) {
        let frame = self.outbox.acked(count);
        self.write(frame);
    }

    /// What the disk has.
    fn rows(&self) -> usize {
        let all = self
            .store
            .range(Tree::Outbox, &KeyRange::all(), 9999, Direction::Forward);
        all.expect("it can be read").len()
    }

    /// The server starts again.
    fn restart(&mut self, bounds: Bounds) {
        self.outbox = Outbox::new(&pair(), bounds);
        let rows = Outbox::everything(&pair()).rows(&self.store);
        self.outbox.load(rows.expect("it can be read"));
    }
}

#[test]
fn what_is_acknowledged_is_gone_and_the_rest_is_written_again() {
    let mut desk = Desk::new(ROOMY);
    for id in ["1", "2", "3"] {
        desk.take(id, id != "2").expect("there is room");
    }
    assert_eq!(desk.send(), ["1", "2", "3"]);
    desk.acked(1);
    assert_eq!((desk.rows(), desk.outbox.census()), (1, (2, 1)));
    desk.outbox.broke(true);
    assert_eq!(desk.send(), ["2", "3"]);
    desk.acked(2);
    assert!(desk.outbox.is_empty());
    assert_eq!((desk.rows(), desk.outbox.census()), (0, (0, 0)));
}

#[test]
fn nothing_is_sent_before_it_is_on_the_disk_nor_overtakes_what_waits_for_it() {
    let mut outbox = Outbox::new(&pair(), ROOMY);
    let mut frame = Frame::new();
    outbox.take(&stanza("1"), true, (1, 7), &mut frame).unwrap();
    outbox
        .take(&stanza("2"), false, (1, 0), &mut frame)
        .unwrap();
    assert_eq!(outbox.next(6, 1), None);
    assert!(outbox.next(7, 1).is_some() && outbox.next(7, 1).is_some());
}

#[test]
fn what_the_disk_refuses_waits_no_more() {
    let tight = Bounds {
        memory_stanzas: 1,
        ..ROOMY
    };
    let mut outbox = Outbox::new(&pair(), tight);
    let mut frame = Frame::new();
    outbox.take(&stanza("1"), true, (1, 7), &mut frame).unwrap();
    outbox.take(&stanza("2"), true, (1, 8), &mut frame).unwrap();
    outbox.refused(8);
    assert_eq!(outbox.census(), (1, 1));
    outbox.refused(7);
    assert_eq!(outbox.census(), (0, 0));
    // Nothing of what was beyond memory comes.
    assert!(outbox.due().is_some());
    outbox.read(Some(Vec::new()));
    assert!(outbox.is_empty() && outbox.due().is_none());
}

#[test]
fn memory_has_a_bound_and_order_is_kept_beyond_it() {
    let tight = Bounds {
        memory_stanzas: 3,
        ..ROOMY
    };
    let mut desk = Desk::new(tight);
    let ids: Vec<String> = (0..20).map(|it| it.to_string()).collect();
    for id in &ids[..10] {
        desk.take(id, true).expect("the disk has room");
    }
    assert_eq!(desk.take("x", false), Err(Full), "it would overtake");
    assert!(desk.outbox.waiting.len() <= 3);
    // Half are sent, the line breaks, the server starts again, and more come.
    let sent: Vec<_> = (0..3)
        .filter_map(|_| desk.outbox.next(desk.ticket, 0))
        .collect();
    assert_eq!(sent.len(), 3);
    desk.acked(2);
    desk.restart(tight);
    for id in &ids[10..] {
        desk.take(id, true).expect("the disk has room");
    }
    assert_eq!(desk.outbox.census(), (18, 18));
    let mut all = Vec::new();
    while !desk.outbox.is_empty() {
        all.extend(desk.send());
        let unacked = desk.outbox.unacked();
        assert!(unacked > 0, "it stands still at {all:?}");
        desk.acked(unacked);
    }
    assert_eq!(all, ids[2..]);
    assert_eq!(desk.rows(), 0);
}

#[test]
fn the_disk_has_a_bound_too() {
    let tight = Bounds {
        stanzas: 2,
        ..ROOMY
    };
    let mut desk = Desk::new(tight);
    assert_eq!(desk.take("1", true), Ok(()));
    assert_eq!(desk.take("2", true), Ok(()));
    assert_eq!(desk.take("3", true), Err(Full));
    desk.send();
    desk.acked(1);
    assert_eq!(desk.take("3", true), Ok(()));
    let size = stanza("1").to_bytes().len();
    let mut desk = Desk::new(Bounds {
        bytes: size * 2,
        ..ROOMY
    });
    assert_eq!(desk.take("1", true), Ok(()));
    desk.restart(desk.outbox.bounds);
    assert_eq!(desk.take("2", true), Ok(()));
    assert_eq!(desk.take("3", true), Err(Full));
}

#[test]
fn who_does_not_acknowledge_has_what_stayed_written() {
    let mut desk = Desk::new(ROOMY);
    desk.take("1", true).expect("there is room");
    desk.take("2", false).expect("there is room");
    assert_eq!(desk.send(), ["1", "2"]);
    let written = desk.ticket;
    let frame = desk.outbox.settled(written);
    assert!(frame.is_empty(), "too early");
    desk.outbox.broke(false);
    assert_eq!(desk.send(), ["1"], "what need not last may have arrived");
    let frame = desk.outbox.settled(written + 1);
    desk.write(frame);
    assert!(desk.outbox.is_empty());
    assert_eq!(desk.rows(), 0);
}

#[test]
fn what_is_given_up_is_on_the_disk_until_its_sender_knows() {
    let mut desk = Desk::new(ROOMY);
    desk.take("1", true).expect("there is room");
    desk.take("2", false).expect("there is room");
    desk.take("3", true).expect("there is room");
    let passing = desk.outbox.give_up(|it| it.number.is_none());
    assert_eq!(passing.len(), 1);
    assert!(desk.outbox.done(passing).is_empty());
    assert_eq!(desk.outbox.oldest(), Some(1));
    let old = desk.outbox.give_up(|it| it.since <= 1);
    assert_eq!((old.len(), desk.rows()), (1, 2));
    let frame = desk.outbox.done(old);
    desk.write(frame);
    assert_eq!(desk.rows(), 1);
    assert_eq!(desk.send(), ["3"]);
}

#[test]
fn pairs_do_not_meet() {
    let mut desk = Desk::new(ROOMY);
    desk.take("1", true).expect("there is room");
    let longer = Pair {
        to: "b.test.more".into(),
        ..pair()
    };
    let rows = Outbox::everything(&longer).rows(&desk.store);
    assert!(rows.expect("it can be read").is_empty());
    let key = desk.outbox.key(7);
    assert_eq!(pair_in(&key), Some(pair()));
    assert!(!behind(&pair()).contains(&key));
    let theirs = Outbox::new(&longer, ROOMY).key(0);
    assert!(behind(&pair()).contains(&theirs));
}

fn ids(numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|it| it.to_string()).collect()
}

impl Desk {
    /// A line with a session that can be resumed.
    fn begin(&mut self, tag: u32) {
        let frame = self.outbox.begin("id".into(), tag);
        assert!(!frame.is_empty());
        self.write(frame);
    }

    /// It goes on, and the other server had so many.
    fn resume(&mut self, h: u32) {
        let gone = self.outbox.had(h);
        self.write(gone);
        let frame = self.outbox.resume(h);
        self.write(frame);
    }
}

#[test]
fn what_the_other_server_had_is_not_written_again() {
    let mut desk = Desk::new(ROOMY);
    desk.take("1", true).expect("there is room");
    desk.begin(7);
    for (id, lasting) in [("2", false), ("3", true), ("4", false), ("5", true)] {
        desk.take(id, lasting).expect("there is room");
    }
    assert_eq!(desk.send(), ids(1..=5));
    desk.acked(1);
    desk.outbox.broke(true);
    desk.take("6", true).expect("there is room");
    desk.resume(3);
    assert_eq!(desk.outbox.sent(), Some(3));
    assert_eq!(desk.send(), ids(4..=6));
    assert_eq!(desk.outbox.sent(), Some(6));
    // And once more.
    desk.acked(1);
    desk.outbox.broke(true);
    desk.resume(6);
    assert!(desk.outbox.is_empty());
    assert_eq!(desk.rows(), 1, "the session itself");
    let frame = desk.outbox.end();
    desk.write(frame);
    assert_eq!((desk.rows(), desk.outbox.earlier()), (0, None));
}

#[test]
fn what_the_other_server_had_is_known_in_the_next_life() {
    // What it says it had, and what is written again then.
    for (h, again) in [(0, 1), (1, 3), (2, 3), (4, 5), (5, 6)] {
        let mut desk = Desk::new(ROOMY);
        desk.take("1", true).expect("there is room");
        desk.begin(7);
        for (id, lasting) in [("2", false), ("3", true), ("4", false), ("5", true)] {
            desk.take(id, lasting).expect("there is room");
        }
        assert_eq!(desk.send(), ids(1..=5));
        desk.take("6", true).expect("there is room");
        desk.restart(ROOMY);
        assert_eq!(desk.outbox.earlier().as_deref(), Some("id"));
        assert_eq!(desk.outbox.sent(), None);
        desk.take("7", true).expect("there is room");
        desk.resume(h);
        // What need not last is lost with the server.
        let lasting = [1, 3, 5, 6, 7].into_iter().filter(|it| *it >= again);
        let lasting: Vec<String> = lasting.map(|it| it.to_string()).collect();
        assert_eq!(desk.send(), lasting, "of {h}");
        // It dies again: what has new places now is found by them.
        desk.restart(ROOMY);
        desk.resume(h + lasting.len() as u32 - 1);
        assert_eq!(desk.send(), ["7"], "of {h}");
    }
}

/// A place on the disk may be too high, never too low: better twice than not at all.
#[test]
fn what_was_given_up_on_the_way_makes_nothing_lost() {
    let mut desk = Desk::new(ROOMY);
    desk.begin(7);
    desk.take("1", true).expect("there is room");
    desk.take("2", false).expect("there is room");
    desk.take("3", true).expect("there is room");
    desk.take("4", true).expect("there is room");
    let passing = desk.outbox.give_up(|it| it.number.is_none());
    desk.outbox.done(passing);
    assert_eq!(desk.send(), ["1", "3", "4"]);
    desk.restart(ROOMY);
    desk.resume(2);
    assert_eq!(desk.send(), ["3", "4"]);
    // In one life it is exact.
    let mut desk = Desk::new(ROOMY);
    desk.begin(7);
    desk.take("1", true).expect("there is room");
    desk.take("2", false).expect("there is room");
    desk.take("3", true).expect("there is room");
    let passing = desk.outbox.give_up(|it| it.number.is_none());
    desk.outbox.done(passing);
    desk.take("4", true).expect("there is room");
    assert_eq!(desk.send(), ["1", "3", "4"]);
    desk.outbox.broke(true);
    desk.resume(2);
    assert_eq!(desk.send(), ["4"]);
}

#[test]
fn another_session_means_nothing_to_places_of_the_one_before() {
    let mut desk = Desk::new(ROOMY);
    desk.begin(7);
    for id in ids(1..=3) {
        desk.take(&id, true).expect("there is room");
    }
    assert_eq!(desk.send(), ids(1..=3));
    desk.outbox.broke(true);
    // It was not resumed, and began anew.
    desk.begin(8);
    desk.restart(ROOMY);
    desk.resume(1);
    assert_eq!(desk.send(), ids(2..=3));
}

/// What is read when its turn comes has its place among the rest.
#[test]
fn beyond_memory_nothing_is_taken_for_what_it_is_not() {
    let tight = Bounds {
        memory_stanzas: 2,
        ..ROOMY
    };
    let mut desk = Desk::new(tight);
    desk.begin(7);
    for id in ids(1..=6) {
        desk.take(&id, true).expect("the disk has room");
    }
    assert_eq!(desk.outbox.next(desk.ticket, 1).map(|_| ()), Some(()));
    assert_eq!(desk.outbox.next(desk.ticket, 1).map(|_| ()), Some(()));
    desk.acked(2);
    let query = desk.outbox.due().expect("there is more");
    let rows = query.rows(&desk.store).expect("it can be read");
    desk.outbox.read(Some(rows));
    desk.take("7", true).expect("the disk has room");
    desk.outbox.next(desk.ticket, 1).expect("the third");
    desk.outbox.broke(true);
    desk.resume(3);
    let mut rest = Vec::new();
    while !desk.outbox.is_empty() {
        rest.extend(desk.send());
        desk.acked(desk.outbox.unacked());
    }
    assert_eq!(rest, ids(4..=7));
}

/// If this fails, the rows on every disk out there can no longer be read: raise the version.
#[test]
fn a_row_of_before_is_read() {
    let row = decode(&[1, 5, 2, 60, 62]).expect("a row");
    assert_eq!(
        (row.since, &row.stanza[..], row.place),
        (5, &b"<>"[..], None)
    );
    let golden = [2, 5, 2, 60, 62, 1, 7, 9];
    let row = decode(&golden).expect("a row");
    assert_eq!(record::encode(&row).as_deref(), Ok(&golden[..]));
}
