//! C, continued: rosters.

use super::row::{Row, Stage, must, scene};
use crate::device::Device;
use crate::xml::El;

const ROSTER: &str = "jabber:iq:roster";

pub fn rows() -> Vec<Row> {
    vec![
        scene(
            "C16",
            "a roster push from a stranger to a full address",
            forged_push,
        ),
        scene("C17", "a roster set for another's account", foreign_roster),
        scene("C18", "roster sets that are wrong", bad_roster_sets),
        scene(
            "C19",
            "the 2,001st roster item, and one of 64 KiB",
            roster_limits,
        ),
        scene("C20", "a roster version nobody gave", future_version),
        scene(
            "C34",
            "two devices change the roster at once",
            racing_rosters,
        ),
    ]
}

/// A roster set for `to`, with somebody nobody knows.
fn forged(to: &str) -> String {
    format!(
        "<iq type='set' id='rp' to='{to}'><query xmlns='{ROSTER}'>\
         <item jid='evil@a.test' subscription='both'/></query></iq>"
    )
}

fn forged_push(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    bob.fetches_roster();
    let answer = alice.asks(&forged(&bob.jid()));
    let right = answer.error() == Some(("cancel", "service-unavailable"));
    must(right, || answer.to_string())?;
    bob.hears_nothing();
    Ok(())
}

fn foreign_roster(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    let answer = alice.asks(&forged(&bob.bare()));
    // RFC 6121 §2.3.3 says forbidden, §8.5.1 for an IQ nobody handles service-unavailable.
    let right = [("auth", "forbidden"), ("cancel", "service-unavailable")]
        .map(Some)
        .contains(&answer.error());
    must(right, || answer.to_string())?;
    let roster = bob.fetches_roster();
    must(!roster.to_string().contains("evil"), || roster.to_string())
}

fn set_roster(device: &mut Device, items: &str) -> El {
    device.asks(&format!(
        "<iq type='set' id='set'><query xmlns='{ROSTER}'>{items}</query></iq>"
    ))
}

/// How many items an answer shows.
fn items_of(roster: &El) -> usize {
    let query = roster.child(ROSTER, "query");
    query.map_or(0, |query| query.children.len())
}

fn bad_roster_sets(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let own = alice.bare();
    let long = "g".repeat(10 * 1024);
    let groups: String = (0..300).map(|n| format!("<group>g{n}</group>")).collect();
    let acceptable = "not-acceptable";
    for (what, items, wanted) in [
        (
            "two items",
            "<item jid='x@a.test'/><item jid='y@a.test'/>".into(),
            "bad-request",
        ),
        ("no item", String::new(), "bad-request"),
        ("no jid", "<item/>".into(), "bad-request"),
        (
            "the same group twice",
            "<item jid='x@a.test'><group>g</group><group>g</group></item>".into(),
            "bad-request",
        ),
        (
            "an empty group",
            "<item jid='x@a.test'><group/></item>".into(),
            acceptable,
        ),
        (
            "a long group",
            format!("<item jid='x@a.test'><group>{long}</group></item>"),
            acceptable,
        ),
        (
            "a long name",
            format!("<item jid='x@a.test' name='{long}'/>"),
            acceptable,
        ),
        (
            "many groups",
            format!("<item jid='x@a.test'>{groups}</item>"),
            acceptable,
        ),
        ("oneself", format!("<item jid='{own}'/>"), "not-allowed"),
    ] {
        let answer = set_roster(&mut alice, &items);
        let found = answer.error().map(|(_, condition)| condition);
        must(found == Some(wanted), || {
            format!("{what}: not {wanted} but {answer}")
        })?;
    }
    let item = "<item jid='x@a.test' subscription='both' ask='subscribe'/>";
    let answer = set_roster(&mut alice, item);
    must(answer.attr("type") == Some("result"), || answer.to_string())?;
    let roster = alice.fetches_roster();
    roster.fits(&El::parse(&format!(
        "<iq type='result'><query xmlns='{ROSTER}'>\
         <item jid='x@a.test' subscription='none' ask='-'/></query></iq>"
    )))
}

fn roster_limits(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let huge = "n".repeat(64 * 1024);
    let answer = set_roster(
        &mut alice,
        &format!("<item jid='big@a.test' name='{huge}'/>"),
    );
    let right = [
        ("modify", "not-acceptable"),
        ("wait", "resource-constraint"),
    ];
    must(right.map(Some).contains(&answer.error()), || {
        answer.to_string()
    })?;
    for n in 0..2000 {
        let item = format!("<item jid='c{n}@b.test'/>");
        alice.says(&format!(
            "<iq type='set' id='s{n}'><query xmlns='{ROSTER}'>{item}</query></iq>"
        ));
        if n % 50 == 49 {
            let answer = alice.waits_for(&format!("<iq type='result' id='s{n}'/>"));
            must(answer.attr("type") == Some("result"), || answer.to_string())?;
        }
    }
    let answer = set_roster(&mut alice, "<item jid='onemore@b.test'/>");
    must(
        answer.error() == Some(("wait", "resource-constraint")),
        || answer.to_string(),
    )?;
    let items = items_of(&alice.fetches_roster());
    must(items == 2000, || format!("{items} items"))
}

fn future_version(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    set_roster(&mut alice, "<item jid='x@a.test'/>");
    for version in [
        "99999999999999999999",
        "-1",
        "nonsense",
        &"9".repeat(100_000),
    ] {
        let answer = alice.asks(&format!(
            "<iq type='get' id='v'><query xmlns='{ROSTER}' ver='{version}'/></iq>"
        ));
        let full = items_of(&answer) == 1;
        must(answer.attr("type") == Some("result") && full, || {
            answer.to_string()
        })?;
    }
    Ok(())
}

fn racing_rosters(stage: &Stage) -> Result<(), String> {
    let (mut phone, mut desk) = (stage.online("alice/phone"), stage.online("alice/desk"));
    for n in 0..100 {
        for (device, name) in [(&mut phone, "phone"), (&mut desk, "desk")] {
            let shared = format!("<item jid='shared@b.test' name='{name}{n}'/>");
            let own = format!("<item jid='{name}{n}@b.test'/>");
            for (id, item) in [("s", shared), ("o", own)] {
                device.says(&format!(
                    "<iq type='set' id='{id}{n}'><query xmlns='{ROSTER}'>{item}</query></iq>"
                ));
            }
        }
    }
    for device in [&mut phone, &mut desk] {
        for n in 0..100 {
            device.waits_for(&format!("<iq type='result' id='o{n}'/>"));
        }
    }
    let roster = phone.fetches_roster();
    let items = items_of(&roster);
    must(items == 201, || format!("{items} items, not 201"))?;
    let same = desk.fetches_roster();
    must(roster.children == same.children, || {
        "two devices read two rosters".into()
    })
}
