//! Data forms (XEP-0004) with the form types of XEP-0068.
//!
//! The form that is offered is also the definition that a submission is read against: what was not
//! asked for is ignored, what was is checked by its type.

mod read;

use std::ops::RangeInclusive;

use smol_str::SmolStr;

pub use read::{Answer, FormError, Submission};

use crate::ns;
use crate::xml::Element;

/// The type of a field (XEP-0004 §3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldType {
    /// Yes or no.
    Boolean,
    /// A description among the fields, no question.
    Fixed,
    /// Not shown; sent back as it is.
    Hidden,
    /// Any number of addresses.
    JidMulti,
    /// One address.
    JidSingle,
    /// Any number of the options.
    ListMulti,
    /// One of the options.
    ListSingle,
    /// Lines of text.
    TextMulti,
    /// A line that is not shown while it is typed.
    TextPrivate,
    /// A line of text; also what an unknown type counts as.
    #[default]
    TextSingle,
}

impl FieldType {
    /// The value of the `type` attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            FieldType::Boolean => "boolean",
            FieldType::Fixed => "fixed",
            FieldType::Hidden => "hidden",
            FieldType::JidMulti => "jid-multi",
            FieldType::JidSingle => "jid-single",
            FieldType::ListMulti => "list-multi",
            FieldType::ListSingle => "list-single",
            FieldType::TextMulti => "text-multi",
            FieldType::TextPrivate => "text-private",
            FieldType::TextSingle => "text-single",
        }
    }

    /// Whether more than one value may be given.
    pub fn is_multi(self) -> bool {
        matches!(
            self,
            FieldType::JidMulti | FieldType::ListMulti | FieldType::TextMulti
        )
    }
}

/// A question of a form, or a line of a result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Field {
    /// The name; empty only for descriptions.
    pub var: SmolStr,
    /// How the values are to be read.
    pub kind: FieldType,
    /// What people see.
    pub label: Option<String>,
    /// What people see if they want to know more.
    pub description: Option<String>,
    /// Whether a submission must have a value.
    pub is_required: bool,
    /// The default, or the data.
    pub values: Vec<String>,
    /// For lists: each value with what people see, if that is something else.
    pub options: Vec<(String, Option<String>)>,
    /// For lists: values that are no option are allowed as well (XEP-0122 §3.2.1).
    pub is_open: bool,
    /// For numbers: the values allowed (XEP-0122 §3.2).
    pub range: Option<RangeInclusive<i64>>,
}

impl Field {
    /// A field of this type and name.
    pub fn new(kind: FieldType, var: impl Into<SmolStr>) -> Field {
        Field {
            var: var.into(),
            kind,
            ..Field::default()
        }
    }

    /// A yes or no.
    pub fn boolean(var: impl Into<SmolStr>, value: bool) -> Field {
        Field::new(FieldType::Boolean, var).with_value(if value { "1" } else { "0" })
    }

    /// Something not shown.
    pub fn hidden(var: impl Into<SmolStr>, value: impl Into<String>) -> Field {
        Field::new(FieldType::Hidden, var).with_value(value)
    }

    /// A line of text.
    pub fn text(var: impl Into<SmolStr>, value: impl Into<String>) -> Field {
        Field::new(FieldType::TextSingle, var).with_value(value)
    }

    /// A number within bounds.
    pub fn number(var: impl Into<SmolStr>, value: i64, range: RangeInclusive<i64>) -> Field {
        let field = Field::new(FieldType::TextSingle, var).with_value(value.to_string());
        Field {
            range: Some(range),
            ..field
        }
    }

    /// One of some options, each a value and what people see.
    pub fn choice(
        var: impl Into<SmolStr>,
        value: impl Into<String>,
        options: &[(&str, &str)],
    ) -> Field {
        let field = Field::new(FieldType::ListSingle, var).with_value(value);
        options.iter().fold(field, |field, (value, label)| {
            field.with_option(*value, *label)
        })
    }

    /// The same with what people see.
    pub fn with_label(mut self, label: impl Into<String>) -> Field {
        self.label = Some(label.into());
        self
    }

    /// The same with a description.
    pub fn with_description(mut self, description: impl Into<String>) -> Field {
        self.description = Some(description.into());
        self
    }

    /// The same with one more value.
    pub fn with_value(mut self, value: impl Into<String>) -> Field {
        self.values.push(value.into());
        self
    }

    /// The same with more values.
    pub fn with_values<T: Into<String>>(mut self, values: impl IntoIterator<Item = T>) -> Field {
        self.values.extend(values.into_iter().map(Into::into));
        self
    }

    /// The same with one more option.
    pub fn with_option(mut self, value: impl Into<String>, label: impl Into<String>) -> Field {
        self.options.push((value.into(), Some(label.into())));
        self
    }

    /// The same, of which any value may be given.
    pub fn open(mut self) -> Field {
        self.is_open = true;
        self
    }

    /// The same, required.
    pub fn required(mut self) -> Field {
        self.is_required = true;
        self
    }

