//! What to do where the way to another server ends early.

use rookery_protocol::dialback::{Pair, Problem};
use rookery_protocol::error::StreamCondition;
use rookery_protocol::negotiation::Refusal;

/// Who must do what, where the way from one domain to the other ends so.
pub fn advice(refusal: &Refusal, pair: &Pair) -> String {
    let Pair { from, to } = pair;
    match refusal {
        Refusal::Blocked => {
            format!("To speak with it: rookery s2s allow {to} (see also: rookery s2s rules).")
        }
        Refusal::NoDomain | Refusal::NoServer => format!(
            "Is the name right? If it is, whoever runs {to} must publish records for its server. \
             One in a network of your own needs a line in [dns.overrides], or `private` in [s2s]."
        ),
        Refusal::Unreachable => format!(
            "The server of {to} may be down. If others reach it, look whether this machine may \
             connect to the outside on that port, over IPv4 and IPv6."
        ),
        Refusal::Certificate => format!(
            "Whoever runs {to} must see to its certificate. If it is to be believed without: \
             \"{to}\" = \"dialback\" under [s2s.exceptions], or its authority's file in `ca` of \
             [s2s]."
        ),
        Refusal::External(_) => format!(
            "Does our certificate ([tls]) name {from}, and is it from an authority that {to} \
             believes? That server offers no dialback instead."
        ),
        Refusal::NoMethod => format!(
            "That server wants a certificate of us and offers no dialback: [tls] needs one for \
             {from} from a public authority."
        ),
        Refusal::Key => format!(
            "Who was asked about our key was not this server: do the DNS records of {from} lead \
             here, and only here?"
        ),
        Refusal::Dialback(problem) => dialback(*problem, pair),
        Refusal::Stream(error) => match error.condition {
            StreamCondition::HostUnknown | StreamCondition::HostGone => format!(
                "The DNS records of {to} lead to a server that does not serve it: whoever runs \
                 {to} must put them right."
            ),
            StreamCondition::PolicyViolation | StreamCondition::NotAuthorized => {
                format!("Ask whoever runs {to}: {from} may be blocked there.")
            }
            _ => later(to),
        },
        Refusal::NoTls | Refusal::TlsRefused | Refusal::TlsFailed | Refusal::Injection => format!(
            "Nothing is said without encryption by TLS 1.2 or 1.3. Whoever runs {to} must see to \
             that; if others can encrypt with it, somebody on the way between prevents it."
        ),
        Refusal::WrongName
        | Refusal::NoId
        | Refusal::OldVersion
        | Refusal::Broken(_)
        | Refusal::Separate => {
            format!("The server of {to} is at fault: whoever runs it must put that right.")
        }
        Refusal::Away | Refusal::Lost | Refusal::Timeout | Refusal::Closed | Refusal::Ended(_) => {
            later(to)
        }
    }
}

fn dialback(problem: Problem, pair: &Pair) -> String {
    let Pair { from, to } = pair;
    match problem {
        Problem::RemoteConnectionFailed
        | Problem::RemoteServerNotFound
        | Problem::RemoteServerTimeout => format!(
            "{to} could not ask our server back: do the DNS records of {from} lead here (they are \
             printed when the server starts), and is the port open to the outside?"
        ),
        Problem::NotAuthorized | Problem::PolicyViolation => format!(
            "{to} wants a certificate that it believes: [tls] needs one for {from} from a public \
             authority. Or {from} is blocked there."
        ),
        Problem::ItemNotFound => format!(
            "The DNS records of {to} lead to a server that does not serve it: whoever runs {to} \
             must put them right."
        ),
        _ => later(to),
    }
}

fn later(to: &str) -> String {
    format!("Try again later. If it stays so, ask whoever runs {to}.")
}
