//! RFC 6121 §8.5.4 row by row, and the rules of §8.5 for presence and IQs, as the RFC puts them.

use super::*;

const AUDIENCES: [Audience; 4] = [
    Audience::NoAccount,
    Audience::Nobody,
    Audience::Negative,
    Audience::Willing,
];
const ADDRESSES: [Address; 3] = [Address::Bare, Address::Device, Address::NoDevice];

/// Table 1 with its letters: S silence, E error, O offline, D to the device, A all, M most
/// available; behind each what we do, where the RFC leaves a choice.
const TABLE_1: &str = "
                            normal  chat    groupchat  headline
account does not exist
  bare                      S/E=S   S/E=S   E          S
  full no match             S/E=E   S/E=S   S/E=E      S/E=S
no active resources
  bare                      O/E=O   O/E=O   E          S
  full no match             S/E=E   O/E=O   S/E=E      S/E=S
only negative resources
  bare                      O/E=O   O/E=O   E          S
  full match                D       D       D          D
  full no match             S/E=E   O/E=O   S/E=E      S/E=S
1 non-negative resource
  bare                      D=A     D=A     E          D=A
  full match                D       D       D          D
  full no match             S/E=E   D=A     S/E=E      S/E=S
1+ non-negative resources
  bare                      M/A=A   M/A=A   E          A
  full match                D       D/A=D   D          D
  full no match             S/E=E   M/A=A   S/E=E      S/E=S
";

const TYPES: [MessageType; 4] = [
    MessageType::Normal,
    MessageType::Chat,
    MessageType::Groupchat,
    MessageType::Headline,
];

fn audience_named(line: &str) -> Audience {
    match line {
        "account does not exist" => Audience::NoAccount,
        "no active resources" => Audience::of([]),
        "only negative resources" => Audience::of([-1, -128]),
        "1 non-negative resource" => Audience::of([0]),
        "1+ non-negative resources" => Audience::of([-1, 5, 0]),
        other => panic!("unknown condition {other:?}"),
    }
}

fn address_named(name: &str) -> Address {
    match name {
        "bare" => Address::Bare,
        "full match" => Address::Device,
        "full no match" => Address::NoDevice,
        other => panic!("unknown address {other:?}"),
    }
}

fn letter(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Drop => "S",
        Delivery::Refuse => "E",
        Delivery::Store => "O",
        Delivery::Device => "D",
        Delivery::Willing => "A",
        other => panic!("{other:?} is not for messages"),
    }
}

#[test]
fn messages_row_by_row() {
    let mut audience = Audience::NoAccount;
    let mut checked = 0;
    for line in TABLE_1.lines().skip(2) {
        if !line.starts_with("  ") {
            audience = audience_named(line);
            continue;
        }
        let address = address_named(line[2..28].trim());
        for (kind, cell) in TYPES.into_iter().zip(line[28..].split_whitespace()) {
            let wanted = cell.rsplit('=').next().expect("a letter");
            let got = delivery(Kind::Message(kind), address, audience);
            assert_eq!(letter(got), wanted, "{kind:?} {address:?} {audience:?}");
            checked += 1;
        }
    }
    assert_eq!(checked, 13 * 4);
}

#[test]
fn a_connected_device_gets_messages_to_it_before_it_is_available() {
    for kind in TYPES {
        let got = delivery(Kind::Message(kind), Address::Device, Audience::Nobody);
        assert_eq!(got, Delivery::Device, "§8.5.3.1: available or connected");
    }
}

#[test]
fn error_messages_reach_a_device_or_nobody() {
    for audience in AUDIENCES {
        for address in ADDRESSES {
            let there = address == Address::Device && audience != Audience::NoAccount;
            let wanted = if there {
                Delivery::Device
            } else {
                Delivery::Drop
            };
            assert_eq!(
                delivery(Kind::Message(MessageType::Error), address, audience),
                wanted
            );
        }
    }
}

#[test]
fn priorities_make_the_audience() {
    let table: [(&[i8], Audience); 6] = [
        (&[], Audience::Nobody),
        (&[-1], Audience::Negative),
        (&[-128, -1], Audience::Negative),
        (&[0], Audience::Willing),
        (&[-1, 0], Audience::Willing),
        (&[127, -128], Audience::Willing),
    ];
    for (priorities, wanted) in table {
        assert_eq!(
            Audience::of(priorities.iter().copied()),
            wanted,
            "{priorities:?}"
        );
    }
}

