//! `rookery xeps`: the specifications this server implements.

use super::{Failure, Place, shown};
use crate::extensions::Line;
use serde::Serialize;
use serde_json::json;

/// One specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Xep {
    /// Its number.
    pub number: u16,
    /// The version that was read.
    pub version: String,
    /// Its title.
    pub title: String,
}

impl From<Line> for Xep {
    fn from(line: Line) -> Xep {
        Xep {
            number: line.xep,
            version: line.version.into(),
            title: line.title.into(),
        }
    }
}

pub(super) fn xeps(place: &Place, xeps: &[Xep]) -> Result<(), Failure> {
    match place.json {
        true => shown::json(&json!({ "xeps": xeps })),
        false => shown::text(&table(xeps)),
    }
    Ok(())
}

fn table(xeps: &[Xep]) -> String {
    let width = xeps.iter().map(|xep| xep.version.len()).max().unwrap_or(0);
    let line = |xep: &Xep| {
        format!(
            "XEP-{:04}  {:width$}  {}\n",
            xep.number, xep.version, xep.title
        )
    };
    xeps.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_specification() {
        let xep = |number, version: &str, title: &str| Xep {
            number,
            version: version.into(),
            title: title.into(),
        };
        let xeps = [
            xep(30, "2.5rc3", "Service Discovery"),
            xep(199, "2.0", "XMPP Ping"),
        ];
        assert_eq!(
            table(&xeps),
            "XEP-0030  2.5rc3  Service Discovery\nXEP-0199  2.0     XMPP Ping\n"
        );
    }
}
