//! Keys: big-endian, so that the order of the bytes is the order of what they mean.

use crate::error::hex;

/// Builds a key part by part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyBuilder(Vec<u8>);

impl KeyBuilder {
    /// An empty key.
    pub fn new() -> KeyBuilder {
        KeyBuilder(Vec::with_capacity(16))
    }

    /// The usual beginning: whose row it is and of what kind.
    pub fn account(account: u32, kind: u8) -> KeyBuilder {
        KeyBuilder::new().u32(account).u8(kind)
    }

    /// One byte.
    pub fn u8(mut self, value: u8) -> KeyBuilder {
        self.0.push(value);
        self
    }

    /// Two bytes.
    pub fn u16(mut self, value: u16) -> KeyBuilder {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Four bytes.
    pub fn u32(mut self, value: u32) -> KeyBuilder {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Eight bytes.
    pub fn u64(mut self, value: u64) -> KeyBuilder {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Unix milliseconds in six bytes (until the year 10889); what does not fit is the maximum.
    pub fn time(mut self, millis: u64) -> KeyBuilder {
        self.0
            .extend_from_slice(&millis.min(TIME_MAX).to_be_bytes()[2..]);
        self
    }

    /// Bytes that end the key: they carry no length, so nothing may follow them.
    pub fn tail(mut self, bytes: &[u8]) -> Vec<u8> {
        self.0.extend_from_slice(bytes);
        self.0
    }

    /// Text with something after it: a length byte pair would spoil the order, so it ends in a
    /// zero byte. XMPP text holds none (RFC 6120 §11.1 allows only characters of XML 1.0); text
    /// after one is cut off.
    pub fn text(mut self, text: &str) -> KeyBuilder {
        self.0.extend(text.bytes().take_while(|byte| *byte != 0));
        self.0.push(0);
        self
    }

    /// The key.
    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

/// The largest time a key holds.
pub const TIME_MAX: u64 = (1 << 48) - 1;

/// Reads a key part by part; every step is `None` when the key is too short.
#[derive(Clone, Copy, Debug)]
pub struct KeyReader<'k>(&'k [u8]);

impl<'k> KeyReader<'k> {
    /// From the beginning of `key`.
    pub fn new(key: &'k [u8]) -> KeyReader<'k> {
        KeyReader(key)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|bytes| bytes[0])
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    /// Unix milliseconds in six bytes.
    pub fn time(&mut self) -> Option<u64> {
        let [a, b, c, d, e, f] = self.take::<6>()?;
        Some(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// Text up to its zero byte.
    pub fn text(&mut self) -> Option<&'k str> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(&self.0[..end]).ok()?;
        self.0 = &self.0[end + 1..];
        Some(text)
    }

    /// All that is left.
    pub fn tail(self) -> &'k [u8] {
        self.0
    }

    /// `Some` when nothing is left: a longer key is another key.
    pub fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// A typed key of a [`crate::Table`].
pub trait Key: Sized {
    /// Its bytes; order of the bytes is the order of the rows.
    fn to_key(&self) -> Vec<u8>;

    /// The reverse; `None` for bytes that `to_key` never makes.
    fn from_key(key: &[u8]) -> Option<Self>;
}

/// `account u32 | kind u8 | time u48 | seq u16`: rows written once, in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StampKey {
    /// Whose row it is.
    pub account: u32,
    /// What kind of row, chosen by the one file that owns the rows.
    pub kind: u8,
    /// Unix milliseconds.
    pub time: u64,
    /// Tells apart what has the same time.
    pub seq: u16,
}

impl Key for StampKey {
    fn to_key(&self) -> Vec<u8> {
        KeyBuilder::account(self.account, self.kind)
            .time(self.time)
            .u16(self.seq)
            .done()
    }

    fn from_key(key: &[u8]) -> Option<StampKey> {
        let mut reader = KeyReader::new(key);
        let account = reader.u32()?;
        let kind = reader.u8()?;
        let (time, seq) = (reader.time()?, reader.u16()?);
        reader.end()?;
        Some(StampKey {
            account,
            kind,
            time,
            seq,
        })
    }
}

/// `account u32 | kind u8 | name`: rows of an account that have a name (contact, node, namespace).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameKey {
    /// Whose row it is.
    pub account: u32,
    /// What kind of row.
    pub kind: u8,
    /// The name, which ends the key; may be empty.
    pub name: String,
}

impl Key for NameKey {
    fn to_key(&self) -> Vec<u8> {
        KeyBuilder::account(self.account, self.kind).tail(self.name.as_bytes())
    }

    fn from_key(key: &[u8]) -> Option<NameKey> {
        let mut reader = KeyReader::new(key);
        let account = reader.u32()?;
        let kind = reader.u8()?;
        let name = std::str::from_utf8(reader.tail()).ok()?.to_owned();
        Some(NameKey {
            account,
            kind,
            name,
        })
    }
}

impl Key for String {
    fn to_key(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_key(key: &[u8]) -> Option<String> {
        std::str::from_utf8(key).ok().map(str::to_owned)
    }
}

impl Key for Vec<u8> {
    fn to_key(&self) -> Vec<u8> {
        self.clone()
    }

    fn from_key(key: &[u8]) -> Option<Vec<u8>> {
        Some(key.to_vec())
    }
}

/// The keys from one (included) up to another (excluded).
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key inside.
    pub from: Vec<u8>,
    /// The first key outside; `None`: to the end of the tree.
    pub to: Option<Vec<u8>>,
}

impl std::fmt::Debug for KeyRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let to = self.to.as_deref().map_or_else(|| "end".to_owned(), hex);
        write!(f, "{}..{to}", hex(&self.from))
    }
}

impl KeyRange {
    /// The whole tree.
    pub fn all() -> KeyRange {
        KeyRange {
            from: Vec::new(),
            to: None,
        }
    }

