//! `rookery user …`: accounts.

mod clients;

use super::order::{Done, Make, give};
use super::password::Source;
use super::{Failure, Place, shown};
use crate::control::{self, Answer, Order};
use crate::opening::Start;
use clap::Subcommand;
use rookery_config::Settings;
use rookery_protocol::jid::Jid;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Make an account
    Add {
        /// Its address, such as alice@example.org
        address: String,
        #[command(flatten)]
        password: Source,
    },
    /// Set the password of an account; its sessions end
    Passwd {
        /// Its address
        address: String,
        #[command(flatten)]
        password: Source,
    },
    /// Remove an account with everything it has
    Delete {
        /// Its address
        address: String,
    },
    /// Show all accounts, or those of --domain
    List,
    /// Keep an account from logging in, and end its sessions
    Disable {
        /// Its address
        address: String,
    },
    /// Let a disabled account log in again
    Enable {
        /// Its address
        address: String,
    },
    /// Show the clients that have access to an account, or take the access of one
    Clients {
        /// Its address
        address: String,
        /// Void the tokens of this client and end its sessions
        #[arg(long, value_name = "ID")]
        revoke: Option<String>,
    },
}

pub(super) fn user(place: &Place, user: User, start: Start) -> Result<(), Failure> {
    let mut settings = place.settings()?;
    let Wish {
        order,
        subject,
        did,
        made,
    } = Wish::of(place, user, &mut settings)?;
    let make = match order {
        Order::AddUser { .. } => Make::Yes,
        _ => Make::No,
    };
    let Done { answer, .. } = give(settings, &order, make, start)?;
    show(place.json, answer, subject.as_ref(), did, made.as_ref());
    Ok(())
}

/// An order, and how its success is told.
struct Wish {
    order: Order,
    subject: Option<Jid>,
    did: &'static str,
    /// A password that was made here and must be shown.
    made: Option<control::Secret>,
}

impl Wish {
    fn of(place: &Place, user: User, settings: &mut Settings) -> Result<Self, Failure> {
        let address = match &user {
            User::List => {
                let order = Order::ListUsers {
                    domain: place.domain.first().cloned(),
                };
                return Ok(Wish {
                    order,
                    subject: None,
                    did: "",
                    made: None,
                });
            }
            User::Add { address, .. } | User::Passwd { address, .. } => address,
            User::Delete { address }
            | User::Disable { address }
            | User::Enable { address }
            | User::Clients { address, .. } => address,
        };
        let whose = account(address, settings)?;
        let (password, made) = match &user {
            User::Add { password, .. } | User::Passwd { password, .. } => {
                let (password, show) = password.read(whose.as_str())?;
                let made = show.then(|| password.clone());
                (password, made)
            }
            _ => (control::Secret::new(String::new()), None),
        };
        let subject = Some(whose.clone());
        let (order, did) = match user {
            User::Add { .. } => (
                Order::AddUser {
                    user: whose,
                    password,
                },
                "can log in now",
            ),
            User::Passwd { .. } => (
                Order::SetPassword {
                    user: whose,
                    password,
                },
                "has a new password",
            ),
            User::Delete { .. } => (Order::DeleteUser { user: whose }, "is gone"),
            User::Disable { .. } => (Order::DisableUser { user: whose }, "cannot log in any more"),
            User::Enable { .. } => (Order::EnableUser { user: whose }, "can log in again"),
            User::Clients { revoke: None, .. } => (Order::Clients { user: whose }, ""),
            User::Clients {
                revoke: Some(client),
                ..
            } => (
                Order::RevokeClient {
                    user: whose,
                    client,
                },
                "has one client less",
            ),
            User::List => (Order::ListUsers { domain: None }, ""),
        };
        Ok(Wish {
            order,
            subject,
            did,
            made,
        })
    }
}

/// The account meant. Where no domain is configured it is the address's own, so that a command
/// needs no more than the data folder; where one is, it may be left out.
fn account(address: &str, settings: &mut Settings) -> Result<Jid, Failure> {
    let whole = match (address.contains('@'), settings.domains.as_slice()) {
        (false, [domain]) => format!("{address}@{domain}"),
        _ => address.to_owned(),
    };
    let unfit = |why: String| Failure::new("unfit", why);
    let jid = Jid::parse(&whole).map_err(|error| unfit(format!("{address}: {error}")))?;
    if jid.local().is_none() || !jid.is_bare() {
        return Err(unfit(format!(
            "{address} is not an account; write alice@example.org"
        )));
    }
    if settings.domains.is_empty() {
        settings.domains = vec![jid.domain().to_owned()];
    }
    Ok(jid)
}

