//! Keys of rows: whose, of which kind, which one. An account's rows lie together, so deleting it is
//! one range a tree.

use rookery_storage::KeyRange;

/// The number an account has in every key; never used again after the account is gone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AccountId(pub u32);

/// Under it lie the sessions of other servers' streams: no account has it.
pub const PEERS: AccountId = AccountId(0);

/// A kind of row in `Tree::Account`. Kinds below [`Kind::ON_DEMAND`] are loaded with the Hub.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Kind(pub u8);

impl Kind {
    /// The first kind that is read only when asked for.
    pub const ON_DEMAND: Kind = Kind(0x40);

    /// A contact in the roster; then its bare JID.
    pub const CONTACT: Kind = Kind(0x01);
    /// The roster's version and other single facts of the engine's own; then a name.
    pub const FACT: Kind = Kind(0x02);
    /// A subscription request that waits for an answer, whole; then the asker's bare JID.
    pub const REQUEST: Kind = Kind(0x03);
    /// A client of the account; then its key.
    pub const CLIENT: Kind = Kind(0x40);
    /// A request that was not sent on to its contact yet; then a number.
    pub const OWED: Kind = Kind(0x04);
    /// A session that is over; then by what its client named it.
    pub const DEPARTED: Kind = Kind(0x05);
    /// The first kind of an extension's.
    pub const EXTENSIONS: Kind = Kind(0x10);

    /// Whether rows of this kind are loaded with the Hub.
    pub const fn loaded(self) -> bool {
        self.0 < Kind::ON_DEMAND.0
    }
}

/// The key of a row of `kind`.
pub fn row(account: AccountId, kind: Kind, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(5 + rest.len());
    key.extend_from_slice(&account.0.to_be_bytes());
    key.push(kind.0);
    key.extend_from_slice(rest);
    key
}

/// All rows of `kind` of an account.
pub fn all_of(account: AccountId, kind: Kind) -> KeyRange {
    KeyRange::prefix(&row(account, kind, &[]))
}

/// All rows that are loaded with the Hub.
pub fn loaded(account: AccountId) -> KeyRange {
    KeyRange::between(
        row(account, Kind(0), &[]),
        row(account, Kind::ON_DEMAND, &[]),
    )
}

/// The rows of extensions that are loaded with the Hub.
pub fn loaded_of_extensions(account: AccountId) -> KeyRange {
    KeyRange::between(
        row(account, Kind::EXTENSIONS, &[]),
        row(account, Kind::ON_DEMAND, &[]),
    )
}

/// What a row in `Tree::Sessions` is of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Part {
    /// The session itself: what is needed to go on with it.
    State = 0,
    /// How many of its client's stanzas were handled.
    Handled = 1,
    /// A stanza of its client that was handled; then a slot.
    Mark = 2,
    /// A delivery that its client has not acknowledged; then a serial number.
    Unacked = 3,
    /// Bytes that its client had not acknowledged when the server stopped; then their number.
    Tail = 4,
}

/// The beginning of the keys of a session's rows: whose it is, and a random number, so that no
/// other session ever meets them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SessionKey([u8; 12]);

impl SessionKey {
    /// The session `id` of `account`.
    pub fn new(account: AccountId, id: u64) -> SessionKey {
        let mut key = [0; 12];
        key[..4].copy_from_slice(&account.0.to_be_bytes());
        key[4..].copy_from_slice(&id.to_be_bytes());
        SessionKey(key)
    }

    /// The key of one of its rows.
    pub fn row(self, part: Part, rest: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(13 + rest.len());
        key.extend_from_slice(&self.0);
        key.push(part as u8);
        key.extend_from_slice(rest);
        key
    }

    /// All its rows.
    pub fn rows(self) -> KeyRange {
        KeyRange::prefix(&self.0)
    }

    /// Whether this is the key of one of its rows.
    pub fn has(self, row: &[u8]) -> bool {
        row.starts_with(&self.0)
    }

    /// Whose row this is, and which.
    pub fn split(row: &[u8]) -> Option<(SessionKey, Part, &[u8])> {
        let (key, rest) = row.split_first_chunk::<12>()?;
        let (part, rest) = rest.split_first()?;
        use Part::*;
        let parts = [State, Handled, Mark, Unacked, Tail];
        let part = parts.into_iter().find(|it| *it as u8 == *part)?;
        Some((SessionKey(*key), part, rest))
    }
}

/// Everything of an account.
pub fn everything(account: AccountId) -> KeyRange {
    KeyRange::account(account.0)
}

/// All rows of an account in a tree of [`row`]s but those of `kind`.
pub fn all_but(account: AccountId, kind: Kind) -> [KeyRange; 2] {
    let from = |kind: u8| row(account, Kind(kind), &[]);
    let behind = everything(account).after(&[from(kind.0), vec![0xff; 32]].concat());
    [KeyRange::between(from(0), from(kind.0)), behind]
}

/// The kind and the rest of a key that [`row`] made.
pub fn split(key: &[u8]) -> Option<(AccountId, Kind, &[u8])> {
    let (account, rest) = key.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first()?;
    Some((AccountId(u32::from_be_bytes(*account)), Kind(*kind), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_apart_as_it_was_put_together() {
        let key = row(AccountId(7), Kind::CONTACT, b"bob@b.test");
        assert_eq!(
            split(&key),
            Some((AccountId(7), Kind::CONTACT, &b"bob@b.test"[..]))
        );
        assert_eq!(split(&key[..4]), None);
    }

    #[test]
    fn ranges_hold_what_is_theirs_and_nothing_else() {
        let mine = row(AccountId(7), Kind::CONTACT, &[0xff; 9]);
        let later_kind = row(AccountId(7), Kind::ON_DEMAND, &[]);
        let neighbour = row(AccountId(8), Kind(0), &[]);
        assert!(all_of(AccountId(7), Kind::CONTACT).contains(&mine));
        assert!(!all_of(AccountId(7), Kind::CONTACT).contains(&later_kind));
        assert!(
            loaded(AccountId(7)).contains(&mine) && !loaded(AccountId(7)).contains(&later_kind)
        );
        let of_extensions = loaded_of_extensions(AccountId(7));
        assert!(of_extensions.contains(&row(AccountId(7), Kind::EXTENSIONS, b"x")));
        assert!(!of_extensions.contains(&mine) && !of_extensions.contains(&later_kind));
        assert!(everything(AccountId(7)).contains(&later_kind));
        assert!(!everything(AccountId(7)).contains(&neighbour));
        assert!(everything(AccountId(u32::MAX)).contains(&row(AccountId(u32::MAX), Kind(0), &[])));
    }
}
