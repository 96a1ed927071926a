//! What an administrator is told when a command is over.

use rookery_actors::admin::{Failure, Outcome, User};
use rookery_actors::effect::Millis;
use rookery_protocol::datetime;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::{Field, FieldType, Form};

use super::admin::FORM_TYPE;
use super::filled::Filled;
use super::{Report, Trouble};

const LAST: &str = "When they were last here";

type Reported = Result<Report, Trouble>;
type Note = (&'static str, String);

/// The most addresses that a list shows: a stanza must stay smaller than what clients take.
const LISTED: usize = 1_000;

/// Of a command for one account.
pub fn done(_filled: &Filled, outcome: Outcome) -> Reported {
    match outcome {
        Outcome::Failed(failure) => Err(trouble(failure)),
        _ => Ok(Report::default()),
    }
}

/// Of a command for several accounts: a note for each that failed.
pub fn each_done(filled: &Filled, outcome: Outcome) -> Reported {
    let outcomes = match outcome {
        Outcome::Several(outcomes) => outcomes,
        one => return done(filled, one),
    };
    let failed = named(filled)
        .zip(outcomes)
        .filter_map(|(jid, outcome)| match outcome {
            Outcome::Failed(failure) => Some(("error", format!("{jid}: {failure}"))),
            _ => None,
        });
    Ok(Report {
        notes: failed.collect(),
        ..Report::default()
    })
}

/// XEP-0133 §4.8: within the form, a roster for each account in `accountjids`.
pub fn rosters(filled: &Filled, outcome: Outcome) -> Reported {
    let (mut found, mut notes) = ((Vec::new(), Vec::new()), Vec::new());
    let outcomes = match outcome {
        Outcome::Several(outcomes) => outcomes,
        Outcome::Failed(failure) => return Err(trouble(failure)),
        one => vec![one],
    };
    for (jid, outcome) in named(filled).zip(outcomes) {
        match outcome {
            Outcome::Roster(roster) => {
                found.0.push(jid);
                found.1.push(roster);
            }
            Outcome::Failed(failure) => notes.push(("error", format!("{jid}: {failure}"))),
            _ => return Err(unexpected()),
        }
    }
    let (jids, within) = found;
    let field = told(FieldType::JidMulti, "accountjids", "The accounts").with_values(jids);
    Ok(Report {
        within,
        ..report([field], notes)
    })
}

/// XEP-0133 §4.9: the time in the format of XEP-0082, if the server knows it; a note for each who
/// is here now.
pub fn last_login(filled: &Filled, outcome: Outcome) -> Reported {
    let (users, mut notes) = users(filled, outcome)?;
    let here = users.iter().filter(|user| !user.resources.is_empty());
    notes.extend(here.map(|user| ("info", format!("{} is here now", user.jid))));
    let jids = users.iter().map(|user| &user.jid);
    let seen = users.iter().filter_map(|user| user.last_seen).map(date);
    let fields = [
        told(FieldType::JidMulti, "accountjids", "The accounts").with_values(jids),
        told(FieldType::TextMulti, "lastlogin", LAST).with_values(seen),
    ];
    Ok(report(fields, notes))
}

/// XEP-0133 §4.10, as far as the server knows.
pub fn statistics(filled: &Filled, outcome: Outcome) -> Reported {
    let (users, notes) = users(filled, outcome)?;
    let jids = users.iter().map(|user| &user.jid);
    let created = users.iter().map(|user| date(user.created));
    let seen = users.iter().filter_map(|user| user.last_seen).map(date);
    let resources = users.iter().flat_map(|user| &user.resources);
    let fields = [
        told(FieldType::JidMulti, "accountjids", "The accounts").with_values(jids),
        told(FieldType::TextMulti, "created", "When they were made").with_values(created),
        told(FieldType::TextMulti, "lastlogin", LAST).with_values(seen),
        told(FieldType::TextMulti, "onlineresources", "Resources now").with_values(resources),
    ];
    Ok(report(fields, notes))
}

pub fn registered_number(_filled: &Filled, outcome: Outcome) -> Reported {
    let label = "The number of registered users";
    number("registeredusersnum", label, listed(outcome)?.len())
}

pub fn disabled_number(_filled: &Filled, outcome: Outcome) -> Reported {
    let count = listed(outcome)?.iter().filter(|user| user.disabled).count();
    number("disabledusersnum", "The number of disabled users", count)
}

pub fn online_number(_filled: &Filled, outcome: Outcome) -> Reported {
    number(
        "onlineusersnum",
        "The number of online users",
        listed(outcome)?.len(),
    )
}

pub fn registered_list(filled: &Filled, outcome: Outcome) -> Reported {
    let jids = listed(outcome)?.into_iter().map(|user| user.jid);
    list(
        "registereduserjids",
        "The registered users",
        filled,
        jids.collect(),
    )
}

pub fn disabled_list(filled: &Filled, outcome: Outcome) -> Reported {
    let disabled = listed(outcome)?.into_iter().filter(|user| user.disabled);
    list(
        "disableduserjids",
        "The disabled users",
        filled,
        disabled.map(|it| it.jid).collect(),
    )
}

pub fn online_list(filled: &Filled, outcome: Outcome) -> Reported {
    let jids = listed(outcome)?.into_iter().map(|user| user.jid);
    list("onlineuserjids", "The online users", filled, jids.collect())
}

/// Who is at it: see [`User::active`]. Everybody else who is online is idle.
pub fn active_number(_filled: &Filled, outcome: Outcome) -> Reported {
    let count = listed(outcome)?.iter().filter(|user| user.active).count();
    number("activeusersnum", "The number of active users", count)
}

pub fn idle_number(_filled: &Filled, outcome: Outcome) -> Reported {
    let count = listed(outcome)?.iter().filter(|user| !user.active).count();
    number("idleusersnum", "The number of idle users", count)
}

pub fn active_list(filled: &Filled, outcome: Outcome) -> Reported {
    let active = listed(outcome)?.into_iter().filter(|user| user.active);
    let jids = active.map(|it| it.jid).collect();
    list("activeuserjids", "The active users", filled, jids)
}

/// The field is that of the active ones (XEP-0133 §4.22).
pub fn idle_list(filled: &Filled, outcome: Outcome) -> Reported {
    let idle = listed(outcome)?.into_iter().filter(|user| !user.active);
    let jids = idle.map(|it| it.jid).collect();
    list("activeuserjids", "The idle users", filled, jids)
}

fn number(var: &'static str, label: &'static str, count: usize) -> Reported {
    let field = told(FieldType::TextSingle, var, label).with_value(count.to_string());
    Ok(report([field], Vec::new()))
}

/// At most as many as the form asks for; a note tells of those that are left out.
fn list(var: &'static str, label: &'static str, filled: &Filled, jids: Vec<String>) -> Reported {
    let asked = match filled.one("max_items") {
        None | Some("none") => LISTED,
        Some(text) => text.parse().map_err(|_| super::bad("bad-payload"))?,
    };
    let (all, shown) = (jids.len(), asked.min(LISTED).min(jids.len()));
    let notes = match shown < all {
        true => vec![("warn", format!("{shown} of {all} are shown"))],
        false => Vec::new(),
    };
    let field = told(FieldType::JidMulti, var, label).with_values(jids.into_iter().take(shown));
    Ok(report([field], notes))
}

fn report(fields: impl IntoIterator<Item = Field>, notes: Vec<Note>) -> Report {
    let form = fields
        .into_iter()
        .fold(Form::result(FORM_TYPE), Form::with_field);
    Report {
        form: Some(form),
        notes,
        ..Report::default()
    }
}

fn told(kind: FieldType, var: &'static str, label: &'static str) -> Field {
    Field::new(kind, var).with_label(label)
}

fn date(time: Millis) -> String {
    datetime::format_seconds(time)
}

fn listed(outcome: Outcome) -> Result<Vec<User>, Trouble> {
    match outcome {
        Outcome::Users(users) => Ok(users),
        Outcome::Failed(failure) => Err(trouble(failure)),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> Trouble {
    Trouble::Refused(StanzaError::new(Condition::InternalServerError))
}

/// The users that were asked for, and a note for each that is not there.
fn users(filled: &Filled, outcome: Outcome) -> Result<(Vec<User>, Vec<Note>), Trouble> {
    let outcomes = match outcome {
        Outcome::Several(outcomes) => outcomes,
        one => return listed(one).map(|users| (users, Vec::new())),
    };
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    for (jid, outcome) in named(filled).zip(outcomes) {
        match outcome {
            Outcome::Failed(failure) => notes.push(("error", format!("{jid}: {failure}"))),
            other => found.extend(listed(other)?),
        }
    }
    Ok((found, notes))
}

/// The accounts that the form names, in the order in which they were served.
fn named(filled: &Filled) -> impl Iterator<Item = &str> {
    filled.all("accountjids").chain(filled.all("accountjid"))
}

/// XEP-0133 §5 has an error for what exists already; else the command ends with a note.
fn trouble(failure: Failure) -> Trouble {
    match failure {
        Failure::Exists => Trouble::Refused(StanzaError::new(Condition::Conflict)),
        Failure::Busy => Trouble::Refused(StanzaError::new(Condition::ResourceConstraint)),
        other => Trouble::Failed(other.to_string()),
    }
}
