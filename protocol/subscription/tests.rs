//! Every cell of RFC 6121 appendix A, written out as the RFC's tables read, and what follows from
//! them for two accounts that talk to each other.

use std::collections::HashSet;

use super::Direction::{Inbound, Outbound};
use super::*;

/// A.2 and A.3, contact not pre-approved. Columns: existing state, whether the stanza goes on (to
/// the contact or to the devices), new state, and the rest: `push`, the automatic answer, presence
/// owed, `+approved` and `-approved`.
const PLAIN: &str = "
outbound subscribe                                                          Table 2
  None                   yes  None + Pending Out      push
  None + Pending Out     yes  -
  None + Pending In      yes  None + Pending Out+In   push
  None + Pending Out+In  yes  -
  To                     yes  -
  To + Pending In        yes  -
  From                   yes  From + Pending Out      push
  From + Pending Out     yes  -
  Both                   yes  -
outbound unsubscribe                                                        Table 3
  None                   yes  -
  None + Pending Out     yes  None                    push
  None + Pending In      yes  -
  None + Pending Out+In  yes  None + Pending In       push
  To                     yes  None                    push
  To + Pending In        yes  None + Pending In       push
  From                   yes  -
  From + Pending Out     yes  From                    push
  Both                   yes  From                    push
outbound subscribed                                                         Table 4, 3.4.2
  None                   no   -                       push +approved
  None + Pending Out     no   -                       push +approved
  None + Pending In      yes  From                    push current
  None + Pending Out+In  yes  From + Pending Out      push current
  To                     no   -                       push +approved
  To + Pending In        yes  Both                    push current
  From                   no   -
  From + Pending Out     no   -
  Both                   no   -
outbound unsubscribed                                                       Table 5
  None                   no   -
  None + Pending Out     no   -
  None + Pending In      yes  None
  None + Pending Out+In  yes  None + Pending Out
  To                     no   -
  To + Pending In        yes  To
  From                   yes  None                    push unavailable
  From + Pending Out     yes  None + Pending Out      push unavailable
  Both                   yes  To                      push unavailable
inbound subscribe                                                           Table 6
  None                   yes  None + Pending In
  None + Pending Out     yes  None + Pending Out+In
  None + Pending In      no   -
  None + Pending Out+In  no   -
  To                     yes  To + Pending In
  To + Pending In        no   -
  From                   no   -                       subscribed current
  From + Pending Out     no   -                       subscribed current
  Both                   no   -                       subscribed current
inbound unsubscribe                                                         Table 7, 3.3.3
  None                   no   -
  None + Pending Out     no   -
  None + Pending In      yes  None                    unsubscribed
  None + Pending Out+In  yes  None + Pending Out      unsubscribed
  To                     no   -
  To + Pending In        yes  To                      unsubscribed
  From                   yes  None                    push unsubscribed unavailable
  From + Pending Out     yes  None + Pending Out      push unsubscribed unavailable
  Both                   yes  To                      push unsubscribed unavailable
inbound subscribed                                                          Table 8
  None                   no   -
  None + Pending Out     yes  To                      push
  None + Pending In      no   -
  None + Pending Out+In  yes  To + Pending In         push
  To                     no   -
  To + Pending In        no   -
  From                   no   -
  From + Pending Out     yes  Both                    push
  Both                   no   -
inbound unsubscribed                                                        Table 9
  None                   no   -
  None + Pending Out     yes  None                    push
  None + Pending In      no   -
  None + Pending Out+In  yes  None + Pending In       push
  To                     yes  None                    push
  To + Pending In        yes  None + Pending In       push
  From                   no   -
  From + Pending Out     yes  From                    push
  Both                   yes  From                    push
";

/// What differs once the contact is pre-approved (§3.4.2, §3.2.2 rule 2, A.3.1 note 1).
const PRE_APPROVED: &str = "
outbound subscribed
  None                   no   -
  None + Pending Out     no   -
  None + Pending In      yes  From                    push current
  None + Pending Out+In  yes  From + Pending Out      push current
  To                     no   -
  To + Pending In        yes  Both                    push current
  From                   no   -
  From + Pending Out     no   -
  Both                   no   -
outbound unsubscribed
  None                   no   -                       push -approved
  None + Pending Out     no   -                       push -approved
  None + Pending In      yes  None                    push -approved
  None + Pending Out+In  yes  None + Pending Out      push -approved
  To                     no   -                       push -approved
  To + Pending In        yes  To                      push -approved
  From                   yes  None                    push -approved unavailable
  From + Pending Out     yes  None + Pending Out      push -approved unavailable
  Both                   yes  To                      push -approved unavailable
