//! What an administrator filled in.

use rookery_protocol::forms::Submission;
use rookery_protocol::xml::Element;

use super::{Question, admin};

/// A submitted form. Addresses are not checked yet: a wrong one ends the command with a note
/// rather than with an error.
#[derive(Default)]
pub struct Filled(Submission);

impl Filled {
    /// Reads a form; `None` if it is none, or one for another purpose.
    pub fn read(x: &Element) -> Option<Filled> {
        let submission = Submission::read(x).ok()?;
        let ours = submission
            .form_type()
            .is_none_or(|named| named == admin::FORM_TYPE);
        ours.then_some(Filled(submission))
    }

    /// The first value of a field that is not empty.
    pub fn one(&self, var: &str) -> Option<&str> {
        self.all(var).next()
    }

    /// The values of a field that are not empty.
    pub fn all(&self, var: &str) -> impl Iterator<Item = &str> {
        let values = self.0.values(var).unwrap_or_default();
        values
            .iter()
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The lines of a field as one text.
    pub fn lines(&self, var: &str) -> String {
        self.0.lines(var).unwrap_or_default()
    }

    /// Whether all questions that must be answered are.
    pub fn answers(&self, questions: &[Question]) -> bool {
        questions
            .iter()
            .all(|question| !question.required || self.one(question.var).is_some())
    }
}
