//! Reading a submitted form against the one that was offered (XEP-0004 §3.5 to §4).

use smol_str::SmolStr;

use super::{Field, FieldType, Form};
use crate::error::{Condition, StanzaError};
use crate::jid::Jid;
use crate::ns;
use crate::xml::Element;

/// What came back for a form.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The other side does not want to.
    Cancel,
    /// The fields of the offered form that were submitted, checked.
    Submit(Submission),
}

/// Why a submission is not accepted. It becomes the stanza error that XEP-0004 §4 asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// It is no form, or not one to be submitted.
    #[error("a data form of type submit is expected")]
    NotSubmitted,
    /// It is a form of another type (XEP-0068).
    #[error("the form has another FORM_TYPE")]
    OtherFormType,
    /// A field stands there twice.
    #[error("the field {0} is there twice")]
    Repeated(SmolStr),
    /// A required field has no value.
    #[error("the field {0} needs a value")]
    Missing(SmolStr),
    /// A value is not of the field's type, or not among its options.
    #[error("the value of the field {0} is not allowed")]
    Value(SmolStr),
}

impl From<FormError> for StanzaError {
    fn from(error: FormError) -> StanzaError {
        let condition = match error {
            FormError::Missing(_) | FormError::Value(_) => Condition::NotAcceptable,
            _ => Condition::BadRequest,
        };
        StanzaError::new(condition).with_text(error.to_string())
    }
}

/// The submitted values of the fields that the form has. A field that was left out is absent, and
/// its value stays what it was (XEP-0004 §3.5); one that was emptied has no values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Submission {
    fields: Vec<(SmolStr, Vec<String>)>,
}

impl Submission {
    /// Reads a form without knowing which: every field, nothing checked but the structure. For
    /// queries whose fields are read one by one, such as those of XEP-0313.
    pub fn read(form: &Element) -> Result<Submission, FormError> {
        if !form.is(ns::DATA_FORMS, "x") || form.attr("type") != Some("submit") {
            return Err(FormError::NotSubmitted);
        }
        let mut fields: Vec<(SmolStr, Vec<String>)> = Vec::new();
        for field in form
            .children()
            .filter(|child| child.is(ns::DATA_FORMS, "field"))
        {
            let Some(var) = field.attr("var").filter(|var| !var.is_empty()) else {
                continue;
            };
            if fields.iter().any(|(held, _)| held == var) {
                return Err(FormError::Repeated(shortened(var)));
            }
            let values = field
                .children()
                .filter(|child| child.is(ns::DATA_FORMS, "value"));
            fields.push((var.into(), values.map(Element::text).collect()));
        }
        Ok(Submission { fields })
    }

    /// The form type that was named.
    pub fn form_type(&self) -> Option<&str> {
        self.text("FORM_TYPE")
    }

    /// The names of the fields that were submitted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(var, _)| var.as_str())
    }

    /// All values of a field; `None` if it was left out.
    pub fn values(&self, var: &str) -> Option<&[String]> {
        let found = self.fields.iter().find(|(held, _)| held == var);
        found.map(|(_, values)| values.as_slice())
    }

    /// The first value of a field.
    pub fn text(&self, var: &str) -> Option<&str> {
        self.values(var)?.first().map(String::as_str)
    }

    /// The lines of a field as one text.
    pub fn lines(&self, var: &str) -> Option<String> {
        self.values(var).map(|lines| lines.join("\n"))
    }

    /// The first value as yes or no; `None` too if it is neither.
    pub fn boolean(&self, var: &str) -> Option<bool> {
        self.text(var).and_then(boolean)
    }

    /// The first value as a number; `None` too if it is none.
    pub fn number(&self, var: &str) -> Option<i64> {
        self.text(var).and_then(number)
    }

    /// The first value as an address; `None` too if it is none.
    pub fn jid(&self, var: &str) -> Option<Jid> {
        self.text(var).and_then(|text| Jid::parse(text).ok())
    }

    /// The values as addresses, each once; those that are none are left out.
    pub fn jids(&self, var: &str) -> Option<Vec<Jid>> {
        let mut jids = Vec::new();
        for jid in self
            .values(var)?
            .iter()
            .filter_map(|text| Jid::parse(text).ok())
        {
            if !jids.contains(&jid) {
                jids.push(jid);
            }
        }
        Some(jids)
    }
}

/// Reads an answer to a form that was offered.
pub(super) fn answer(form: &Form, submitted: &Element) -> Result<Answer, FormError> {
    if submitted.is(ns::DATA_FORMS, "x") && submitted.attr("type") == Some("cancel") {
        return Ok(Answer::Cancel);
    }
    let mut read = Submission::read(submitted)?;
    // XEP-0068 §3.4: a submission without a form type is judged by its place alone.
    if read
        .form_type()
        .is_some_and(|named| form.form_type.as_deref() != Some(named))
    {
        return Err(FormError::OtherFormType);
    }
    // XEP-0004 §3.1: fields that were not understood are ignored.
    read.fields.retain(|(var, _)| form.field(var).is_some());
    for (var, values) in &mut read.fields {
        let field = form.field(var).ok_or(FormError::NotSubmitted)?;
        check(field, values)?;
    }
    for field in form.fields.iter().filter(|field| field.is_required) {
        let has_value = read
            .values(&field.var)
            .is_some_and(|values| !values.is_empty());
        if !has_value {
            return Err(FormError::Missing(field.var.clone()));
        }
    }
    Ok(Answer::Submit(read))
}

fn check(field: &Field, values: &mut Vec<String>) -> Result<(), FormError> {
    let is_text = matches!(
        field.kind,
        FieldType::TextSingle | FieldType::TextMulti | FieldType::TextPrivate | FieldType::Hidden
    );
    // XEP-0004 §3.6: an empty value stands for none, where nothing but text may be empty.
    if !is_text || field.range.is_some() {
        values.retain(|value| !value.is_empty());
    }
    let is_sound = |value: &String| match field.kind {
        FieldType::Boolean => boolean(value).is_some(),
        FieldType::JidSingle | FieldType::JidMulti => Jid::parse(value).is_ok(),
        FieldType::ListSingle | FieldType::ListMulti => {
            field.is_open || field.options.iter().any(|(option, _)| option == value)
        }
        _ => match &field.range {
            Some(range) => number(value).is_some_and(|number| range.contains(&number)),
            None => true,
        },
    };
    let is_sound = values.iter().all(is_sound) && (field.kind.is_multi() || values.len() <= 1);
    if is_sound {
        Ok(())
    } else {
        Err(FormError::Value(field.var.clone()))
    }
}

/// A boolean of XML Schema 2 §3.2.2.1.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

fn number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// A name as it may stand in an error: what a peer sent, cut.
fn shortened(var: &str) -> SmolStr {
    var.chars().take(64).collect()
}
