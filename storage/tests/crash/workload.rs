//! The numbered frames of which every crash test commits a beginning.
//!
//! What frame `n` does depends on `n` alone, and one of its rows counts the frames. So a store
//! tells how many frames it holds, and everything else in it follows: a lost, half or doubled
//! frame shows.

use std::collections::BTreeMap;

use rookery_storage::{Direction, Frame, Key, KeyRange, StampKey, Store, Tree};

/// A row that counts the frames.
const COUNT: &[u8] = b"frames";

/// Random numbers from a seed (splitmix64).
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn bytes(n: u64, len: usize) -> Vec<u8> {
    let mut dice = Dice(n);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&dice.next().to_be_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Mostly a message, sometimes a long one, seldom an avatar.
fn length(n: u64) -> usize {
    let mut dice = Dice(n ^ 0xabcd);
    match dice.below(40) {
        0 => 30_000 + dice.below(9_000) as usize,
        1 | 2 => 4_000 + dice.below(200) as usize,
        _ => 50 + dice.below(500) as usize,
    }
}

/// Frame `n`; the first is 1.
pub fn frame(n: u64) -> Frame {
    let mut frame = Frame::new();
    frame.add(Tree::Meta, COUNT, 1);
    let account = (n % 5) as u32;
    if n.is_multiple_of(41) {
        frame.delete_range(Tree::Archive, KeyRange::account((n / 41 % 5) as u32));
    }
    let key = StampKey {
        account,
        kind: 1,
        time: n,
        seq: 0,
    };
    frame.put(Tree::Archive, key.to_key(), bytes(n, length(n)));
    let pair = [b'p', (n % 17) as u8];
    frame
        .put(Tree::Account, pair, n.to_be_bytes())
        .put(Tree::Pubsub, pair, n.to_be_bytes());
    frame.put(Tree::Sessions, n.to_be_bytes(), bytes(n, 20));
    frame.delete(Tree::Sessions, n.saturating_sub(7).to_be_bytes());
    match n % 13 {
        0 => frame.put(
            Tree::Rooms,
            *b"topic",
            bytes(n, (n * 977 % 30_000) as usize),
        ),
        6 => frame.delete(Tree::Rooms, *b"topic"),
        _ => &mut frame,
    };
    frame
}

/// What a store holds after some frames.
#[derive(Clone, Default)]
pub struct Model {
    pub frames: u64,
    rows: BTreeMap<(Tree, Vec<u8>), Vec<u8>>,
}

impl Model {
    /// Goes on to frame `n`.
    pub fn advance(&mut self, n: u64) {
        while self.frames < n {
            self.frames += 1;
            self.apply(self.frames);
        }
    }

    /// The same as [`frame`], on the map. Written out twice on purpose: it must not depend on
    /// what is being tested.
    fn apply(&mut self, n: u64) {
        let account = (n % 5) as u32;
        if n.is_multiple_of(41) {
            let erased = ((n / 41 % 5) as u32).to_be_bytes();
            self.rows
                .retain(|(tree, key), _| *tree != Tree::Archive || key[..4] != erased);
        }
        self.rows
            .insert((Tree::Meta, COUNT.to_vec()), n.to_be_bytes().to_vec());
        let key = StampKey {
            account,
            kind: 1,
            time: n,
            seq: 0,
        };
        self.rows
            .insert((Tree::Archive, key.to_key()), bytes(n, length(n)));
        for tree in [Tree::Account, Tree::Pubsub] {
            let key = vec![b'p', (n % 17) as u8];
            self.rows.insert((tree, key), n.to_be_bytes().to_vec());
        }
        self.rows
            .insert((Tree::Sessions, n.to_be_bytes().to_vec()), bytes(n, 20));
        self.rows
            .remove(&(Tree::Sessions, n.saturating_sub(7).to_be_bytes().to_vec()));
        let topic = (Tree::Rooms, b"topic".to_vec());
        match n % 13 {
            0 => {
                self.rows
                    .insert(topic, bytes(n, (n * 977 % 30_000) as usize));
            }
            6 => {
                self.rows.remove(&topic);
            }
            _ => {}
        }
    }

    /// Whether a store holds exactly this.
    fn compare(&self, store: &Store) -> Result<(), String> {
        for tree in Tree::ALL {
            let found = store.range(tree, &KeyRange::all(), usize::MAX, Direction::Forward);
            let found = found.map_err(|error| format!("{tree}: {error}"))?;
            let mut expected = self.rows.iter().filter(|((of, _), _)| *of == tree);
            for (key, value) in &found {
                match expected.next() {
                    Some(((_, wanted), right)) if wanted == key && right == value => {}
                    Some(((_, wanted), _)) if wanted == key => {
                        return Err(format!("{tree}: {key:?} has another value"));
                    }
                    Some(((_, wanted), _)) if wanted < key => {
                        return Err(format!("{tree}: {wanted:?} is missing"));
                    }
                    _ => return Err(format!("{tree}: {key:?} should not be there")),
                }
            }
            if let Some(((_, key), _)) = expected.next() {
                return Err(format!("{tree}: {key:?} is missing"));
            }
        }
        Ok(())
    }
}

/// How many frames a store says it holds.
pub fn frames(store: &Store) -> Result<u64, String> {
    let count = store
        .counter(Tree::Meta, COUNT)
        .map_err(|error| error.to_string())?;
    Ok(count as u64)
}

/// Whether a store holds a beginning of the frames, of at least `least` and at most `most`, and
/// nothing else. `model` may be behind it and is moved there.
pub fn verify(store: &Store, model: &mut Model, least: u64, most: u64) -> Result<u64, String> {
    let held = frames(store)?;
    if held < least {
        return Err(format!(
            "frames {} to {least} were acknowledged and are gone",
            held + 1
        ));
    }
    if held > most {
        return Err(format!("{held} frames, but only {most} were ever sent"));
    }
    if store.sequence() != held {
        return Err(format!(
            "{held} frames, but the journal is at {}",
            store.sequence()
        ));
    }
    if model.frames > held {
        return Err(format!("{held} frames, but it had {}", model.frames));
    }
    model.advance(held);
    model.compare(store)?;
    Ok(held)
}

/// Whether a full scrub finds the store sound.
pub fn sound(store: &Store) -> Result<(), String> {
    let report = store.scrub().map_err(|error| error.to_string())?;
    match report.damage.first() {
        None => Ok(()),
        Some(damage) => Err(format!("the scrub says: {damage}")),
    }
}

/// How often something is tried: `ROOKERY_CRASHES` times as often as usual.
pub fn times(usual: u64) -> u64 {
    let factor = std::env::var("ROOKERY_CRASHES")
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    usual * factor.unwrap_or(1)
}
