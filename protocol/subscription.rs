//! Presence subscriptions: the state machine of RFC 6121 appendix A, as one table.
//!
//! A [`State`] is what an account knows of one contact. A [`Request`] is one of the four presence
//! types that manage subscriptions; it is *outbound* when one of the account's own devices sends it
//! and *inbound* when it comes from the contact. [`step`] says what each does in each state.
//!
//! Two things of the state live apart: `subscription`, `ask` and `approved` are what the roster
//! shows; *pending in* is the stored `subscribe` stanza of the contact, which may exist without a
//! roster item (A.1, item 3) and never makes one.
//!
//! Who performs a [`Step`] keeps this order (RFC 6121 §3.1.5, §3.1.6, §3.2.2, §3.2.3, §3.3.3):
//! 1. unavailable presence, if an `unsubscribed` is about to go to the contact,
//! 2. the stanza itself (routed, or delivered to the devices),
//! 3. the automatic answer,
//! 4. the roster push,
//! 5. current presence.

use crate::stanza::PresenceType;

/// The nine states of RFC 6121 A.1, in its order. `None` is also an unknown contact.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// Nobody subscribed, nobody asked.
    #[default]
    None,
    /// The account asked the contact and waits.
    NonePendingOut,
    /// The contact asked and waits; there may be no roster item.
    NonePendingIn,
    /// Both asked, both wait.
    NonePendingOutIn,
    /// The account sees the contact's presence.
    To,
    /// As `To`, and the contact asked.
    ToPendingIn,
    /// The contact sees the account's presence.
    From,
    /// As `From`, and the account asked.
    FromPendingOut,
    /// Each sees the other's presence.
    Both,
}

/// Value of a roster item's `subscription` attribute (RFC 6121 §2.1.2.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub enum Subscription {
    /// Neither sees the other.
    #[default]
    None,
    /// The account sees the contact.
    To,
    /// The contact sees the account.
    From,
    /// Both ways.
    Both,
}

/// The presence types that manage subscriptions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// The sender wants to see the recipient's presence.
    Subscribe,
    /// The sender lets the recipient see its presence.
    Subscribed,
    /// The sender no longer wants to see the recipient's presence.
    Unsubscribe,
    /// The sender denies the recipient its presence.
    Unsubscribed,
}

/// Which way a request passes the account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From one of the account's devices to the contact (A.2).
    Outbound,
    /// From the contact to the account (A.3).
    Inbound,
}

/// Presence the account owes the contact because of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Owed {
    /// None.
    #[default]
    Nothing,
    /// The current presence of each available device, after the approval (RFC 6121 §3.1.5).
    Current,
    /// Unavailable from each available device, as the contact loses sight (§3.2.2, §3.3.3).
    Unavailable,
}

/// What one request does in one state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// The state afterwards.
    pub state: State,
    /// The pre-approval flag afterwards (RFC 6121 §3.4).
    pub approved: bool,
    /// Outbound: route the stanza to the contact. Inbound: deliver it to the devices (a `subscribe`
    /// to the available, the other three to the interested ones).
    pub pass: bool,
    /// What the roster shows has changed: store the item, making it if absent, and push it
    /// (§2.6.3, "roster modification").
    pub push: bool,
    /// What the server answers to the contact from the account's bare JID.
    pub answer: Option<Request>,
    /// Presence to send to the contact.
    pub owed: Owed,
}

impl Step {
    /// True if nothing is to be done at all.
    pub fn is_silent(&self, before: State) -> bool {
        let acts = self.pass || self.push || self.answer.is_some() || self.owed != Owed::Nothing;
        !acts && self.state == before
    }
}

/// What `request` does to an account that stands in `state` towards the contact and has
/// pre-approved it or not.
pub fn step(state: State, approved: bool, direction: Direction, request: Request) -> Step {
    let row = match (direction, request) {
        (Direction::Outbound, Request::Subscribe) => 0,
        (Direction::Outbound, Request::Unsubscribe) => 1,
        (Direction::Outbound, Request::Subscribed) => 2,
        (Direction::Outbound, Request::Unsubscribed) => 3,
        (Direction::Inbound, Request::Subscribe) if approved => 5,
        (Direction::Inbound, Request::Subscribe) => 4,
        (Direction::Inbound, Request::Unsubscribe) => 6,
        (Direction::Inbound, Request::Subscribed) => 7,
        (Direction::Inbound, Request::Unsubscribed) => 8,
    };
    let cell = TABLE[row][state as usize];
    let now_approved = match cell.marks & (APPROVE | REVOKE) {
        APPROVE => true,
        REVOKE => false,
        _ => approved,
    };
    Step {
        state: cell.state,
        approved: now_approved,
        pass: cell.marks & PASS != 0,
        push: !cell.state.shows_as(state) || now_approved != approved,
        answer: match cell.marks & (YES | NO) {
            YES => Some(Request::Subscribed),
            NO => Some(Request::Unsubscribed),
            _ => None,
        },
        owed: match cell.marks & (CURRENT | GONE) {
            CURRENT => Owed::Current,
            GONE => Owed::Unavailable,
            _ => Owed::Nothing,
        },
    }
}