    fn to_element(&self) -> Element {
        let mut field = data("field");
        if !self.var.is_empty() {
            field.set_attr("var", &self.var);
        }
        field.set_attr("type", self.kind.as_str());
        if let Some(label) = &self.label {
            field.set_attr("label", label);
        }
        if let Some(description) = &self.description {
            field.push(data("desc").with_text(description));
        }
        if self.is_required {
            field.push(data("required"));
        }
        field.nodes_extend(
            self.values
                .iter()
                .map(|value| data("value").with_text(value)),
        );
        for (value, label) in &self.options {
            let mut option = data("option").with_child(data("value").with_text(value));
            if let Some(label) = label {
                option.set_attr("label", label);
            }
            field.push(option);
        }
        if self.is_open {
            let validate = Element::new(ns::DATA_FORM_VALIDATE, "validate")
                .with_attr("datatype", "xs:string")
                .with_child(Element::new(ns::DATA_FORM_VALIDATE, "open"));
            field.push(validate);
        }
        if let Some(range) = &self.range {
            let bounds = Element::new(ns::DATA_FORM_VALIDATE, "range")
                .with_attr("min", range.start().to_string())
                .with_attr("max", range.end().to_string());
            let validate = Element::new(ns::DATA_FORM_VALIDATE, "validate")
                .with_attr("datatype", "xs:integer")
                .with_child(bounds);
            field.push(validate);
        }
        field
    }
}

/// What a form is for (XEP-0004 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormKind {
    /// Questions.
    Form,
    /// Answers.
    Submit,
    /// No answers.
    Cancel,
    /// Data.
    Result,
}

impl FormKind {
    /// The value of the `type` attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            FormKind::Form => "form",
            FormKind::Submit => "submit",
            FormKind::Cancel => "cancel",
            FormKind::Result => "result",
        }
    }
}

/// A form.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// What it is for.
    pub kind: FormKind,
    /// What its fields' names mean (XEP-0068).
    pub form_type: Option<String>,
    /// What people see above it.
    pub title: Option<String>,
    /// What people are told to do.
    pub instructions: Option<String>,
    /// The fields in order.
    pub fields: Vec<Field>,
    /// For a table: the columns (XEP-0004 §3.4).
    pub columns: Vec<Field>,
    /// For a table: the rows.
    pub rows: Vec<Vec<Field>>,
}

impl Form {
    /// An empty form of this kind.
    pub fn new(kind: FormKind, form_type: impl Into<String>) -> Form {
        let form_type = Some(form_type.into()).filter(|form_type| !form_type.is_empty());
        Form {
            kind,
            form_type,
            title: None,
            instructions: None,
            fields: Vec::new(),
            columns: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Questions under this form type.
    pub fn offer(form_type: impl Into<String>) -> Form {
        Form::new(FormKind::Form, form_type)
    }

    /// Data under this form type.
    pub fn result(form_type: impl Into<String>) -> Form {
        Form::new(FormKind::Result, form_type)
    }

    /// The same with a title.
    pub fn with_title(mut self, title: impl Into<String>) -> Form {
        self.title = Some(title.into());
        self
    }

    /// The same with instructions.
    pub fn with_instructions(mut self, instructions: impl Into<String>) -> Form {
        self.instructions = Some(instructions.into());
        self
    }

    /// The same with one more field.
    pub fn with_field(mut self, field: Field) -> Form {
        self.fields.push(field);
        self
    }

    /// The same with one more column of a table.
    pub fn with_column(mut self, column: Field) -> Form {
        self.columns.push(column);
        self
    }

    /// The same with one more row of a table: a value for each column.
    pub fn with_row<T: Into<String>>(mut self, values: impl IntoIterator<Item = T>) -> Form {
        let cells = self.columns.iter().zip(values);
        let row = cells
            .map(|(column, value)| Field::new(column.kind, column.var.clone()).with_value(value));
        self.rows.push(row.collect());
        self
    }

    /// The field of this name.
    pub fn field(&self, var: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.var == var)
    }

    /// The `<x/>` element.
    pub fn to_element(&self) -> Element {
        let mut form = data("x").with_attr("type", self.kind.as_str());
        if let Some(title) = &self.title {
            form.push(data("title").with_text(title));
        }
        if let Some(instructions) = &self.instructions {
            form.push(data("instructions").with_text(instructions));
        }
        if let Some(form_type) = &self.form_type {
            form.push(Field::hidden("FORM_TYPE", form_type).to_element());
        }
        form.nodes_extend(self.fields.iter().map(Field::to_element));
        if !self.columns.is_empty() {
            let columns = self.columns.iter().map(Field::to_element);
            form.push(data("reported").with_children(columns));
        }
        for row in &self.rows {
            form.push(data("item").with_children(row.iter().map(Field::to_element)));
        }
        form
    }

    /// Reads an answer to this form. See [`Answer`].
    pub fn answer(&self, submitted: &Element) -> Result<Answer, FormError> {
        read::answer(self, submitted)
    }
}

fn data(name: &'static str) -> Element {
    Element::new(ns::DATA_FORMS, SmolStr::new_static(name))
}

#[cfg(test)]
mod tests;
