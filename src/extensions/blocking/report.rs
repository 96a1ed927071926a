//! Reports of abuse that come with a block (XEP-0377): kept for the administrators, sent nowhere.

use rookery_actors::effect::{Effects, Millis};
use rookery_actors::keys::{self, AccountId, Kind};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use rookery_storage::record::{Record, decode, encode};
use serde::{Deserialize, Serialize};
use tracing::{error, info};

/// One row: how many reports the account ever made.
pub const COUNT: Kind = Kind(0x11);
/// A report; the key ends in its place, one byte. Read only when somebody looks.
pub const REPORT: Kind = Kind(0x50);

/// Reports kept of one account; a further one takes the place of the oldest.
const KEPT: u64 = 100;
/// Characters kept of what the user wrote.
const TEXT: usize = 1_000;
/// Messages kept that a report points at.
const MESSAGES: usize = 20;

/// A report of abuse.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
pub struct Report {
    /// When it was made.
    pub when: Millis,
    /// Who is reported.
    pub jid: String,
    /// The reason, a URN (XEP-0377 §4).
    pub reason: String,
    /// What the user wrote.
    pub text: String,
    /// Messages meant: the archive and the id there.
    pub messages: Vec<(String, String)>,
    /// The reported domain may be told (§5).
    pub report_origin: bool,
    /// Third parties may be told (§5).
    pub third_party: bool,
}

impl Record for Report {
    const VERSION: u8 = 1;
}

#[derive(Serialize, Deserialize)]
struct Count(u64);

impl Record for Count {
    const VERSION: u8 = 1;
}

/// The reports of one account: only their number is in memory.
#[derive(Default)]
pub struct Reports {
    made: u64,
}

impl Reports {
    /// Takes the row of [`COUNT`].
    pub fn load(&mut self, value: &[u8]) {
        match decode::<Count>(value) {
            Ok(count) => self.made = count.0,
            Err(problem) => error!(%problem, "the number of reports cannot be read"),
        }
    }

    /// Keeps the reports in the items of a block command. What is wrong with one never stops the
    /// block (XEP-0377 §6).
    pub fn take(&mut self, payload: &Element, account: AccountId, fx: &mut Effects) {
        let (before, now) = (self.made, fx.now);
        for report in payload.children().filter_map(|item| read(item, now)) {
            let Ok(row) = encode(&report) else { continue };
            info!(reason = report.reason, "a user reports somebody");
            let place = (self.made % KEPT) as u8;
            fx.put(Tree::Account, keys::row(account, REPORT, &[place]), row);
            self.made += 1;
        }
        if let (true, Ok(row)) = (self.made > before, encode(&Count(self.made))) {
            fx.put(Tree::Account, keys::row(account, COUNT, &[]), row);
        }
    }
}

/// The report in an item of a block command. One without a reason is none (XEP-0377 §4).
fn read(item: &Element, when: Millis) -> Option<Report> {
    let report = item.child(ns::REPORTING, "report")?;
    let texts = report
        .children()
        .filter(|child| child.is(ns::REPORTING, "text"));
    let text: Vec<String> = texts.map(|text| text.text().trim().to_owned()).collect();
    let messages = report
        .children()
        .filter(|child| child.is(ns::STANZA_ID, "stanza-id"));
    let names = |id: &Element| Some((short(id.attr("by")?), short(id.attr("id")?)));
    Some(Report {
        when,
        jid: Jid::parse(item.attr("jid")?).ok()?.as_str().to_owned(),
        reason: short(report.attr("reason")?),
        text: short(&text.join("\n")),
        messages: messages.filter_map(names).take(MESSAGES).collect(),
        report_origin: report.child(ns::REPORTING, "report-origin").is_some(),
        third_party: report.child(ns::REPORTING, "third-party").is_some(),
    })
}

fn short(text: &str) -> String {
    text.chars().take(TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::scene::Scene;

    const ITEM: &str = "<item jid='Romeo@Example.net'>\
        <report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'>\
        <stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.net' id='28'/>\
        <text xml:lang='en'> Never came trouble. </text><third-party/></report></item>";

    fn command(items: &str) -> Element {
        let text = format!("<block xmlns='urn:xmpp:blocking'>{items}</block>");
        Element::parse(&text, ns::CLIENT).unwrap()
    }

    #[test]
    fn a_report_is_kept_whole() {
        let block = command(ITEM);
        let report = read(block.children().next().unwrap(), 17).unwrap();
        let expected = Report {
            when: 17,
            jid: "romeo@example.net".into(),
            reason: "urn:xmpp:reporting:spam".into(),
            text: "Never came trouble.".into(),
            messages: vec![("romeo@example.net".into(), "28".into())],
            report_origin: false,
            third_party: true,
        };
        assert_eq!(report, expected);
        assert_eq!(decode::<Report>(&encode(&report).unwrap()), Ok(expected));
    }

    #[test]
    fn the_oldest_makes_room_and_the_number_survives() {
        let scene = Scene::of(&[]);
        let mut reports = Reports::default();
        for made in 0..=KEPT {
            let mut fx = scene.effects();
            reports.take(&command(ITEM), AccountId(1), &mut fx);
            let mut expected = rookery_storage::Frame::new();
            let report = read(command(ITEM).children().next().unwrap(), fx.now).unwrap();
            let place = (made % 100) as u8;
            let key = keys::row(AccountId(1), REPORT, &[place]);
            expected.put(Tree::Account, key, encode(&report).unwrap());
            let key = keys::row(AccountId(1), COUNT, &[]);
            expected.put(Tree::Account, key, encode(&Count(made + 1)).unwrap());
            assert!(fx.rows == expected, "report {made}");
        }
        let mut again = Reports::default();
        again.load(&encode(&Count(KEPT + 1)).unwrap());
        assert_eq!(again.made, reports.made);
    }

    #[test]
    fn long_reports_are_cut_and_reports_without_reason_are_none() {
        let long = "ä".repeat(TEXT + 1);
        let ids = "<stanza-id xmlns='urn:xmpp:sid:0' by='a@b' id='1'/>".repeat(MESSAGES + 1);
        let block = command(&format!(
            "<item jid='a@b'><report xmlns='urn:xmpp:reporting:1' reason='{long}'>\
             {ids}<text>{long}</text></report></item>\
             <item jid='c@d'><report xmlns='urn:xmpp:reporting:1'/></item><item jid='e@f'/>"
        ));
        let read: Vec<_> = block.children().map(|item| read(item, 0)).collect();
        let report = read[0].as_ref().unwrap();
        assert_eq!(report.text.chars().count(), TEXT);
        assert_eq!(report.reason.chars().count(), TEXT);
        assert_eq!(report.messages.len(), MESSAGES);
        assert_eq!(read[1..], [None, None]);
    }
}
