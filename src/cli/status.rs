//! `rookery status`: numbers on the server.

use super::order::{Make, give};
use super::{Failure, Place, shown};
use crate::control::{Answer, Order};
use crate::opening::Start;
use serde_json::{Map, Value};

pub(super) fn status(place: &Place, start: Start) -> Result<(), Failure> {
    let done = give(place.settings()?, &Order::Status, Make::No, start)?;
    let Answer::Status(numbers) = done.answer else {
        return Err(Failure::new("failed", "the server answered something else"));
    };
    match place.json {
        true => {
            let mut all = Map::from_iter([("running".to_owned(), done.running.into())]);
            all.extend(numbers);
            shown::json(&Value::Object(all));
        }
        false => shown::text(&table(done.running, &numbers)),
    }
    Ok(())
}

fn table(running: bool, numbers: &Map<String, Value>) -> String {
    let mut text = String::from(match running {
        true => "The server is running.\n",
        false => "No server is running.\n",
    });
    let width = numbers.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in numbers {
        let name = name.replace('_', " ");
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => {
                let texts = items.iter().map(|item| match item {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                texts.collect::<Vec<_>>().join(", ")
            }
            Value::Object(parts) => {
                let parts = parts.iter().map(|(name, count)| format!("{name} {count}"));
                parts.collect::<Vec<_>>().join(", ")
            }
            other => other.to_string(),
        };
        text.push_str(&format!("  {name:width$}  {value}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_number() {
        let numbers = serde_json::json!({
            "store_bytes": 4096, "domains": ["a", "b"], "s2s_failures": { "lost": 1, "timeout": 2 },
        });
        let numbers = numbers.as_object().unwrap();
        assert_eq!(
            table(true, numbers),
            "The server is running.\n  domains       a, b\n\
             \x20 s2s failures  lost 1, timeout 2\n  store bytes   4096\n"
        );
        assert!(table(false, numbers).starts_with("No server"));
    }
}