inbound subscribe
  None                   no   From                    push subscribed current
  None + Pending Out     no   From + Pending Out      push subscribed current
  None + Pending In      no   From                    push subscribed current
  None + Pending Out+In  no   From + Pending Out      push subscribed current
  To                     no   Both                    push subscribed current
  To + Pending In        no   Both                    push subscribed current
  From                   no   -                       subscribed current
  From + Pending Out     no   -                       subscribed current
  Both                   no   -                       subscribed current
";

const REQUESTS: [Request; 4] = [
    Request::Subscribe,
    Request::Unsubscribe,
    Request::Subscribed,
    Request::Unsubscribed,
];

type Row = (Direction, Request, State, Step);

fn state_named(name: &str) -> State {
    match name {
        "None" => State::None,
        "None + Pending Out" => State::NonePendingOut,
        "None + Pending In" => State::NonePendingIn,
        "None + Pending Out+In" => State::NonePendingOutIn,
        "To" => State::To,
        "To + Pending In" => State::ToPendingIn,
        "From" => State::From,
        "From + Pending Out" => State::FromPendingOut,
        "Both" => State::Both,
        other => panic!("no state is called {other:?}"),
    }
}

fn row_of(line: &str, approved: bool) -> (State, Step) {
    let before = state_named(line[2..25].trim());
    let after = line.get(30..54).unwrap_or(&line[30..]).trim();
    let mut wanted = Step {
        state: if after == "-" {
            before
        } else {
            state_named(after)
        },
        approved,
        pass: line[25..30].trim() == "yes",
        push: false,
        answer: None,
        owed: Owed::Nothing,
    };
    for word in line.get(54..).unwrap_or("").split_whitespace() {
        match word {
            "push" => wanted.push = true,
            "+approved" => wanted.approved = true,
            "-approved" => wanted.approved = false,
            "subscribed" => wanted.answer = Some(Request::Subscribed),
            "unsubscribed" => wanted.answer = Some(Request::Unsubscribed),
            "current" => wanted.owed = Owed::Current,
            "unavailable" => wanted.owed = Owed::Unavailable,
            other => panic!("unknown word {other:?}"),
        }
    }
    (before, wanted)
}

fn rows(table: &str, approved: bool) -> Vec<Row> {
    let mut heading = None;
    let mut rows = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty()) {
        if line.starts_with("  ") {
            let (direction, request) = heading.expect("a heading comes first");
            let (before, wanted) = row_of(line, approved);
            rows.push((direction, request, before, wanted));
            continue;
        }
        let mut words = line.split_whitespace();
        let direction = if words.next() == Some("outbound") {
            Outbound
        } else {
            Inbound
        };
        let request = match words.next().expect("a type") {
            "subscribe" => Request::Subscribe,
            "unsubscribe" => Request::Unsubscribe,
            "subscribed" => Request::Subscribed,
            _ => Request::Unsubscribed,
        };
        heading = Some((direction, request));
    }
    rows
}

fn check(table: &str, approved: bool) -> Vec<Row> {
    let rows = rows(table, approved);
    for (direction, request, before, wanted) in &rows {
        let got = step(*before, approved, *direction, *request);
        assert_eq!(
            got, *wanted,
            "{direction:?} {request:?} in {before:?}, approved {approved}"
        );
    }
    rows
}

#[test]
fn every_cell_of_appendix_a() {
    let rows = check(PLAIN, false);
    let seen: HashSet<String> = rows
        .iter()
        .map(|(d, r, s, _)| format!("{d:?}{r:?}{s:?}"))
        .collect();
    assert_eq!((rows.len(), seen.len()), (72, 72));
}

#[test]
fn every_cell_with_a_pre_approval() {
    let listed = check(PRE_APPROVED, true);
    assert_eq!(listed.len(), 27);
    let mut others = 0;
    for (direction, request, before, plain) in rows(PLAIN, false) {
        if listed
            .iter()
            .any(|row| (row.0, row.1, row.2) == (direction, request, before))
        {
            continue;
        }
        others += 1;
        let wanted = Step {
            approved: true,
            ..plain
        };
        assert_eq!(step(before, true, direction, request), wanted);
    }
    assert_eq!(others, 45);
}

