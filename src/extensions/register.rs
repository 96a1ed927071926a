//! XEP-0077, In-Band Registration: accounts made by clients, if `[register] open` says so; and for
//! those who have one, always, a new password and the end of the account.

mod name;

use rookery_actors::admin::{Command, Failure, Outcome};
use rookery_actors::effect::Effects;
use rookery_actors::extension::{
    AccountRole, Before, DomainRole, Extension, Spec, StreamRole, View,
};
use rookery_actors::site::Site;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::{Field, FieldType, Form, Submission};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::sasl::Password;
use rookery_protocol::stanza::{IqType, Kind, Stanza};
use rookery_protocol::xml::Element;

use super::request::{bad_request, gets, sets, unavailable};

/// The extension.
pub const REGISTER: Extension = Extension {
    name: "register",
    specs: &[Spec {
        xep: 77,
        version: "2.4",
        title: "In-Band Registration",
    }],
    server_features: &[ns::REGISTER],
    account_features: &[ns::REGISTER],
    domain_namespaces: &[ns::REGISTER],
    account_namespaces: &[ns::REGISTER],
    account: Some(|_| Box::new(Register)),
    domain: Some(&Register),
    stream: Some(&Register),
    ..Extension::NONE
};

/// FORM_TYPE of the form to change a password (§3.3).
const CHANGE: &str = "jabber:iq:register:changepassword";

const INVITATION: &str = "Choose a name and a password for your account on this server.";
const REMINDER: &str = "You have this account. Send a new password to change the old one.";

struct Register;

impl StreamRole for Register {
    /// §8: offered to those who can use it.
    fn features(&self, site: &Site) -> Vec<Element> {
        match site.settings.register.open {
            true => vec![Element::new(ns::REGISTER_FEATURE, "register")],
            false => Vec::new(),
        }
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &[ns::REGISTER]
    }

    fn iq(&self, request: &Stanza, payload: &Element, domain: &str, site: &Site) -> Before {
        let elsewhere = request.to.as_ref().is_some_and(|to| to.as_str() != domain);
        let answer = match () {
            () if elsewhere || !site.settings.register.open => Err(unavailable()),
            () if gets(request, payload, "query") => return Before::Reply(invited(request)),
            () if sets(request, payload, "query") => newcomer(payload, domain, site),
            () => Err(unavailable()),
        };
        match answer {
            Ok(command) => Before::Administer(command),
            Err(error) => Before::Reply(refused(request, &error)),
        }
    }

    fn administered(&self, request: &Stanza, outcome: Outcome, _site: &Site) -> Stanza {
        match refusal(outcome) {
            None => request.result_reply(None),
            Some(error) => refused(request, &error),
        }
    }
}

impl DomainRole for Register {
    /// Only those who have their account here: to the others the server is no service to
    /// register with.
    fn iq(&self, request: &Stanza, payload: &Element, _site: &Site, fx: &mut Effects) {
        let domain = request.to.as_ref().map(Jid::domain);
        match &request.from {
            Some(from) if from.local().is_some() && Some(from.domain()) == domain => {
                registered(request, payload, from, fx);
            }
            _ => fx.refuse(request, &unavailable()),
        }
    }

    fn administered(&self, request: &Stanza, outcome: Outcome, _site: &Site, fx: &mut Effects) {
        tell(request, outcome, fx);
    }
}

impl AccountRole for Register {
    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        match &request.from {
            Some(from) if view.is_own(request) => registered(request, payload, from, fx),
            _ => fx.refuse(request, &unavailable()),
        }
    }

    fn administered(&mut self, request: &Stanza, outcome: Outcome, _view: View, fx: &mut Effects) {
        tell(request, outcome, fx);
    }
}

/// §3.1: what is asked of who has no account yet, as fields and as a form (§5).
fn invited(request: &Stanza) -> Stanza {
    let field = |kind, var: &'static str, label| Field::new(kind, var).with_label(label).required();
    let form = Form::offer(ns::REGISTER)
        .with_title("Registration")
        .with_instructions(INVITATION)
        .with_field(field(FieldType::TextSingle, "username", "Name"))
        .with_field(field(FieldType::TextPrivate, "password", "Password"));
    let query = query(INVITATION)
        .with_child(Element::new(ns::REGISTER, "username"))
        .with_child(Element::new(ns::REGISTER, "password"))
        .with_child(form.to_element());
    request.result_reply(Some(query))
}