/// §8.5.1, §8.5.2.1.2, §8.5.2.2.2, §8.5.3.1, §8.5.3.2.2. Columns: presence without type or
/// unavailable; error; subscribe; subscribed, unsubscribe, unsubscribed; probe.
const PRESENCE: &str = "
                            available  error      subscribe  answers  probe
account does not exist
  bare                      drop       drop       drop       drop     probe
  full no match             drop       drop       drop       drop     probe
no active resources
  bare                      drop       drop       machine    machine  probe
  full match                device     device     machine    machine  probe
  full no match             drop       drop       machine    drop     probe
only negative resources
  bare                      all        all        machine    machine  probe
  full match                device     device     machine    machine  probe
  full no match             drop       drop       machine    drop     probe
1 non-negative resource
  bare                      all        all        machine    machine  probe
  full match                device     device     machine    machine  probe
  full no match             drop       drop       machine    drop     probe
";

#[test]
fn presence_row_by_row() {
    let columns: [&[PresenceType]; 5] = [
        &[PresenceType::Available, PresenceType::Unavailable],
        &[PresenceType::Error],
        &[PresenceType::Subscribe],
        &[
            PresenceType::Subscribed,
            PresenceType::Unsubscribe,
            PresenceType::Unsubscribed,
        ],
        &[PresenceType::Probe],
    ];
    let mut audience = Audience::NoAccount;
    let mut checked = 0;
    for line in PRESENCE.lines().skip(2) {
        if !line.starts_with("  ") {
            audience = audience_named(line);
            continue;
        }
        let address = address_named(line[2..28].trim());
        for (kinds, cell) in columns.into_iter().zip(line[28..].split_whitespace()) {
            let wanted = match cell {
                "drop" => Delivery::Drop,
                "device" => Delivery::Device,
                "all" => Delivery::Available,
                "machine" => Delivery::Subscription,
                _ => Delivery::Probe,
            };
            for kind in kinds {
                let got = delivery(Kind::Presence(*kind), address, audience);
                assert_eq!(got, wanted, "{kind:?} {address:?} {audience:?}");
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 11 * 8);
}

/// §8.5.1, §8.5.2.1.3, §8.5.2.2.3, §8.5.3.1, §8.5.3.2.3; replies are never answered (RFC 6120
/// §8.2.3).
#[test]
fn iqs() {
    for audience in AUDIENCES {
        for address in ADDRESSES {
            let (asks, answers) = match (audience, address) {
                (Audience::NoAccount, _) => (Delivery::Refuse, Delivery::Drop),
                (_, Address::Bare) => (Delivery::Account, Delivery::Account),
                (_, Address::Device) => (Delivery::DeviceIfTrusted, Delivery::Device),
                (_, Address::NoDevice) => (Delivery::Refuse, Delivery::Drop),
            };
            assert_eq!(delivery(Kind::Iq(IqType::Get), address, audience), asks);
            assert_eq!(delivery(Kind::Iq(IqType::Set), address, audience), asks);
            assert_eq!(
                delivery(Kind::Iq(IqType::Result), address, audience),
                answers
            );
            assert_eq!(
                delivery(Kind::Iq(IqType::Error), address, audience),
                answers
            );
        }
    }
}

/// What the sender sees of a message: an error, or nothing.
#[test]
fn who_sends_a_message_cannot_tell_who_exists() {
    for kind in TYPES {
        for address in [Address::Bare, Address::NoDevice] {
            let returned =
                |audience| delivery(Kind::Message(kind), address, audience) == Delivery::Refuse;
            let nobody = returned(Audience::NoAccount);
            for audience in AUDIENCES {
                assert_eq!(
                    returned(audience),
                    nobody,
                    "{kind:?} {address:?} {audience:?}"
                );
            }
        }
    }
}

#[test]
fn nothing_but_presence_and_what_is_addressed_reaches_a_device_of_negative_priority() {
    for kind in TYPES {
        for address in [Address::Bare, Address::NoDevice] {
            let got = delivery(Kind::Message(kind), address, Audience::Negative);
            assert!(
                !matches!(got, Delivery::Willing | Delivery::Available),
                "{kind:?}"
            );
        }
    }
}
