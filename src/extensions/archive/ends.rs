//! What an archive says of itself: its first and its last message (XEP-0313 §5), also to who binds
//! a resource by XEP-0386 (§4.1).

use rookery_actors::effect::Row;
use rookery_protocol::datetime;
use rookery_protocol::ns;
use rookery_protocol::xml::Element;

use crate::kept::{MessageId, Place};

/// `<metadata/>`, from the rows of the first and the last message; without any it is empty.
pub fn metadata(rows: &[Row]) -> Element {
    let ids = || {
        let ids = rows.iter().filter_map(|(key, _)| MessageId::of_key(key));
        ids.filter(|(place, _)| *place == Place::Archive)
    };
    let end = |name: &'static str, id: Option<(_, MessageId)>| {
        let (_, id) = id?;
        let end = Element::new(ns::MAM, name).with_attr("id", id.to_text());
        Some(end.with_attr("timestamp", datetime::format(id.time())))
    };
    Element::new(ns::MAM, "metadata")
        .with_children(end("start", ids().next()))
        .with_children(end("end", ids().next_back()))
}
