//! XEP-0133, Service Administration: the commands there are, and what each has the server do.

use std::time::Duration;

use rookery_actors::admin::Command;
use rookery_actors::notices::{NOTICE_BYTES, Notice, Occasion};
use rookery_actors::site::Site;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::FieldType;
use rookery_protocol::jid::Jid;
use rookery_protocol::sasl::Password;

use super::filled::Filled;
use super::report;
use super::{Asker, Question, Task, Trouble, bad};

/// FORM_TYPE of all its forms.
pub const FORM_TYPE: &str = "http://jabber.org/protocol/admin";

/// The most accounts that one command is for.
const AT_ONCE: usize = 100;

/// The numbers of notices that an administrator sends: see [`Notice::number`].
const NEWS: u64 = 1;
const CORRECTION: u64 = 0;

const ACCOUNT: Question = required(
    "accountjid",
    FieldType::JidSingle,
    "The address of the account",
);
const ACCOUNTS: Question = required(
    "accountjids",
    FieldType::JidMulti,
    "The addresses of the accounts",
);
const PASSWORD: Question = required("password", FieldType::TextPrivate, "The password");
const AGAIN: Question = required(
    "password-verify",
    FieldType::TextPrivate,
    "The password again",
);
const ANNOUNCEMENT: Question = required("announcement", FieldType::TextMulti, "Announcement");
const MAX_ITEMS: Question = Question {
    var: "max_items",
    kind: FieldType::ListSingle,
    label: "How many to show",
    required: false,
    options: &["25", "50", "75", "100", "150", "200", "none"],
    now: |_, _| Vec::new(),
};
const MOTD: Question = Question {
    now: |site, asker| text_now(Occasion::Motd, site, asker),
    ..required("motd", FieldType::TextMulti, "Message of the day")
};
const NEW_MOTD: Question = required("motd", FieldType::TextMulti, "Message of the day");
const WELCOME: Question = Question {
    now: |site, asker| text_now(Occasion::Welcome, site, asker),
    ..required("welcome", FieldType::TextMulti, "Welcome message")
};
const DELAY: Question = Question {
    options: &["0", "30", "60", "90", "120", "180", "240", "300"],
    ..optional(required(
        "delay",
        FieldType::ListSingle,
        "Seconds until then",
    ))
};

const fn required(var: &'static str, kind: FieldType, label: &'static str) -> Question {
    Question {
        var,
        kind,
        label,
        required: true,
        options: &[],
        now: |_, _| Vec::new(),
    }
}

const fn optional(question: Question) -> Question {
    Question {
        required: false,
        ..question
    }
}