#[test]
fn a_state_is_what_the_item_and_the_stored_request_say() {
    for state in State::ALL {
        let back = State::of(
            state.subscription(),
            state.pending_out(),
            state.pending_in(),
        );
        assert_eq!(back, state);
    }
    assert_eq!(State::of(Subscription::To, true, false), State::To);
    assert_eq!(State::of(Subscription::Both, true, true), State::Both);
    assert_eq!(State::of(Subscription::From, false, true), State::From);
}

#[test]
fn a_push_tells_exactly_what_the_roster_shows_anew() {
    for (direction, request, before, step) in rows(PLAIN, false) {
        let shows = |s: State, approved| (s.subscription(), s.pending_out(), approved);
        let changed = shows(before, false) != shows(step.state, step.approved);
        assert_eq!(
            step.push, changed,
            "{direction:?} {request:?} in {before:?}"
        );
    }
}

#[test]
fn a_stranger_learns_nothing_and_changes_nothing_but_by_asking() {
    for request in REQUESTS {
        let step = step(State::None, false, Inbound, request);
        assert!(step.answer.is_none() && step.owed == Owed::Nothing);
        assert_eq!(step.is_silent(State::None), request != Request::Subscribe);
    }
}

/// §2.5.2: state, unsubscribe, unsubscribed, unavailable.
#[test]
fn removal_ends_what_there_was() {
    let table = [
        (State::None, false, false, false),
        (State::NonePendingOut, true, false, false),
        (State::NonePendingIn, false, true, false),
        (State::NonePendingOutIn, true, true, false),
        (State::To, true, false, false),
        (State::ToPendingIn, true, true, false),
        (State::From, false, true, true),
        (State::FromPendingOut, true, true, true),
        (State::Both, true, true, true),
    ];
    for (before, unsubscribe, unsubscribed, gone) in table {
        let owed = if gone {
            Owed::Unavailable
        } else {
            Owed::Nothing
        };
        assert_eq!(
            removal(before),
            Removal {
                unsubscribe,
                unsubscribed,
                owed
            },
            "{before:?}"
        );
        let half = step(before, true, Outbound, Request::Unsubscribe).state;
        let end = step(half, true, Outbound, Request::Unsubscribed);
        assert_eq!(
            (end.state, end.approved),
            (State::None, false),
            "{before:?}"
        );
    }
}

/// Two accounts and the requests on their way between them, each side in order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Side {
    state: usize,
    approved: bool,
}

impl Side {
    fn state(self) -> State {
        State::ALL[self.state]
    }

    fn take(&mut self, direction: Direction, request: Request) -> Vec<Request> {
        let step = step(self.state(), self.approved, direction, request);
        self.state = step.state as usize;
        self.approved = step.approved;
        let routed = (direction == Outbound && step.pass).then_some(request);
        routed.into_iter().chain(step.answer).collect()
    }
}

fn settle(sides: &mut [Side; 2], from: usize, request: Request) {
    let first = sides[from].take(Outbound, request);
    let mut under_way: Vec<(usize, Request)> = first.into_iter().map(|r| (1 - from, r)).collect();
    let mut hops = 0;
    while !under_way.is_empty() {
        hops += 1;
        assert!(hops < 10, "the two servers answer each other for ever");
        let (to, request) = under_way.remove(0);
        under_way.extend(
            sides[to]
                .take(Inbound, request)
                .into_iter()
                .map(|r| (1 - to, r)),
        );
    }
}

#[test]
fn two_accounts_always_agree_and_come_to_rest() {
    let start = [Side {
        state: 0,
        approved: false,
    }; 2];
    let mut seen = HashSet::from([start]);
    let mut open = vec![start];
    while let Some(sides) = open.pop() {
        for (from, request) in [0, 1].into_iter().flat_map(|s| REQUESTS.map(|r| (s, r))) {
            let mut next = sides;
            settle(&mut next, from, request);
            let [a, b] = next.map(Side::state);
            assert_eq!(
                a.sees_contact(),
                b.seen_by_contact(),
                "{sides:?} {from} {request:?}"
            );
            assert_eq!(
                b.sees_contact(),
                a.seen_by_contact(),
                "{sides:?} {from} {request:?}"
            );
            assert_eq!(
                a.pending_out(),
                b.pending_in(),
                "{sides:?} {from} {request:?}"
            );
            assert_eq!(
                b.pending_out(),
                a.pending_in(),
                "{sides:?} {from} {request:?}"
            );
            if seen.insert(next) {
                open.push(next);
            }
        }
    }
    let reached: HashSet<usize> = seen.iter().map(|sides| sides[0].state).collect();
    assert_eq!(
        reached.len(),
        9,
        "every state of A.1 can be reached by talking"
    );
}
