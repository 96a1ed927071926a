//! The values of fields of a configuration.

use rookery_protocol::jid::Jid;

use super::config::{MAX, Refused};

/// The most people to ask about a node.
const CONTACTS: usize = 20;

/// Fields of §16.4.4 that can have one value here.
pub fn fixed(var: &str, value: &str) -> Result<(), Refused> {
    let allowed: &[&str] = match var {
        "pubsub#purge_offline" | "pubsub#presence_based_delivery" => &["0", "false"],
        "pubsub#node_type" if value == "collection" => return Err(Refused::Collection),
        "pubsub#node_type" => &["leaf"],
        "pubsub#collection" => &[""],
        "pubsub#tempsub" => &["0", "false"],
        _ => return Err(Refused::Unknown),
    };
    match allowed.contains(&value) {
        true => Ok(()),
        false => Err(Refused::Value),
    }
}

/// A value that is understood and can be had here.
pub fn one_of<T: PartialEq>(value: Option<T>, all: &[T]) -> Result<T, Refused> {
    value.filter(|it| all.contains(it)).ok_or(Refused::Value)
}

/// Addresses of people.
pub fn contacts(values: &[String]) -> Result<Vec<String>, Refused> {
    let jids = values.iter().filter(|it| !it.is_empty());
    let jids: Result<Vec<_>, _> = jids.map(|it| Jid::parse(it)).collect();
    let jids = jids.map_err(|_| Refused::Value)?;
    match jids.len() > CONTACTS {
        true => Err(Refused::Value),
        false => Ok(jids.iter().map(|it| it.as_str().to_owned()).collect()),
    }
}

/// A time; 0: for ever.
pub fn seconds(value: &str) -> Result<u32, Refused> {
    match value {
        "" | "max" => Ok(0),
        _ => value.parse().map_err(|_| Refused::Value),
    }
}

/// Bytes; 0: as many as the server allows.
pub fn payload(value: &str, limit: u32) -> Result<u32, Refused> {
    match value.parse() {
        _ if value.is_empty() => Ok(0),
        Ok(bytes) if bytes == limit => Ok(0),
        Ok(bytes) if (1..limit).contains(&bytes) => Ok(bytes),
        _ => Err(Refused::Value),
    }
}

/// A number of items, or [`MAX`].
pub fn max_items(value: &str, limit: u32) -> Result<u32, Refused> {
    match value.parse() {
        _ if value == "max" => Ok(MAX),
        Ok(number) if number == limit => Ok(MAX),
        Ok(number) if (1..limit).contains(&number) => Ok(number),
        _ => Err(Refused::Value),
    }
}