/// All commands, in the order of the specification.
///
/// Administrators are not edited here (§4.29): who holds an administrator's device must not be able
/// to keep the power for good, so only who may change the settings makes administrators.
pub const TASKS: &[Task] = &[
    Task {
        node: "http://jabber.org/protocol/admin#add-user",
        name: "Add a user",
        questions: &[ACCOUNT, PASSWORD, AGAIN],
        order: add_user,
        report: report::done,
    },
    Task {
        node: "http://jabber.org/protocol/admin#delete-user",
        name: "Delete users",
        questions: &[ACCOUNTS],
        order: |filled, asker| each(filled, asker, |jid| Command::DeleteUser(jid.bare())),
        report: report::each_done,
    },
    Task {
        node: "http://jabber.org/protocol/admin#disable-user",
        name: "Disable users",
        questions: &[ACCOUNTS],
        order: |filled, asker| each(filled, asker, |jid| Command::DisableUser(jid.bare())),
        report: report::each_done,
    },
    Task {
        node: "http://jabber.org/protocol/admin#reenable-user",
        name: "Re-enable users",
        questions: &[ACCOUNTS],
        order: |filled, asker| each(filled, asker, |jid| Command::EnableUser(jid.bare())),
        report: report::each_done,
    },
    Task {
        node: "http://jabber.org/protocol/admin#end-user-session",
        name: "End sessions of users",
        questions: &[ACCOUNTS],
        // Of a bare JID all, of a full one only that (§4.5).
        order: |filled, asker| each(filled, asker, Command::EndSessions),
        report: report::each_done,
    },
    Task {
        node: "http://jabber.org/protocol/admin#change-user-password",
        name: "Change the password of a user",
        questions: &[ACCOUNT, PASSWORD],
        order: change_password,
        report: report::done,
    },
    Task {
        node: "http://jabber.org/protocol/admin#get-user-roster",
        name: "Rosters of users",
        questions: &[ACCOUNTS],
        order: |filled, asker| each(filled, asker, |jid| Command::UserRoster(jid.bare())),
        report: report::rosters,
    },
    Task {
        node: "http://jabber.org/protocol/admin#get-user-lastlogin",
        name: "When users were last here",
        questions: &[ACCOUNTS],
        order: |filled, asker| each(filled, asker, |jid| Command::UserInfo(jid.bare())),
        report: report::last_login,
    },
    Task {
        node: "http://jabber.org/protocol/admin#user-stats",
        name: "Statistics of users",
        // §4.10 has the first field, some clients fill in the second: one of them is needed.
        questions: &[optional(ACCOUNT), optional(ACCOUNTS)],
        order: |filled, asker| each(filled, asker, |jid| Command::UserInfo(jid.bare())),
        report: report::statistics,
    },
    Task {
        node: "http://jabber.org/protocol/admin#get-registered-users-num",
        name: "Number of registered users",
        questions: &[],
        order: registered,
        report: report::registered_number,
    },
    Task {
        node: "http://jabber.org/protocol/admin#get-disabled-users-num",
        name: "Number of disabled users",
        questions: &[],
        order: registered,
        report: report::disabled_number,
    },
    Task {
        node: "http://jabber.org/protocol/admin#get-online-users-num",
        name: "Number of online users",
        questions: &[],
        order: online,
        report: report::online_number,
    },
    Task {
        node: "http://jabber.org/protocol/admin#get-active-users-num",
        name: "Number of active users",
        questions: &[],
        order: online,
        report: report::active_number,
    },
    Task {
        node: "http://jabber.org/protocol/admin#get-idle-users-num",
        name: "Number of idle users",
        questions: &[],
        order: online,
        report: report::idle_number,
    },
    Task {
        node: "http://jabber.org/protocol/admin#get-registered-users-list",
        name: "List of registered users",
        questions: &[MAX_ITEMS],
        order: registered,
        report: report::registered_list,
    },
    Task {
        node: "http://jabber.org/protocol/admin#get-disabled-users-list",
        name: "List of disabled users",
        questions: &[MAX_ITEMS],
        order: registered,
        report: report::disabled_list,
    },
    Task {
        node: "http://jabber.org/protocol/admin#get-online-users-list",
        name: "List of online users",
        questions: &[MAX_ITEMS],
        order: online,
        report: report::online_list,
    },
    Task {
        node: "http://jabber.org/protocol/admin#get-active-users",
        name: "List of active users",
        questions: &[MAX_ITEMS],
        order: online,
        report: report::active_list,
    },
    Task {
        node: "http://jabber.org/protocol/admin#get-idle-users",
        name: "List of idle users",
        questions: &[MAX_ITEMS],
        order: online,
        report: report::idle_list,
    },
    Task {
        node: "http://jabber.org/protocol/admin#announce",
        name: "Announcement to online users",
        questions: &[ANNOUNCEMENT],
        order: announce,
        report: report::done,
    },
    Task {
        node: "http://jabber.org/protocol/admin#set-motd",
        name: "Set the message of the day",
        questions: &[NEW_MOTD],
        order: |filled, asker| notice(filled, asker, Occasion::Motd, NEWS),
        report: report::done,
    },
    Task {
        node: "http://jabber.org/protocol/admin#edit-motd",
        name: "Edit the message of the day",
        questions: &[MOTD],
        order: |filled, asker| notice(filled, asker, Occasion::Motd, CORRECTION),
        report: report::done,
    },
    Task {
        node: "http://jabber.org/protocol/admin#delete-motd",
        name: "Delete the message of the day",
        questions: &[],
        order: |_, asker| nothing(asker, Occasion::Motd),
        report: report::done,
    },
    Task {
        node: "http://jabber.org/protocol/admin#set-welcome",
        name: "Set the welcome message",
        questions: &[WELCOME],
        order: |filled, asker| notice(filled, asker, Occasion::Welcome, NEWS),
        report: report::done,
    },
    Task {
        node: "http://jabber.org/protocol/admin#delete-welcome",
        name: "Delete the welcome message",
        questions: &[],
        order: |_, asker| nothing(asker, Occasion::Welcome),
        report: report::done,
    },
    Task {
        node: "http://jabber.org/protocol/admin#shutdown",
        name: "Shut down the server",
        questions: &[DELAY, optional(ANNOUNCEMENT)],
        order: shut_down,
        report: report::each_done,
    },
];

fn add_user(filled: &Filled, asker: &Asker) -> Result<Command, Trouble> {
    let user = account(filled, asker)?;
    if filled.one("password") != filled.one("password-verify") {
        return Err(Trouble::Failed("the two passwords are not the same".into()));
    }
    Ok(Command::AddUser(user, password(filled)?))
}

