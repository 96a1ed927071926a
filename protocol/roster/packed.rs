//! All items of one roster in one buffer.
//!
//! The buffer is a `String`, so that what comes out of it needs no second check for UTF-8. A record
//! is a length, then the rest: flags, the lengths of address and name before these, and so each
//! group. Numbers are written in base 32, the lowest digit first, as ASCII: small ones cost one
//! byte. A record costs four bytes beside its text, and one for each group. Searching walks from
//! length to length; for 2,000 items that is microseconds, for the usual hundred nothing.

use crate::jid::{Jid, JidError};
use crate::ns;
use crate::subscription::{State, Subscription};
use crate::xml::{Element, escape_attr, escape_text};

use super::{Item, item_element};

/// The items of an account. An empty one owns no memory.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Roster {
    records: String,
    count: usize,
}

/// One item of a [`Roster`], seen where it lies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    jid: &'a str,
    name: &'a str,
    flags: usize,
    groups: Cursor<'a>,
}

/// The groups of an [`Entry`].
#[derive(Clone)]
pub struct Groups<'a>(Cursor<'a>);

impl Roster {
    /// An empty roster.
    pub fn new() -> Roster {
        Roster::default()
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True if there is no item.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of memory that the items take.
    pub fn size(&self) -> usize {
        self.records.capacity()
    }

    /// All items, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> + Clone {
        self.spans().map(|(_, _, body)| Entry::read(body))
    }

    /// The item of this bare JID, given in prepared form ([`Jid::bare_str`]).
    pub fn get(&self, bare: &str) -> Option<Entry<'_>> {
        self.iter().find(|entry| entry.jid == bare)
    }

    /// Puts an item in, in the place of an older one of the same address.
    pub fn put(&mut self, item: &Item) {
        let record = record_of(item);
        match self.span(item.jid.bare_str()) {
            Some((start, end)) => self.records.replace_range(start..end, &record),
            None => {
                self.records.reserve_exact(record.len());
                self.records.push_str(&record);
                self.count += 1;
            }
        }
    }

    /// Takes an item out; true if it was there.
    pub fn remove(&mut self, bare: &str) -> bool {
        let Some((start, end)) = self.span(bare) else {
            return false;
        };
        self.records.replace_range(start..end, "");
        self.count -= 1;
        self.records.shrink_to_fit();
        true
    }

    /// Writes the `<query/>` of a roster result straight from the buffer, as a child of a stanza in
    /// `jabber:client`. The same as [`Roster::to_element`], without the tree.
    pub fn write_query(&self, version: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<query xmlns='");
        out.extend_from_slice(ns::ROSTER.as_bytes());
        write_attr(out, "' ver='", version);
        if self.is_empty() {
            out.extend_from_slice(b"'/>");
            return;
        }
        out.extend_from_slice(b"'>");
        for entry in self.iter() {
            entry.write(out);
        }
        out.extend_from_slice(b"</query>");
    }

    /// Start and end of the record of this address.
    fn span(&self, bare: &str) -> Option<(usize, usize)> {
        let mut spans = self.spans();
        spans
            .find(|(_, _, body)| Entry::read(body).jid == bare)
            .map(|(start, end, _)| (start, end))
    }

    /// Start, end and body of each record.
    fn spans(&self) -> impl Iterator<Item = (usize, usize, &str)> + Clone {
        let mut rest = Cursor(&self.records);
        std::iter::from_fn(move || {
            if rest.0.is_empty() {
                return None;
            }
            let start = self.records.len() - rest.0.len();
            let body = rest.text();
            Some((start, self.records.len() - rest.0.len(), body))
        })
    }
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// From rows that are known to differ in their addresses, as the store gives them: of two with the
/// same address the later one counts.
impl FromIterator<Item> for Roster {
    fn from_iter<I: IntoIterator<Item = Item>>(items: I) -> Roster {
        let mut roster = Roster::new();
        let mut seen = std::collections::HashSet::new();
        for item in items {
            if seen.contains(&item.jid) {
                roster.put(&item);
                continue;
            }
            roster.records.push_str(&record_of(&item));
            roster.count += 1;
            seen.insert(item.jid);
        }
        roster.records.shrink_to_fit();
        roster
    }
}