    /// All keys that start with `prefix`.
    pub fn prefix(prefix: &[u8]) -> KeyRange {
        let mut to = prefix.to_vec();
        while to.last() == Some(&0xff) {
            to.pop();
        }
        let to = to.pop().map(|last| {
            to.push(last + 1);
            to
        });
        KeyRange {
            from: prefix.to_vec(),
            to,
        }
    }

    /// All rows of one account in a tree whose keys start with its number.
    pub fn account(account: u32) -> KeyRange {
        KeyRange::prefix(&account.to_be_bytes())
    }

    /// All rows of one kind of one account.
    pub fn kind(account: u32, kind: u8) -> KeyRange {
        KeyRange::prefix(&KeyBuilder::account(account, kind).done())
    }

    /// From `from` (included) up to `to` (excluded).
    pub fn between(from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> KeyRange {
        KeyRange {
            from: from.into(),
            to: Some(to.into()),
        }
    }

    /// What of it lies after `key`: the next page, forwards.
    pub fn after(mut self, key: &[u8]) -> KeyRange {
        let next = successor(key);
        if next > self.from {
            self.from = next;
        }
        self
    }

    /// What of it lies before `key`: the next page, backwards.
    pub fn before(mut self, key: &[u8]) -> KeyRange {
        if self.to.as_deref().is_none_or(|to| key < to) {
            self.to = Some(key.to_vec());
        }
        self
    }

    /// What of it lies in `other` too.
    pub fn within(mut self, other: &KeyRange) -> KeyRange {
        if other.from > self.from {
            self.from.clone_from(&other.from);
        }
        if let Some(to) = &other.to {
            self = self.before(to);
        }
        self
    }

    /// Whether `key` lies inside.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.from.as_slice() && self.to.as_deref().is_none_or(|to| key < to)
    }

    /// Whether no key can lie inside.
    pub fn is_empty(&self) -> bool {
        self.to
            .as_deref()
            .is_some_and(|to| to <= self.from.as_slice())
    }
}

/// The smallest key after `key`.
pub(crate) fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stamp_key_is_thirteen_big_endian_bytes() {
        let key = StampKey {
            account: 7,
            kind: 2,
            time: 0x0102_0304_0506,
            seq: 0x0708,
        };
        let bytes = key.to_key();
        assert_eq!(bytes, [0, 0, 0, 7, 2, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(StampKey::from_key(&bytes), Some(key));
        assert_eq!(StampKey::from_key(&bytes[..12]), None);
        assert_eq!(StampKey::from_key(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn prefix_of_ones_runs_to_the_end() {
        assert_eq!(KeyRange::prefix(&[0xff, 0xff]).to, None);
        assert_eq!(KeyRange::prefix(&[1, 0xff]).to, Some(vec![2]));
        assert_eq!(KeyRange::prefix(&[]).to, None);
        assert!(KeyRange::account(u32::MAX).contains(&[0xff; 9]));
    }

    #[test]
    fn text_then_number_reads_back() {
        let key = KeyBuilder::new().text("münchen.example").u64(9).done();
        let mut reader = KeyReader::new(&key);
        assert_eq!(reader.text(), Some("münchen.example"));
        assert_eq!(reader.u64(), Some(9));
        assert_eq!(reader.u8(), None);
    }

    proptest! {
        #[test]
        fn order_of_bytes_is_order_of_meaning(
            a in (any::<u32>(), any::<u8>(), 0..=TIME_MAX, any::<u16>()),
            b in (any::<u32>(), any::<u8>(), 0..=TIME_MAX, any::<u16>()),
        ) {
            let key = |(account, kind, time, seq)| StampKey { account, kind, time, seq };
            prop_assert_eq!(key(a).to_key().cmp(&key(b).to_key()), key(a).cmp(&key(b)));
        }

        #[test]
        fn paging_never_repeats_or_skips(range in any::<(Vec<u8>, Vec<u8>)>(), key: Vec<u8>) {
            let whole = KeyRange::between(range.0.clone(), range.1.clone());
            let (low, high) = (whole.clone().before(&key), whole.clone().after(&key));
            for probe in [&range.0, &range.1, &key, &successor(&key)] {
                let split = low.contains(probe) as u8 + high.contains(probe) as u8;
                let expected = (whole.contains(probe) && probe != &key) as u8;
                prop_assert_eq!(split, expected);
            }
        }
    }
}