/// What the contact must be told when its roster item is removed (RFC 6121 §2.5.2). Requests not
/// yet answered are taken back or denied too, so that nothing is left of the relation. Perform it
/// in the order unavailable, `unsubscribe`, `unsubscribed`; the state afterwards is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Removal {
    /// Send `unsubscribe` from the bare JID.
    pub unsubscribe: bool,
    /// Send `unsubscribed` from the bare JID.
    pub unsubscribed: bool,
    /// Presence owed: unavailable where the contact saw the account.
    pub owed: Owed,
}

/// The composite of outbound `unsubscribe` and `unsubscribed`, each only where it changes
/// something.
pub fn removal(state: State) -> Removal {
    Removal {
        unsubscribe: state.sees_contact() || state.pending_out(),
        unsubscribed: state.seen_by_contact() || state.pending_in(),
        owed: if state.seen_by_contact() {
            Owed::Unavailable
        } else {
            Owed::Nothing
        },
    }
}

impl State {
    /// All states, in the order of A.1.
    pub const ALL: [State; 9] = [
        State::None,
        State::NonePendingOut,
        State::NonePendingIn,
        State::NonePendingOutIn,
        State::To,
        State::ToPendingIn,
        State::From,
        State::FromPendingOut,
        State::Both,
    ];

    /// The state that a roster item (or none) and a stored request (or none) make together. A flag
    /// without meaning beside its subscription is ignored: `ask` beside `to`, a request of a
    /// contact that already sees the account.
    pub fn of(subscription: Subscription, ask: bool, pending_in: bool) -> State {
        match (subscription, ask, pending_in) {
            (Subscription::None, false, false) => State::None,
            (Subscription::None, true, false) => State::NonePendingOut,
            (Subscription::None, false, true) => State::NonePendingIn,
            (Subscription::None, true, true) => State::NonePendingOutIn,
            (Subscription::To, _, false) => State::To,
            (Subscription::To, _, true) => State::ToPendingIn,
            (Subscription::From, false, _) => State::From,
            (Subscription::From, true, _) => State::FromPendingOut,
            (Subscription::Both, _, _) => State::Both,
        }
    }

    /// What the roster item says in `subscription`.
    pub fn subscription(self) -> Subscription {
        match (self.sees_contact(), self.seen_by_contact()) {
            (false, false) => Subscription::None,
            (true, false) => Subscription::To,
            (false, true) => Subscription::From,
            (true, true) => Subscription::Both,
        }
    }

    /// The account has asked and waits: `ask='subscribe'` in the roster item (RFC 6121 §2.1.2.2).
    pub fn pending_out(self) -> bool {
        matches!(
            self,
            State::NonePendingOut | State::NonePendingOutIn | State::FromPendingOut
        )
    }

    /// The contact has asked and waits: its `subscribe` is kept.
    pub fn pending_in(self) -> bool {
        matches!(
            self,
            State::NonePendingIn | State::NonePendingOutIn | State::ToPendingIn
        )
    }

    /// The account is subscribed to the contact's presence (`to`, `both`): it is probed at login.
    pub fn sees_contact(self) -> bool {
        matches!(self, State::To | State::ToPendingIn | State::Both)
    }

    /// The contact is subscribed to the account's presence (`from`, `both`): it gets broadcasts and
    /// answers to its probes.
    pub fn seen_by_contact(self) -> bool {
        matches!(self, State::From | State::FromPendingOut | State::Both)
    }

    fn shows_as(self, other: State) -> bool {
        self.subscription() == other.subscription() && self.pending_out() == other.pending_out()
    }
}

impl Subscription {
    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Subscription::None => "none",
            Subscription::To => "to",
            Subscription::From => "from",
            Subscription::Both => "both",
        }
    }
}

impl Request {
    /// The request that a presence type stands for, if it is one of the four.
    pub fn of(kind: PresenceType) -> Option<Request> {
        match kind {
            PresenceType::Subscribe => Some(Request::Subscribe),
            PresenceType::Subscribed => Some(Request::Subscribed),
            PresenceType::Unsubscribe => Some(Request::Unsubscribe),
            PresenceType::Unsubscribed => Some(Request::Unsubscribed),
            _ => None,
        }
    }
}

impl std::convert::From<Request> for PresenceType {
    fn from(request: Request) -> PresenceType {
        match request {
            Request::Subscribe => PresenceType::Subscribe,
            Request::Subscribed => PresenceType::Subscribed,
            Request::Unsubscribe => PresenceType::Unsubscribe,
            Request::Unsubscribed => PresenceType::Unsubscribed,
        }
    }
}

