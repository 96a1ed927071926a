//! XEP-0050, Ad-Hoc Commands, and with them XEP-0133, Service Administration, for the
//! administrators of a domain: at the domain and, since clients ask there too, at their own bare
//! JID.
//!
//! A command has at most one form, which carries all that there is to know; so no session is kept
//! between the stages, and a form may be sent without having been asked for.

mod admin;
mod filled;
mod report;
mod session;

use rookery_actors::admin::{Command, Outcome};
use rookery_actors::effect::Effects;
use rookery_actors::extension::{AccountRole, DomainRole, Extension, Spec, View};
use rookery_actors::site::{Site, random_id};
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::{Field, FieldType, Form};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind, Stanza};
use rookery_protocol::xml::Element;

use super::disco::{feature, identity, item};
use super::request::{bad_request, sets, unavailable};
use filled::Filled;

/// The extension.
pub const COMMANDS: Extension = Extension {
    name: "commands",
    specs: &[
        Spec {
            xep: 50,
            version: "1.3.0",
            title: "Ad-Hoc Commands",
        },
        Spec {
            xep: 133,
            version: "1.3.1",
            title: "Service Administration",
        },
    ],
    server_features: &[ns::ADHOC],
    account_features: &[ns::ADHOC],
    domain_namespaces: &[ns::ADHOC],
    account_namespaces: &[ns::ADHOC],
    account: Some(|_| Box::new(Commands)),
    domain: Some(&Commands),
    ..Extension::NONE
};

/// A command that an administrator may give.
struct Task {
    /// Its node.
    node: &'static str,
    /// Its name in lists, and the title of its form.
    name: &'static str,
    /// What its form asks; without questions it is done at once.
    questions: &'static [Question],
    /// What has to be done for a form that was filled in.
    order: fn(&Filled, &Asker) -> Result<Command, Trouble>,
    /// What the administrator is told of the outcome.
    report: fn(&Filled, Outcome) -> Result<Report, Trouble>,
}

/// A field of a command's form.
struct Question {
    var: &'static str,
    kind: FieldType,
    label: &'static str,
    required: bool,
    /// The values there are, for lists.
    options: &'static [&'static str],
    /// What it says before anybody fills it in.
    now: fn(&Site, &Asker) -> Vec<String>,
}

/// Who gives a command, where.
struct Asker<'a> {
    /// The full JID.
    jid: &'a Jid,
    /// The domain that is administered.
    host: &'a str,
    site: &'a Site,
}

/// The end of a command.
#[derive(Default)]
struct Report {
    form: Option<Form>,
    /// What stands in the form behind its fields.
    within: Vec<Element>,
    /// Kind (`info`, `warn`, `error`) and text.
    notes: Vec<(&'static str, String)>,
}

/// Why a command was not done.
enum Trouble {
    /// It ends with a note of type `error` (§3.6).
    Failed(String),
    /// An error stanza.
    Refused(StanzaError),
}

struct Commands;

impl DomainRole for Commands {
    fn iq(&self, request: &Stanza, payload: &Element, site: &Site, fx: &mut Effects) {
        run(request, payload, site, fx);
    }

    fn administered(&self, request: &Stanza, outcome: Outcome, _site: &Site, fx: &mut Effects) {
        end(request, outcome, fx);
    }

    /// §2.2. Others than administrators see an empty list.
    fn items(&self, host: &str, node: Option<&str>, asker: &Jid, site: &Site) -> Vec<Element> {
        match node == Some(ns::ADHOC) && is_admin(site, asker, host) {
            true => admin::TASKS
                .iter()
                .map(|task| item(host, task.node, task.name))
                .collect(),
            false => Vec::new(),
        }
    }

    fn node(
        &self,
        host: &str,
        node: &str,
        asker: &Jid,
        site: &Site,
    ) -> Option<Result<Vec<Element>, StanzaError>> {
        if node == ns::ADHOC {
            let list = identity("automation", "command-list", "");
            return Some(Ok(vec![list, feature(ns::DISCO_ITEMS)]));
        }
        let task = find(node)?;
        if !is_admin(site, asker, host) {
            return Some(Err(StanzaError::new(Condition::Forbidden)));
        }
        let node = identity("automation", "command-node", task.name);
        Some(Ok(vec![node, feature(ns::ADHOC), feature(ns::DATA_FORMS)]))
    }
}

impl AccountRole for Commands {
    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        match view.is_own(request) {
            true => run(request, payload, view.site, fx),
            false => fx.refuse(request, &unavailable()),
        }
    }

    fn administered(&mut self, request: &Stanza, outcome: Outcome, _view: View, fx: &mut Effects) {
        end(request, outcome, fx);
    }
}

/// By default nobody may do anything (attacks H23).
fn is_admin(site: &Site, asker: &Jid, host: &str) -> bool {
    let domain = host.rsplit_once('@').map_or(host, |(_, domain)| domain);
    site.is_admin(asker, domain)
}

fn find(node: &str) -> Option<&'static Task> {
    admin::TASKS.iter().find(|task| task.node == node)
}

/// A request to execute a command, at its first or second stage.
fn run(request: &Stanza, payload: &Element, site: &Site, fx: &mut Effects) {
    let Some(asker) = asker(request, site).filter(|asker| is_admin(site, asker.jid, asker.host))
    else {
        return fx.refuse(request, &StanzaError::new(Condition::Forbidden));
    };
    match judge(request, payload, &asker) {
        Ok(Next::Ask(task)) => fx.result(request, Some(blank(payload, task, &asker))),
        Ok(Next::Cancel) => fx.result(request, Some(command(payload, "canceled"))),
        Ok(Next::Do(order)) => fx.administer(request, order),
        Err(trouble) => explain(request, payload, trouble, fx),
    }
}

