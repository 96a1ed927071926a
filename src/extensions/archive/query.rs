//! What is asked of an archive (XEP-0313 §4): the form with its filters, and the page.

use rookery_protocol::datetime;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::{Field, FieldType, Form, Submission};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::paging::Paging;
use rookery_protocol::xml::Element;

use super::search::Words;
use crate::extensions::request::bad_request;
use crate::kept::MessageId;

/// Messages of a page if its client says nothing, and at the most.
const USUAL: usize = 50;
const MOST: usize = 100;
/// The most messages asked for by their ids at once.
const IDS: usize = MOST;
/// The longest `queryid`, which stands in each message of the answer.
const QUERY_ID: usize = 256;

/// XEP-0431 §3.1.
const FULLTEXT: &str = "{urn:xmpp:fulltext:0}fulltext";
/// Every field but the form type.
const FIELDS: [(&str, FieldType); 8] = [
    ("with", FieldType::JidSingle),
    ("start", FieldType::TextSingle),
    ("end", FieldType::TextSingle),
    ("before-id", FieldType::TextSingle),
    ("after-id", FieldType::TextSingle),
    ("ids", FieldType::ListMulti),
    ("include-groupchat", FieldType::Boolean),
    (FULLTEXT, FieldType::TextSingle),
];

/// A query.
#[derive(Debug)]
pub(super) struct Wanted {
    /// With whom: a bare JID stands for all its resources.
    pub with: Option<Jid>,
    /// The numbers of ids from here (included) ...
    pub from: u128,
    /// ... to here (excluded).
    pub to: u128,
    /// Messages that must be in the archive, or nothing is answered.
    pub known: Vec<MessageId>,
    /// Only these messages.
    pub ids: Option<Vec<MessageId>>,
    /// Only messages with these words.
    pub words: Words,
    /// The page, whose ids are in `from`, `to` and `known` already.
    pub paging: Paging,
    /// The most messages of the page.
    pub limit: usize,
    /// The newest message of the page goes first.
    pub flips: bool,
    pub query_id: Option<String>,
    /// No filter was set.
    pub everything: bool,
}

impl Wanted {
    /// Reads a `<query/>`.
    pub fn read(query: &Element) -> Result<Wanted, StanzaError> {
        // §5.1.3: for archives of nodes.
        if query.attr("node").is_some() {
            return Err(StanzaError::new(Condition::FeatureNotImplemented));
        }
        let query_id = query.attr("queryid").map(str::to_owned);
        if query_id.as_ref().is_some_and(|id| id.len() > QUERY_ID) {
            return Err(StanzaError::new(Condition::NotAcceptable));
        }
        let paging = Paging::of(query)?;
        let mut wanted = Wanted {
            with: None,
            from: 0,
            to: u128::MAX,
            known: Vec::new(),
            ids: None,
            words: Words::default(),
            limit: paging.limit(USUAL, MOST),
            flips: query.child(ns::MAM, "flip-page").is_some(),
            query_id,
            everything: true,
            paging: Paging::default(),
        };
        if let Some(form) = query.child(ns::DATA_FORMS, "x") {
            wanted.filter(&Submission::read(form)?)?;
        }
        if let Some(uid) = &paging.after {
            wanted.after(uid)?;
        }
        if let Some(uid) = paging.before_uid() {
            wanted.before(uid)?;
        }
        wanted.paging = paging;
        Ok(wanted)
    }

    /// §4.1.5: an unknown field is refused, since its filter would not be obeyed.
    fn filter(&mut self, form: &Submission) -> Result<(), StanzaError> {
        if form.form_type() != Some(ns::MAM) {
            return Err(bad_request());
        }
        for name in form.names().filter(|name| *name != "FORM_TYPE") {
            let field = FIELDS.iter().find(|(known, _)| *known == name);
            let Some((_, kind)) = field else {
                return Err(StanzaError::new(Condition::FeatureNotImplemented));
            };
            // XEP-0004 §3.6: an empty value stands for none.
            let values = form.values(name).unwrap_or_default().iter();
            let values: Vec<&str> = values
                .map(String::as_str)
                .filter(|it| !it.is_empty())
                .collect();
            match (kind.is_multi(), values.as_slice()) {
                (_, []) => {}
                (false, [value]) => self.filter_by(name, value)?,
                (true, values) => self.only(values)?,
                (false, _) => return Err(bad_request()),
            }
        }
        Ok(())
    }

    fn filter_by(&mut self, name: &str, value: &str) -> Result<(), StanzaError> {
        self.everything &= name == "include-groupchat";
        match name {
            "with" => {
                let with = Jid::parse(value);
                self.with = Some(with.map_err(|_| StanzaError::new(Condition::JidMalformed))?);
            }
            // §4.1.2: both inclusive.
            "start" => self.from = self.from.max(MessageId::first_of(time(value)?)),
            "end" => self.to = self.to.min(MessageId::first_of(time(value)? + 1)),
            "before-id" => self.before(value)?,
            "after-id" => self.after(value)?,
            // What rooms say is theirs to keep: there is nothing to include or to leave out.
            "include-groupchat" => {
                if !matches!(value, "0" | "1" | "true" | "false") {
                    return Err(bad_request());
                }
            }
            _ => self.words = Words::of(value)?,
        }
        Ok(())
    }

    fn only(&mut self, ids: &[&str]) -> Result<(), StanzaError> {
        if ids.len() > IDS {
            let error = StanzaError::new(Condition::NotAcceptable);
            return Err(error.with_text(format!("at most {IDS} ids at once")));
        }
        let mut ids = ids
            .iter()
            .map(|id| parse(id))
            .collect::<Result<Vec<_>, _>>()?;
        ids.sort_unstable();
        ids.dedup();
        self.known.extend(&ids);
        self.ids = Some(ids);
        self.everything = false;
        Ok(())
    }

    fn after(&mut self, uid: &str) -> Result<(), StanzaError> {
        let id = parse(uid)?;
        self.from = self.from.max(id.number().saturating_add(1));
        self.known.push(id);
        Ok(())
    }

    fn before(&mut self, uid: &str) -> Result<(), StanzaError> {
        let id = parse(uid)?;
        self.to = self.to.min(id.number());
        self.known.push(id);
        Ok(())
    }
}

/// The form in which fields are discovered (§4.1.5).
pub(super) fn form() -> Element {
    let field = |(name, kind): (&'static str, FieldType)| match kind {
        FieldType::ListMulti => Field::new(kind, name).open(),
        _ => Field::new(kind, name),
    };
    let form = FIELDS
        .into_iter()
        .map(field)
        .fold(Form::offer(ns::MAM), Form::with_field);
    Element::new(ns::MAM, "query").with_child(form.to_element())
}

/// §4.1.3, §4.3.2: what is not in the archive is not found, also what can be in no archive.
fn parse(uid: &str) -> Result<MessageId, StanzaError> {
    MessageId::parse(uid).ok_or(StanzaError::new(Condition::ItemNotFound))
}

/// What lies before 1970 is as early as 1970: no message is older.
fn time(text: &str) -> Result<u64, StanzaError> {
    let millis = datetime::parse(text.trim()).ok_or_else(bad_request)?;
    Ok(u64::try_from(millis).unwrap_or(0))
}
