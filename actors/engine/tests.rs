//! The whole engine under load: Hubs come and go, panics are thrown in, nothing is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::testing::ledger::{ENTRY, LIST, NS};
use crate::testing::{Client, World, run, settings};

const USERS: u32 = 1000;
const SENDERS: u32 = 4;
const ROUNDS: u32 = 4;
/// Users who are there and hear everything.
const PRESENT: u32 = 8;

/// Whether this message makes its recipient's Hub panic.
fn poisoned(sender: u32, round: u32, user: u32) -> bool {
    (user + 31 * sender + 7 * round).is_multiple_of(101)
}

/// Sends one message to every user, in every round; answers how many were poisoned.
async fn send(mut client: Client, sender: u32) -> (Client, usize) {
    let mut lost = 0;
    for round in 0..ROUNDS {
        for user in 0..USERS {
            let poison = match poisoned(sender, round, user) {
                true => format!("<panic xmlns='{NS}'/>"),
                false => String::new(),
            };
            lost += usize::from(!poison.is_empty());
            let text = format!(
                "<message to='u{user}@test' type='chat'><body>{sender} {round}</body>{poison}\
                 </message>"
            );
            client.say(&text).await;
            if user == 500 {
                // Its own Hub panics as well, with all that waits in it.
                let text = format!(
                    "<message to='u0@test' type='chat'><panic-out xmlns='{NS}'/></message>"
                );
                client.say(&text).await;
                lost += 1;
            }
        }
    }
    (client, lost)
}

/// What must have come from a sender to a user, in this order.
fn expected(sender: u32, user: u32) -> Vec<u32> {
    (0..ROUNDS)
        .filter(|round| !poisoned(sender, *round, user))
        .collect()
}

/// The rounds of each sender, in the order in which they came.
fn by_sender<'a>(bodies: impl Iterator<Item = &'a str>) -> BTreeMap<u32, Vec<u32>> {
    let mut heard: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for body in bodies {
        let (sender, round) = body.split_once(' ').expect("a sender and a round");
        let number = |text: &str| text.parse().expect("a number");
        heard.entry(number(sender)).or_default().push(number(round));
    }
    heard
}

/// Nothing is lost or reordered while Hubs retire, are born again, and panic.
#[test]
fn a_thousand_hubs_come_and_go_under_load_and_nothing_is_lost() {
    run(async {
        let mut settings = settings();
        settings.engine.retire = Duration::from_millis(10);
        let users = (0..USERS).map(|it| format!("u{it}"));
        let world = World::with(
            settings,
            users.chain((0..SENDERS).map(|it| format!("s{it}"))),
            LIST,
        );
        let mut present = Vec::new();
        for user in 0..PRESENT {
            present.push(world.online(&format!("u{user}"), "r").await);
        }
        let mut sending = Vec::new();
        for sender in 0..SENDERS {
            let client = world.login(&format!("s{sender}"), "r").await;
            sending.push(actix_rt::spawn(send(client, sender)));
        }
        let mut senders = Vec::new();
        for sent in sending {
            senders.push(sent.await.expect("a sender"));
        }
        let here = (PRESENT + SENDERS) as usize;
        world
            .until("all others retire", |realm| {
                realm.directory.keys().len() <= here
            })
            .await;
        for (client, lost) in &mut senders {
            // Those who stay may have some of them before them still.
            for _ in 0..*lost {
                let told = client.next().await.expect("each loss is told");
                assert!(told.contains("internal-server-error"), "{told}");
            }
            let rest = client.settle().await;
            assert!(rest.is_empty(), "nothing else is told: {rest:?}");
        }
        for (user, client) in present.iter_mut().enumerate() {
            let heard = client.settle().await;
            let bodies = heard
                .iter()
                .filter_map(|it| it.split("<body>").nth(1)?.split('<').next());
            check(user as u32, by_sender(bodies));
        }
        drop((senders, present));
        world
            .until("all retire", |realm| realm.directory.keys().is_empty())
            .await;
        for user in 0..USERS {
            let rows = world.rows(user + 1, ENTRY);
            check(
                user,
                by_sender(
                    rows.iter()
                        .map(|(_, body)| str::from_utf8(body).expect("text")),
                ),
            );
        }
        assert!(world.panics() > 0);
        world.end().await;
    });
}

fn check(user: u32, heard: BTreeMap<u32, Vec<u32>>) {
    for sender in 0..SENDERS {
        let heard = heard.get(&sender).cloned().unwrap_or_default();
        assert_eq!(heard, expected(sender, user), "from {sender} to {user}");
    }
}