/// What comes next in a command.
enum Next {
    Ask(&'static Task),
    Cancel,
    Do(Command),
}

fn judge(request: &Stanza, payload: &Element, asker: &Asker) -> Result<Next, Trouble> {
    if !sets(request, payload, "command") || request.kind != Kind::Iq(IqType::Set) {
        return Err(Trouble::Refused(unavailable()));
    }
    let node = payload
        .attr("node")
        .ok_or_else(|| Trouble::Refused(bad_request()))?;
    let task = find(node).ok_or_else(|| Trouble::Refused(unknown(node)))?;
    let id = payload.attr("sessionid");
    if id.is_some_and(|id| !session::is_ours(id, asker, node)) {
        return Err(bad("bad-sessionid"));
    }
    match payload.attr("action").unwrap_or("execute") {
        "execute" | "complete" => {}
        // Without an id nothing has begun that could be canceled.
        "cancel" if id.is_none() => return Err(bad("bad-sessionid")),
        "cancel" => return Ok(Next::Cancel),
        // There is no other stage to go to.
        "prev" | "next" => return Err(bad("bad-action")),
        _ => return Err(bad("malformed-action")),
    }
    let x = payload.child(ns::DATA_FORMS, "x");
    if x.is_none() && id.is_none() && !task.questions.is_empty() {
        return Ok(Next::Ask(task));
    }
    let filled = filled(payload).ok_or_else(|| bad("bad-payload"))?;
    if !filled.answers(task.questions) {
        return Err(bad("bad-payload"));
    }
    (task.order)(&filled, asker).map(Next::Do)
}

/// The server did what was asked for, or did not.
fn end(request: &Stanza, outcome: Outcome, fx: &mut Effects) {
    let Some(payload) = request.payload() else {
        return;
    };
    let (task, filled) = (payload.attr("node").and_then(find), filled(&payload));
    let (Some(task), Some(filled)) = (task, filled) else {
        return fx.refuse(request, &bad_request());
    };
    match (task.report)(&filled, outcome) {
        Ok(report) => fx.result(request, Some(completed(&payload, report))),
        Err(trouble) => explain(request, &payload, trouble, fx),
    }
}

fn explain(request: &Stanza, payload: &Element, trouble: Trouble, fx: &mut Effects) {
    match trouble {
        Trouble::Failed(why) => {
            let report = Report {
                notes: vec![("error", why)],
                ..Report::default()
            };
            fx.result(request, Some(completed(payload, report)));
        }
        Trouble::Refused(error) => fx.refuse(request, &error),
    }
}

fn asker<'a>(request: &'a Stanza, site: &'a Site) -> Option<Asker<'a>> {
    Some(Asker {
        jid: request.from.as_ref()?,
        host: request.to.as_ref()?.domain(),
        site,
    })
}

/// The form that was sent, or an empty one.
fn filled(payload: &Element) -> Option<Filled> {
    match payload.child(ns::DATA_FORMS, "x") {
        Some(x) => Filled::read(x),
        None => Some(Filled::default()),
    }
}

/// XEP-0133 §5 tells what could be done elsewhere from what is no command at all.
fn unknown(node: &str) -> StanzaError {
    let of_administration = node.starts_with(admin::FORM_TYPE);
    StanzaError::new(match of_administration {
        true => Condition::FeatureNotImplemented,
        false => Condition::ItemNotFound,
    })
}

/// An error with a condition of XEP-0050 §4.4.
fn bad(condition: &'static str) -> Trouble {
    Trouble::Refused(bad_request().with_extra(Element::new(ns::ADHOC, condition)))
}

fn blank(payload: &Element, task: &Task, asker: &Asker) -> Element {
    let offer = Form::offer(admin::FORM_TYPE)
        .with_title(task.name)
        .with_instructions("Fill out this form.");
    let form = task
        .questions
        .iter()
        .map(|question| field(question, asker))
        .fold(offer, Form::with_field);
    let complete = Element::new(ns::ADHOC, "complete");
    let actions = Element::new(ns::ADHOC, "actions").with_attr("execute", "complete");
    let begun = session::begin(asker, task.node);
    command(payload, "executing")
        .with_attr("sessionid", begun)
        .with_child(actions.with_child(complete))
        .with_child(form.to_element())
}

fn field(question: &Question, asker: &Asker) -> Field {
    let field = Field::new(question.kind, question.var)
        .with_label(question.label)
        .with_values((question.now)(asker.site, asker));
    let field = question
        .options
        .iter()
        .fold(field, |field, it| field.with_option(*it, *it));
    if question.required {
        field.required()
    } else {
        field
    }
}

fn completed(payload: &Element, report: Report) -> Element {
    let note = |(kind, text): (&str, String)| {
        Element::new(ns::ADHOC, "note")
            .with_attr("type", kind)
            .with_text(text)
    };
    let form = report
        .form
        .map(|form| form.to_element().with_children(report.within));
    command(payload, "completed")
        .with_children(form)
        .with_children(report.notes.into_iter().map(note))
}

fn command(payload: &Element, status: &str) -> Element {
    let given = payload.attr("sessionid").filter(|id| !id.is_empty());
    let id = given.map_or_else(random_id, Into::into);
    Element::new(ns::ADHOC, "command")
        .with_attr("node", payload.attr("node").unwrap_or_default())
        .with_attr("sessionid", id)
        .with_attr("status", status)
        .with_attr_ns(ns::XML, "lang", "en")
}

#[cfg(test)]
mod tests;