/// §3.1, §3.1.1: an account for the name and the password that were sent.
fn newcomer(payload: &Element, domain: &str, site: &Site) -> Result<Command, StanzaError> {
    // §3.2: who has not logged in has no address, and so nothing to leave.
    if payload.child(ns::REGISTER, "remove").is_some() {
        return Err(StanzaError::new(Condition::UnexpectedRequest));
    }
    let sent = Sent::read(payload, ns::REGISTER)?;
    let (Some(username), Some(password)) = (sent.username, sent.password) else {
        return Err(StanzaError::new(Condition::NotAcceptable));
    };
    let user = name::of_newcomer(&username, domain, site)?;
    Ok(Command::Register(user, prepare(&password)?))
}

/// For those who are logged in as `from`.
fn registered(request: &Stanza, payload: &Element, from: &Jid, fx: &mut Effects) {
    if payload.name() != "query" {
        return fx.refuse(request, &unavailable());
    }
    if request.kind == Kind::Iq(IqType::Get) {
        return fx.result(request, Some(reminder(from)));
    }
    let command = match payload.child(ns::REGISTER, "remove") {
        // §3.2: `<remove/>` stands alone.
        Some(_) if payload.children().count() > 1 => Err(bad_request()),
        Some(_) => Ok(Command::DeleteUser(from.bare())),
        None => new_password(payload, from),
    };
    match command {
        Ok(command) => fx.administer(request, command),
        Err(error) => fx.refuse(request, &error),
    }
}

/// §3.1: what is known of who has an account.
fn reminder(user: &Jid) -> Element {
    let name = user.local().unwrap_or_default();
    query(REMINDER)
        .with_child(Element::new(ns::REGISTER, "registered"))
        .with_child(Element::new(ns::REGISTER, "username").with_text(name))
        .with_child(Element::new(ns::REGISTER, "password"))
}

/// §3.3. Without a name it is the own password.
fn new_password(payload: &Element, from: &Jid) -> Result<Command, StanzaError> {
    let sent = Sent::read(payload, CHANGE)?;
    let own = |name: &String| Jid::new(Some(name), from.domain(), None).ok() == Some(from.bare());
    if sent.username.as_ref().is_some_and(|name| !own(name)) {
        return Err(StanzaError::new(Condition::NotAllowed));
    }
    let password = prepare(&sent.password.ok_or_else(bad_request)?)?;
    Ok(Command::SetPassword {
        user: from.bare(),
        password,
        except: Some(from.clone()),
    })
}

/// Name and password, from a form or from plain fields; a form counts more (§5).
struct Sent {
    username: Option<String>,
    password: Option<String>,
}

impl Sent {
    fn read(payload: &Element, form_type: &str) -> Result<Sent, StanzaError> {
        let Some(x) = payload.child(ns::DATA_FORMS, "x") else {
            let text = |name| payload.child(ns::REGISTER, name).map(Element::text);
            return Ok(Sent {
                username: text("username"),
                password: text("password"),
            });
        };
        let sent = Submission::read(x)?;
        if sent
            .form_type()
            .is_some_and(|held| held != form_type && held != ns::REGISTER)
        {
            return Err(bad_request());
        }
        let text = |var| sent.lines(var);
        Ok(Sent {
            username: text("username"),
            password: text("password"),
        })
    }
}

/// §3.1 and §3.3: no empty password, and none that nobody could log in with.
fn prepare(password: &str) -> Result<Password, StanzaError> {
    Password::prepare(password)
        .map_err(|why| StanzaError::new(Condition::NotAcceptable).with_text(why.to_string()))
}

fn tell(request: &Stanza, outcome: Outcome, fx: &mut Effects) {
    match refusal(outcome) {
        None => fx.result(request, None),
        Some(error) => fx.refuse(request, &error),
    }
}

/// §3.1, §3.2: why it was not done.
fn refusal(outcome: Outcome) -> Option<StanzaError> {
    let Outcome::Failed(failure) = outcome else {
        return None;
    };
    let condition = match &failure {
        Failure::Exists => Condition::Conflict,
        Failure::Absent => Condition::RegistrationRequired,
        Failure::NotOurs | Failure::NoClient => Condition::ItemNotFound,
        Failure::Name(_) => Condition::NotAcceptable,
        Failure::Busy | Failure::Store(_) => Condition::ResourceConstraint,
        // Of other servers: never said of an account.
        Failure::NoLink | Failure::Alone | Failure::TooMany(_) => Condition::InternalServerError,
    };
    Some(StanzaError::new(condition))
}

/// A get or set always has an answer.
fn refused(request: &Stanza, error: &StanzaError) -> Stanza {
    request
        .error_reply(error)
        .unwrap_or_else(|| request.result_reply(None))
}

fn query(instructions: &str) -> Element {
    let instructions = Element::new(ns::REGISTER, "instructions").with_text(instructions);
    Element::new(ns::REGISTER, "query").with_child(instructions)
}

#[cfg(test)]
mod tests;