fn show(
    json: bool,
    answer: Answer,
    subject: Option<&Jid>,
    did: &str,
    made: Option<&control::Secret>,
) {
    let password = made.map(control::Secret::reveal);
    match (answer, subject) {
        (Answer::Users(users), _) if json => shown::json(&json!({ "users": users })),
        (Answer::Users(users), _) => shown::text(&table(&users)),
        (Answer::Clients(clients), _) if json => shown::json(&json!({ "clients": clients })),
        (Answer::Clients(clients), _) => shown::text(&clients::table(&clients)),
        (Answer::Revoked { knows_password }, Some(user)) if json => {
            shown::json(&json!({
                "ok": true, "address": user.as_str(), "knows_password": knows_password,
            }));
        }
        (Answer::Revoked { knows_password }, Some(user)) => {
            shown::text(&format!("{user} {did}.\n"));
            if knows_password {
                shown::text("It may log in again with the password: set a new one.\n");
            }
        }
        (_, Some(user)) if json => {
            let mut answer = json!({ "ok": true, "address": user.as_str() });
            if let Some(password) = password {
                answer["password"] = password.into();
            }
            shown::json(&answer);
        }
        (_, Some(user)) => {
            shown::text(&format!("{user} {did}.\n"));
            if let Some(password) = password {
                shown::text(&format!("Password: {password}\n"));
            }
        }
        (_, None) => {}
    }
}

/// The accounts, one a line.
fn table(users: &[control::User]) -> String {
    let width = users
        .iter()
        .map(|user| user.jid.chars().count())
        .max()
        .unwrap_or(0);
    let line = |user: &control::User| {
        let state = match (user.disabled, user.resources.as_slice()) {
            (true, _) => "disabled".into(),
            (_, []) => match user.last_seen {
                Some(time) => format!("last seen {}", shown::minute(time)),
                None => "never seen".into(),
            },
            (_, resources) => format!("online: {}", resources.join(", ")),
        };
        format!(
            "{:width$}  since {}  {state}\n",
            user.jid,
            shown::minute(user.created)
        )
    };
    match users {
        [] => "There are no accounts. Make one: rookery user add alice@example.org\n".into(),
        users => users.iter().map(line).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_account() {
        let none = Settings::default();
        let one = Settings {
            domains: vec!["a.example".into()],
            ..none.clone()
        };
        let two = Settings {
            domains: vec!["a.example".into(), "b.example".into()],
            ..none.clone()
        };
        let rows = [
            (&none, "Alice@X.example", Some("alice@x.example")),
            (&none, "alice", None),
            (&one, "alice", Some("alice@a.example")),
            (&one, "alice@x.example", Some("alice@x.example")),
            (&two, "alice", None),
            (&one, "alice@a.example/phone", None),
            (&one, "a b", None),
            (&one, "@a.example", None),
        ];
        for (settings, address, whole) in rows {
            let found = account(address, &mut settings.clone()).ok();
            assert_eq!(found.as_ref().map(Jid::as_str), whole, "{address}");
        }
        let mut settings = none;
        account("alice@x.example", &mut settings).unwrap();
        assert_eq!(settings.domains, ["x.example"]);
    }

    #[test]
    fn one_line_an_account() {
        let user = |jid: &str| control::User {
            jid: jid.into(),
            ..control::User::default()
        };
        let users = [
            control::User {
                resources: vec!["phone".into(), "💻".into()],
                ..user("a@a.example")
            },
            control::User {
                last_seen: Some(60_000),
                ..user("bob@a.example")
            },
            control::User {
                disabled: true,
                ..user("c@a.example")
            },
        ];
        assert_eq!(
            table(&users),
            "a@a.example    since 1970-01-01 00:00  online: phone, 💻\n\
             bob@a.example  since 1970-01-01 00:00  last seen 1970-01-01 00:01\n\
             c@a.example    since 1970-01-01 00:00  disabled\n"
        );
        assert!(table(&[]).contains("rookery user add"));
    }
}