/// All sessions of the user end, but not the one in which an administrator changes his own.
fn change_password(filled: &Filled, asker: &Asker) -> Result<Command, Trouble> {
    let user = account(filled, asker)?;
    let except = (asker.jid.bare() == user).then(|| asker.jid.clone());
    Ok(Command::SetPassword {
        user,
        password: password(filled)?,
        except,
    })
}

fn registered(_filled: &Filled, asker: &Asker) -> Result<Command, Trouble> {
    Ok(Command::ListUsers(Some(asker.host.to_owned())))
}

fn online(_filled: &Filled, asker: &Asker) -> Result<Command, Trouble> {
    Ok(Command::OnlineUsers(Some(asker.host.to_owned())))
}

fn announce(filled: &Filled, asker: &Asker) -> Result<Command, Trouble> {
    let domain = asker.host.to_owned();
    let body = filled.lines("announcement");
    Ok(Command::Announce {
        domain,
        subject: None,
        body,
    })
}

/// A text that everybody is told; with the number [`CORRECTION`] not those who heard the last one.
fn notice(
    filled: &Filled,
    asker: &Asker,
    occasion: Occasion,
    number: u64,
) -> Result<Command, Trouble> {
    let text = filled.lines(match occasion {
        Occasion::Motd => "motd",
        Occasion::Welcome => "welcome",
    });
    if text.len() > NOTICE_BYTES {
        let why = format!("the text is longer than {NOTICE_BYTES} bytes");
        return Err(Trouble::Failed(why));
    }
    Ok(Command::SetNotice(Notice {
        domain: asker.host.to_owned(),
        occasion,
        text,
        number,
    }))
}

/// Nobody is told anything any more.
fn nothing(asker: &Asker, occasion: Occasion) -> Result<Command, Trouble> {
    Ok(Command::SetNotice(Notice {
        domain: asker.host.to_owned(),
        occasion,
        text: String::new(),
        number: NEWS,
    }))
}

/// §4.31. The administrator of one domain must not end another (attacks H24).
fn shut_down(filled: &Filled, asker: &Asker) -> Result<Command, Trouble> {
    if asker.site.domains.len() > 1 {
        let why = "this server serves other domains too";
        return Err(Trouble::Refused(
            StanzaError::new(Condition::NotAllowed).with_text(why),
        ));
    }
    let seconds = match filled.one("delay") {
        None => 0,
        Some(text) if DELAY.options.contains(&text) => {
            text.parse().map_err(|_| bad("bad-payload"))?
        }
        Some(_) => return Err(bad("bad-payload")),
    };
    let delay = Duration::from_secs(seconds);
    let mut commands = vec![Command::Stop { delay }];
    if filled.one("announcement").is_some() {
        commands.insert(0, announce(filled, asker)?);
    }
    Ok(Command::Several(commands))
}

fn text_now(occasion: Occasion, site: &Site, asker: &Asker) -> Vec<String> {
    let notice = site.notices.get(occasion, asker.host);
    let text = notice.map(|notice| notice.text).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A command for each account that the form names.
fn each(filled: &Filled, asker: &Asker, command: fn(Jid) -> Command) -> Result<Command, Trouble> {
    let named: Vec<&str> = filled
        .all("accountjids")
        .chain(filled.all("accountjid"))
        .collect();
    match named.as_slice() {
        [] => Err(bad("bad-payload")),
        [one] => ours(one, asker).map(command),
        more if more.len() > AT_ONCE => Err(bad("bad-payload")),
        more => {
            let jids = more.iter().map(|text| ours(text, asker));
            let commands = jids.map(|jid| jid.map(command)).collect::<Result<_, _>>()?;
            Ok(Command::Several(commands))
        }
    }
}

fn account(filled: &Filled, asker: &Asker) -> Result<Jid, Trouble> {
    ours(filled.one("accountjid").unwrap_or_default(), asker).map(|jid| jid.bare())
}

/// Only accounts of the domain that is administered: being an administrator here says nothing of
/// any other domain of this server (attacks H24).
fn ours(text: &str, asker: &Asker) -> Result<Jid, Trouble> {
    match Jid::parse(text) {
        Err(_) => Err(Trouble::Failed(format!("{text:?} is not an address"))),
        Ok(jid) if jid.local().is_none() || jid.domain() != asker.host => Err(Trouble::Failed(
            format!("{jid} is not an account of {}", asker.host),
        )),
        Ok(jid) => Ok(jid),
    }
}

fn password(filled: &Filled) -> Result<Password, Trouble> {
    let text = filled.one("password").unwrap_or_default();
    Password::prepare(text).map_err(|why| Trouble::Failed(why.to_string()))
}
