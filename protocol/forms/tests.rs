//! A form offered, and what comes back for it.

use super::*;
use crate::error::{Condition, StanzaError};

fn offered() -> Form {
    Form::offer("urn:t")
        .with_title("T")
        .with_field(Field::boolean("open", true).with_label("Open?"))
        .with_field(Field::number("users", 20, 1..=500))
        .with_field(Field::choice(
            "who",
            "all",
            &[("all", "All"), ("none", "Nobody")],
        ))
        .with_field(Field::new(FieldType::JidMulti, "admins"))
        .with_field(Field::new(FieldType::TextSingle, "name").required())
        .with_field(Field::new(FieldType::TextMulti, "about"))
}

fn submitted(fields: &[(&str, &[&str])]) -> Element {
    let mut form = Form::new(FormKind::Submit, "");
    for (var, values) in fields {
        form = form
            .with_field(Field::new(FieldType::default(), *var).with_values(values.iter().copied()));
    }
    form.to_element()
}

fn read(fields: &[(&str, &[&str])]) -> Result<Submission, FormError> {
    match offered().answer(&submitted(fields))? {
        Answer::Submit(read) => Ok(read),
        Answer::Cancel => panic!("not cancelled"),
    }
}

#[test]
fn a_form_is_written() {
    let text = String::from_utf8(offered().to_element().to_bytes(ns::CLIENT)).unwrap();
    let begin = "<x xmlns='jabber:x:data' type='form'><title>T</title>\
                 <field var='FORM_TYPE' type='hidden'><value>urn:t</value></field>\
                 <field var='open' type='boolean' label='Open?'><value>1</value></field>\
                 <field var='users' type='text-single'><value>20</value>\
                 <validate xmlns='http://jabber.org/protocol/xdata-validate' datatype='xs:integer'>\
                 <range min='1' max='500'/></validate></field>\
                 <field var='who' type='list-single'><value>all</value>\
                 <option label='All'><value>all</value></option>";
    assert!(text.starts_with(begin), "{text}");
    let table = Form::result("")
        .with_column(Field::text("a", ""))
        .with_row(["1"])
        .to_element();
    assert_eq!(
        table
            .child(ns::DATA_FORMS, "item")
            .unwrap()
            .children()
            .count(),
        1
    );
}

#[test]
fn a_submission_is_read_by_type() {
    let read = read(&[
        ("FORM_TYPE", &["urn:t"]),
        ("open", &["false"]),
        ("users", &["500"]),
        ("who", &["none"]),
        ("admins", &["A@b.test", "a@B.test", "c@d.test"]),
        ("name", &[""]),
        ("about", &["1", "", "2"]),
        ("unknown", &["x"]),
    ])
    .unwrap();
    assert_eq!(
        (read.boolean("open"), read.number("users")),
        (Some(false), Some(500))
    );
    assert_eq!(read.jids("admins").unwrap().len(), 2);
    assert_eq!((read.text("name"), read.text("unknown")), (Some(""), None));
    assert_eq!(read.lines("about").as_deref(), Some("1\n\n2"));
}

#[test]
fn what_is_left_out_stays_and_what_is_emptied_goes() {
    let read = read(&[("name", &["x"]), ("who", &[""]), ("admins", &[])]).unwrap();
    assert_eq!(
        (read.values("open"), read.values("who")),
        (None, Some(&[][..]))
    );
    assert_eq!(read.values("admins"), Some(&[][..]));
}

#[test]
fn what_does_not_fit_is_refused_with_the_right_error() {
    use Condition::{BadRequest, NotAcceptable};
    type Row<'a> = (&'a [(&'a str, &'a [&'a str])], Condition);
    let rows: &[Row] = &[
        (&[("name", &["x"]), ("open", &["yes"])], NotAcceptable),
        (&[("name", &["x"]), ("users", &["-1"])], NotAcceptable),
        (&[("name", &["x"]), ("users", &["501"])], NotAcceptable),
        (
            &[("name", &["x"]), ("users", &["99999999999999999999999"])],
            NotAcceptable,
        ),
        (&[("name", &["x"]), ("users", &["1e2"])], NotAcceptable),
        (&[("name", &["x"]), ("who", &["some"])], NotAcceptable),
        (&[("name", &["x"]), ("admins", &["@"])], NotAcceptable),
        (&[("name", &["x", "y"])], NotAcceptable),
        (&[("name", &[])], NotAcceptable),
        (&[], NotAcceptable),
        (&[("name", &["x"]), ("name", &["x"])], BadRequest),
        (
            &[("name", &["x"]), ("FORM_TYPE", &["urn:other"])],
            BadRequest,
        ),
    ];
    for (fields, condition) in rows {
        let error: StanzaError = read(fields).unwrap_err().into();
        assert_eq!(error.condition, *condition, "{fields:?}");
    }
    let offer = offered().to_element();
    assert_eq!(offered().answer(&offer), Err(FormError::NotSubmitted));
    let cancel = Form::new(FormKind::Cancel, "").to_element();
    assert_eq!(offered().answer(&cancel), Ok(Answer::Cancel));
}