impl<'a> Entry<'a> {
    /// The contact's bare JID.
    pub fn jid(&self) -> &'a str {
        self.jid
    }

    /// The contact's bare JID as an address of its own.
    ///
    /// # Errors
    /// None for what came from a [`Jid`]; the type says so because the text is prepared again.
    pub fn to_jid(&self) -> Result<Jid, JidError> {
        Jid::parse(self.jid)
    }

    /// The account's name for the contact; empty is none.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Who sees whom.
    pub fn subscription(&self) -> Subscription {
        match self.flags & 3 {
            0 => Subscription::None,
            1 => Subscription::To,
            2 => Subscription::From,
            _ => Subscription::Both,
        }
    }

    /// A request of the account waits for an answer.
    pub fn ask(&self) -> bool {
        self.flags & ASK != 0
    }

    /// The contact is pre-approved.
    pub fn approved(&self) -> bool {
        self.flags & APPROVED != 0
    }

    /// The groups, in the order the client gave.
    pub fn groups(&self) -> Groups<'a> {
        Groups(self.groups)
    }

    /// The subscription state, given whether a request of the contact is kept.
    pub fn state(&self, pending_in: bool) -> State {
        State::of(self.subscription(), self.ask(), pending_in)
    }

    /// The item by itself.
    ///
    /// # Errors
    /// As [`Entry::to_jid`].
    pub fn to_item(&self) -> Result<Item, JidError> {
        Ok(Item {
            jid: self.to_jid()?,
            name: self.name.to_owned(),
            subscription: self.subscription(),
            ask: self.ask(),
            approved: self.approved(),
            groups: self.groups().map(str::to_owned).collect(),
        })
    }

    /// The item as `<item/>`.
    pub fn to_element(&self) -> Element {
        let (subscription, ask) = (self.subscription(), self.shows_ask());
        item_element(
            self.jid,
            self.name,
            subscription,
            ask,
            self.approved(),
            self.groups(),
        )
    }

    /// Writes the `<item/>`, as a child of an element in `jabber:iq:roster`.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_attr(out, "<item jid='", self.jid);
        if !self.name.is_empty() {
            write_attr(out, "' name='", self.name);
        }
        write_attr(out, "' subscription='", self.subscription().as_str());
        if self.shows_ask() {
            out.extend_from_slice(b"' ask='subscribe");
        }
        if self.approved() {
            out.extend_from_slice(b"' approved='true");
        }
        if self.groups.0.is_empty() {
            out.extend_from_slice(b"'/>");
            return;
        }
        out.extend_from_slice(b"'>");
        for group in self.groups() {
            out.extend_from_slice(b"<group>");
            escape_text(group, out);
            out.extend_from_slice(b"</group>");
        }
        out.extend_from_slice(b"</item>");
    }

    fn shows_ask(&self) -> bool {
        self.state(false).pending_out()
    }

    fn read(body: &'a str) -> Entry<'a> {
        let mut rest = Cursor(body);
        let flags = rest.number();
        let jid = rest.text();
        let name = rest.text();
        Entry {
            jid,
            name,
            flags,
            groups: rest,
        }
    }
}

impl std::fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("jid", &self.jid)
            .field("state", &self.state(false))
            .finish()
    }
}

impl<'a> Iterator for Groups<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        (!self.0.0.is_empty()).then(|| self.0.text())
    }
}

const ASK: usize = 4;
const APPROVED: usize = 8;

/// What is left of a buffer to read.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn number(&mut self) -> usize {
        let bytes = self.0.as_bytes();
        let mut value = 0;
        for (at, digit) in bytes
            .iter()
            .map(|byte| usize::from(byte - b'0'))
            .enumerate()
        {
            value |= (digit & 31) << (5 * at);
            if digit & 32 == 0 {
                self.0 = &self.0[at + 1..];
                return value;
            }
        }
        unreachable!("a number ends within its record")
    }

    fn text(&mut self) -> &'a str {
        let length = self.number();
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        text
    }
}

fn push_number(out: &mut String, mut value: usize) {
    while value > 31 {
        out.push(char::from(b'0' + 32 + (value & 31) as u8));
        value >>= 5;
    }
    out.push(char::from(b'0' + value as u8));
}

fn push_text(out: &mut String, text: &str) {
    push_number(out, text.len());
    out.push_str(text);
}

fn record_of(item: &Item) -> String {
    let subscription = match item.subscription {
        Subscription::None => 0,
        Subscription::To => 1,
        Subscription::From => 2,
        Subscription::Both => 3,
    };
    let ask = if item.ask { ASK } else { 0 };
    let approved = if item.approved { APPROVED } else { 0 };
    let mut body = String::new();
    push_number(&mut body, subscription | ask | approved);
    push_text(&mut body, item.jid.bare_str());
    push_text(&mut body, &item.name);
    for group in &item.groups {
        push_text(&mut body, group);
    }
    let mut record = String::with_capacity(body.len() + 4);
    push_text(&mut record, &body);
    record
}

fn write_attr(out: &mut Vec<u8>, before: &str, value: &str) {
    out.extend_from_slice(before.as_bytes());
    escape_attr(value, out);
}
