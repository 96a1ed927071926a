//! Which names strangers may take. Administrators may give any name there is.

use rookery_actors::lookalike::skeleton;
use rookery_actors::site::Site;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;

/// Names that speak for the server (RFC 2142 and custom), in alphabetical order.
const RESERVED: &[&str] = &[
    "abuse",
    "admin",
    "admins",
    "administrator",
    "administrators",
    "anonymous",
    "daemon",
    "ftp",
    "guest",
    "help",
    "hostmaster",
    "info",
    "jabber",
    "mail",
    "mailer-daemon",
    "moderator",
    "moderators",
    "news",
    "no-reply",
    "nobody",
    "noc",
    "noreply",
    "null",
    "official",
    "operator",
    "owner",
    "postmaster",
    "register",
    "registration",
    "root",
    "sales",
    "security",
    "server",
    "service",
    "staff",
    "status",
    "support",
    "sysadmin",
    "system",
    "team",
    "usenet",
    "webmaster",
    "www",
    "xmpp",
];

/// The shortest and the longest name, in characters.
const LENGTH: std::ops::RangeInclusive<usize> = 2..=64;

/// The account's address for a name that a stranger chose: ASCII letters, digits, dots, dashes
/// and underscores, so that it cannot look like another's in another script; and not reserved.
pub fn of_newcomer(name: &str, domain: &str, site: &Site) -> Result<Jid, StanzaError> {
    let refuse = |why| Err(StanzaError::new(Condition::NotAcceptable).with_text(why));
    let name = name.to_ascii_lowercase();
    if !LENGTH.contains(&name.chars().count()) {
        return refuse("a name has 2 to 64 characters");
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !name.chars().all(allowed) {
        return refuse("a name has letters a to z, digits, dots, dashes and underscores only");
    }
    if !name.contains(|c: char| c.is_ascii_alphanumeric()) {
        return refuse("a name has a letter or a digit");
    }
    let administrators = site.admins.iter().filter_map(Jid::local);
    if is_reserved(&name)
        || administrators
            .into_iter()
            .any(|admin| looks_like(&name, admin))
    {
        return refuse("the name is reserved");
    }
    Jid::new(Some(&name), domain, None).map_err(|_| StanzaError::new(Condition::NotAcceptable))
}

fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|reserved| looks_like(name, reserved))
}

/// Whether two names are easily taken for each other.
fn looks_like(one: &str, other: &str) -> bool {
    skeleton(one) == skeleton(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::scene::Scene;

    fn chosen(name: &str) -> Option<String> {
        let jid = of_newcomer(name, "a.test", &Scene::new().site).ok()?;
        Some(jid.as_str().to_owned())
    }

    #[test]
    fn ordinary_names_pass() {
        assert_eq!(chosen("Bob").as_deref(), Some("bob@a.test"));
        for name in ["bo", "mary-jane_2", "x.y", "administra", &"a".repeat(64)] {
            assert!(chosen(name).is_some(), "{name}");
        }
    }

    #[test]
    fn names_that_speak_for_others_do_not() {
        for name in [
            "admin",
            "Root",
            "postmaster",
            "xmpp",
            "4dm1n",
            "ad.min",
            "adrnin",
            "r00t",
        ] {
            assert_eq!(chosen(name), None, "{name}");
        }
    }

    #[test]
    fn names_that_are_no_names_do_not() {
        for name in [
            "",
            "b",
            "..",
            "\u{0}\u{0}",
            "bo b",
            "bob@x",
            "bоb",
            "ｂｏｂ",
            "a\u{200b}b",
        ] {
            assert_eq!(chosen(name), None, "{name}");
        }
        assert_eq!(chosen(&"a".repeat(65)), None);
    }

    #[test]
    fn the_list_is_in_order_and_every_name_is_a_name() {
        let mut sorted = RESERVED.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert!(
            RESERVED
                .iter()
                .all(|name| Jid::new(Some(name), "a.test", None).is_ok())
        );
        assert_eq!(sorted.len(), RESERVED.len());
    }
}