/// One cell: the state afterwards and marks. A roster push follows from what changes.
#[derive(Clone, Copy)]
struct Cell {
    state: State,
    marks: u8,
}

const fn c(state: State, marks: u8) -> Cell {
    Cell { state, marks }
}

/// Nothing but the state.
const STOP: u8 = 0;
/// Route or deliver.
const PASS: u8 = 1;
/// Answer `subscribed`.
const YES: u8 = 2;
/// Answer `unsubscribed`.
const NO: u8 = 4;
/// Owe current presence.
const CURRENT: u8 = 8;
/// Owe unavailable presence.
const GONE: u8 = 16;
/// Set the pre-approval.
const APPROVE: u8 = 32;
/// Clear the pre-approval.
const REVOKE: u8 = 64;

use State::{
    Both as BOTH, From as FROM, FromPendingOut as FROM_OUT, None as NONE, NonePendingIn as IN,
    NonePendingOut as OUT, NonePendingOutIn as OUT_IN, To as TO, ToPendingIn as TO_IN,
};

/// Rows as [`step`] numbers them; columns are the states in the order of A.1. Decisions where the
/// RFC leaves one:
/// * a pre-approval is kept after it was used, until the account says `unsubscribed` or removes the
///   item (§3.4.2, first note);
/// * who is answered `subscribed` also gets current presence: after a pre-approval §3.1.5 demands
///   it, and a contact that asks again although it is subscribed has lost what it knew;
/// * a denied request (pending in) owes no unavailable presence, since it would name the devices to
///   one who never saw them (§3.2.2, "while the user is still subscribed").
#[rustfmt::skip]
const TABLE: [[Cell; 9]; 9] = [
    // A.2.1 outbound subscribe
    [c(OUT, PASS), c(OUT, PASS), c(OUT_IN, PASS), c(OUT_IN, PASS), c(TO, PASS), c(TO_IN, PASS),
     c(FROM_OUT, PASS), c(FROM_OUT, PASS), c(BOTH, PASS)],
    // A.2.2 outbound unsubscribe
    [c(NONE, PASS), c(NONE, PASS), c(IN, PASS), c(IN, PASS), c(NONE, PASS), c(IN, PASS),
     c(FROM, PASS), c(FROM, PASS), c(FROM, PASS)],
    // A.2.3 outbound subscribed, §3.4.2
    [c(NONE, APPROVE), c(OUT, APPROVE), c(FROM, PASS | CURRENT), c(FROM_OUT, PASS | CURRENT),
     c(TO, APPROVE), c(BOTH, PASS | CURRENT), c(FROM, STOP), c(FROM_OUT, STOP), c(BOTH, STOP)],
    // A.2.4 outbound unsubscribed, §3.2.2
    [c(NONE, REVOKE), c(OUT, REVOKE), c(NONE, PASS | REVOKE), c(OUT, PASS | REVOKE),
     c(TO, REVOKE), c(TO, PASS | REVOKE), c(NONE, PASS | REVOKE | GONE),
     c(OUT, PASS | REVOKE | GONE), c(TO, PASS | REVOKE | GONE)],
    // A.3.1 inbound subscribe
    [c(IN, PASS), c(OUT_IN, PASS), c(IN, STOP), c(OUT_IN, STOP), c(TO_IN, PASS), c(TO_IN, STOP),
     c(FROM, YES | CURRENT), c(FROM_OUT, YES | CURRENT), c(BOTH, YES | CURRENT)],
    // A.3.1 note 1, §3.4.2: inbound subscribe of a pre-approved contact
    [c(FROM, YES | CURRENT), c(FROM_OUT, YES | CURRENT), c(FROM, YES | CURRENT),
     c(FROM_OUT, YES | CURRENT), c(BOTH, YES | CURRENT), c(BOTH, YES | CURRENT),
     c(FROM, YES | CURRENT), c(FROM_OUT, YES | CURRENT), c(BOTH, YES | CURRENT)],
    // A.3.2 inbound unsubscribe, §3.3.3
    [c(NONE, STOP), c(OUT, STOP), c(NONE, PASS | NO), c(OUT, PASS | NO), c(TO, STOP),
     c(TO, PASS | NO), c(NONE, PASS | NO | GONE), c(OUT, PASS | NO | GONE),
     c(TO, PASS | NO | GONE)],
    // A.3.3 inbound subscribed
    [c(NONE, STOP), c(TO, PASS), c(IN, STOP), c(TO_IN, PASS), c(TO, STOP), c(TO_IN, STOP),
     c(FROM, STOP), c(BOTH, PASS), c(BOTH, STOP)],
    // A.3.4 inbound unsubscribed
    [c(NONE, STOP), c(NONE, PASS), c(IN, STOP), c(IN, PASS), c(NONE, PASS), c(IN, PASS),
     c(FROM, STOP), c(FROM, PASS), c(FROM, PASS)],
];

#[cfg(test)]
mod tests;
