//! Reads the store of a stopped server and prints what the crash harness compares: one JSON
//! object a line, first the store itself, then every kept message. It opens the folder it is
//! given for writing, as a starting server would, so give it a copy.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::path::Path;

use rookery::kept::{Message, MessageId};
use rookery_actors::accounts::Account;
use rookery_actors::hub::remembered::{Delivery, Whereabouts, counts};
use rookery_actors::keys::{self, Kind, Part, SessionKey};
use rookery_protocol::ns;
use rookery_storage::record::decode;
use rookery_storage::{Direction, KeyRange, Options, Store, Tree};
use serde_json::json;
use sha2::{Digest, Sha256};

/// A mark of a message that waits; then its place and its id.
const MARK: Kind = Kind(0x13);

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args()
        .nth(1)
        .ok_or("usage: store_dump <a copy of data/store>")?;
    let options = Options {
        background: false,
        ..Options::default()
    };
    let store = Store::open(Path::new(&folder), options)?;
    let mut digest = Sha256::new();
    let mut all: HashMap<Tree, Rows> = HashMap::new();
    for tree in Tree::ALL {
        let rows = store.range(tree, &KeyRange::all(), usize::MAX, Direction::Forward)?;
        for (key, value) in &rows {
            for part in [tree.name().as_bytes(), key, value] {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
        }
        all.insert(tree, rows);
    }
    let losses: Vec<String> = store
        .losses()
        .iter()
        .map(|loss| format!("{loss:?}"))
        .collect();
    store.checkpoint()?;
    let scrub = store.scrub()?;
    let shown = json!({
        "sequence": store.sequence(),
        "digest": hex(&digest.finalize()),
        "rows": all.iter().map(|(tree, rows)| (tree.name(), rows.len())).collect::<HashMap<_, _>>(),
        "damage": scrub.damage.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "losses": losses,
        "dangling": dangling(&all),
        "handled": counts(all[&Tree::Sessions].clone())
            .into_iter()
            .map(|(token, count)| (hex(&token), count))
            .collect::<HashMap<_, _>>(),
    });
    println!("{shown}");
    messages(&all[&Tree::Accounts], &all[&Tree::Archive]);
    store.close()?;
    Ok(())
}

/// Marks and unacknowledged deliveries of messages that are not there.
fn dangling(all: &HashMap<Tree, Rows>) -> Vec<String> {
    let archive = all[&Tree::Archive].iter();
    let there: BTreeSet<&[u8]> = archive.map(|(key, _)| key.as_slice()).collect();
    let mut missing = Vec::new();
    for (key, value) in &all[&Tree::Sessions] {
        if let Some((_, Part::Unacked, _)) = SessionKey::split(key)
            && !decode::<Delivery>(value).is_ok_and(|it| match it.stanza {
                Whereabouts::Archive(kept)
                | Whereabouts::Shared(kept, _)
                | Whereabouts::Sent(kept) => there.contains(kept.as_slice()),
                Whereabouts::Here(_) => true,
            })
        {
            missing.push(hex(key));
        }
    }
    for (key, _) in &all[&Tree::Account] {
        let named = match keys::split(key) {
            Some((id, MARK, rest)) => match rest.split_first() {
                Some((place, message)) => keys::row(id, Kind(*place), message),
                None => continue,
            },
            _ => continue,
        };
        if !there.contains(named.as_slice()) {
            missing.push(hex(key));
        }
    }
    missing
}

fn messages(accounts: &Rows, archive: &Rows) {
    let mut names = HashMap::new();
    for (jid, row) in accounts {
        if let Ok(account) = decode::<Account>(row) {
            names.insert(account.id, String::from_utf8_lossy(jid).into_owned());
        }
    }
    for (key, value) in archive {
        let (owner, _, _) = keys::split(key).expect("a key has an account and a kind");
        // The rest is the archive's index.
        let Some((place, _)) = MessageId::of_key(key) else {
            continue;
        };
        let Ok(message) = decode::<Message>(value) else {
            println!("{}", json!({ "unreadable": hex(key) }));
            continue;
        };
        let (outgoing, peer) = (message.outgoing, message.peer.clone());
        let stanza = message.into_stanza();
        let body = stanza.as_ref().and_then(|it| it.child(ns::CLIENT, "body"));
        let shown = json!({
            "owner": names.get(&owner.0),
            "place": place as u8,
            "out": outgoing,
            "peer": peer,
            "id": stanza.as_ref().and_then(|it| it.id.as_deref()),
            "sha": body.map(|it| hex(&Sha256::digest(it.text().as_bytes()))),
        });
        println!("{shown}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
