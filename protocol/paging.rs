//! Result Set Management (XEP-0059): which part of a result is asked for, and what is said of the
//! part that is given.

use crate::error::{Condition, StanzaError};
use crate::ns;
use crate::xml::Element;

/// The longest name of an item that is looked for; a longer one is nobody's.
const UID_MAX: usize = 4096;

/// What part of a result is asked for (§2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paging {
    /// The most items wanted; 0 asks for the count alone (§2.7).
    pub max: Option<u32>,
    /// Items that come after this one (§2.2).
    pub after: Option<String>,
    /// Items that come before this one, the nearest of them; an empty name asks for the last items
    /// of all (§2.3, §2.5).
    pub before: Option<String>,
}

/// Why a part cannot be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PagingError {
    /// A number is none.
    #[error("a number is expected")]
    Number,
    /// There is no item of that name.
    #[error("no such item")]
    NotFound,
    /// By index (§2.6), which nobody here can do fast.
    #[error("pages are found by the names of items, not by an index")]
    Index,
}

impl From<PagingError> for StanzaError {
    fn from(error: PagingError) -> StanzaError {
        match error {
            PagingError::Number => StanzaError::new(Condition::BadRequest),
            PagingError::NotFound => StanzaError::new(Condition::ItemNotFound),
            PagingError::Index => StanzaError::new(Condition::FeatureNotImplemented),
        }
    }
}

impl Paging {
    /// Reads the `<set/>` among the children of `request`; without one, everything is asked for.
    pub fn of(request: &Element) -> Result<Paging, PagingError> {
        let Some(set) = request.child(ns::RSM, "set") else {
            return Ok(Paging::default());
        };
        let text = |name| set.child(ns::RSM, name).map(Element::text);
        if text("index").is_some() {
            return Err(PagingError::Index);
        }
        let uid = |name| match text(name) {
            Some(uid) if uid.len() > UID_MAX => Err(PagingError::NotFound),
            uid => Ok(uid),
        };
        Ok(Paging {
            max: text("max").map(|text| number(text.trim())).transpose()?,
            // Clients ask for the first page with an empty one.
            after: uid("after")?.filter(|uid| !uid.is_empty()),
            before: uid("before")?,
        })
    }

    /// Whether the items are counted from the end.
    pub fn is_backwards(&self) -> bool {
        self.before.is_some()
    }

    /// The item to end before, if one is named.
    pub fn before_uid(&self) -> Option<&str> {
        self.before.as_deref().filter(|uid| !uid.is_empty())
    }

    /// How many items to give: as many as wanted, or `usual` of them, but `most` at the most.
    pub fn limit(&self, usual: usize, most: usize) -> usize {
        let wanted = self.max.and_then(|max| usize::try_from(max).ok());
        wanted.unwrap_or(usual).min(most)
    }

    /// Cuts the part out of a whole result of `limit` items at the most; `uid` names an item.
    pub fn cut<'a, T, N: AsRef<str>>(
        &self,
        all: &'a [T],
        limit: usize,
        uid: impl Fn(&'a T) -> N,
    ) -> Result<Part<'a, T>, PagingError> {
        let find = |wanted: &str| {
            let found = all.iter().position(|item| uid(item).as_ref() == wanted);
            found.ok_or(PagingError::NotFound)
        };
        let from = self.after.as_deref().map(find).transpose()?;
        let from = from.map_or(0, |index| index + 1);
        let to = self.before_uid().map(find).transpose()?;
        let to = to.unwrap_or(all.len()).max(from);
        let (start, end) = match self.is_backwards() {
            true => (to.saturating_sub(limit).max(from), to),
            false => (from, from.saturating_add(limit).min(to)),
        };
        Ok(Part {
            items: &all[start..end],
            index: start,
            count: all.len(),
            is_complete: (start, end) == (from, to),
        })
    }
}

/// A part of a whole result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a, T> {
    /// The items, in the order of the whole.
    pub items: &'a [T],
    /// Where the first of them stands in the whole.
    pub index: usize,
    /// How many items there are in the whole.
    pub count: usize,
    /// Whether nothing more lies where the part was asked from.
    pub is_complete: bool,
}

/// What is said of the part that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The names of the first and the last item; none of an empty part (§2.2).
    pub ends: Option<(String, String)>,
    /// Where the first stands in the whole, if that is known.
    pub index: Option<u64>,
    /// How many items there are in the whole, if that is known.
    pub count: Option<u64>,
}

impl Summary {
    /// The `<set/>` element.
    pub fn to_element(&self) -> Element {
        let element = |name| Element::new(ns::RSM, name);
        let mut set = element("set");
        if let Some((first, last)) = &self.ends {
            let mut start = element("first").with_text(first);
            if let Some(index) = self.index {
                start.set_attr("index", index.to_string());
            }
            set.push(start);
            set.push(element("last").with_text(last));
        }
        if let Some(count) = self.count {
            set.push(element("count").with_text(count.to_string()));
        }
        set
    }
}

/// A number that is too large stands for the largest.
fn number(text: &str) -> Result<u32, PagingError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PagingError::Number);
    }
    Ok(text.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(inside: &str) -> Result<Paging, PagingError> {
        let query = format!(
            "<query xmlns='u'><set xmlns='{}'>{inside}</set></query>",
            ns::RSM
        );
        Paging::of(&Element::parse(&query, "").expect("a query"))
    }

    fn cut(inside: &str, limit: usize) -> (String, usize, bool) {
        let all: Vec<String> = (b'a'..=b'j').map(|it| char::from(it).into()).collect();
        let part = paging(inside)
            .expect("a request")
            .cut(&all, limit, String::as_str);
        let part = part.expect("known items");
        assert_eq!(part.count, 10);
        (part.items.concat(), part.index, part.is_complete)
    }

    #[test]
    fn what_is_asked_for_is_read() {
        let nothing = Element::new("u", "query");
        assert_eq!(Paging::of(&nothing), Ok(Paging::default()));
        let read = paging("<max>10</max><after>x</after>").expect("a request");
        assert_eq!(
            (read.max, read.after.as_deref(), read.before),
            (Some(10), Some("x"), None)
        );
        let last = paging("<max>5</max><before/>").expect("a request");
        assert!(last.is_backwards() && last.before_uid().is_none());
        assert!(!paging("<after/>").expect("a request").is_backwards());
        assert_eq!(paging("<after/>").expect("a request").after, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for max in ["", "-1", "x", "1.5", " "] {
            let read = paging(&format!("<max>{max}</max>"));
            assert_eq!(read, Err(PagingError::Number), "{max}");
        }
        let large = paging("<max>99999999999999999999</max>").expect("a request");
        assert_eq!(large.limit(50, 100), 100);
        assert_eq!(paging("<index>3</index>"), Err(PagingError::Index));
        let long = format!("<after>{}</after>", "x".repeat(UID_MAX + 1));
        assert_eq!(paging(&long), Err(PagingError::NotFound));
    }

    #[test]
    fn the_limit_is_ours_to_set() {
        let limit = |inside| paging(inside).expect("a request").limit(50, 100);
        let limits = ["", "<max>0</max>", "<max>7</max>", "<max>101</max>"].map(limit);
        assert_eq!(limits, [50, 0, 7, 100]);
    }

    #[test]
    fn pages_follow_each_other_both_ways() {
        assert_eq!(cut("", 4), ("abcd".into(), 0, false));
        assert_eq!(cut("<after>d</after>", 4), ("efgh".into(), 4, false));
        assert_eq!(cut("<after>h</after>", 4), ("ij".into(), 8, true));
        assert_eq!(cut("<after>j</after>", 4), (String::new(), 10, true));
        assert_eq!(cut("<before/>", 4), ("ghij".into(), 6, false));
        assert_eq!(cut("<before>g</before>", 4), ("cdef".into(), 2, false));
        assert_eq!(cut("<before>c</before>", 4), ("ab".into(), 0, true));
        assert_eq!(
            cut("<after>b</after><before>d</before>", 4),
            ("c".into(), 2, true)
        );
        assert_eq!(cut("<after>h</after><before>b</before>", 4).0, "");
        assert_eq!(cut("<max>0</max>", 0), (String::new(), 0, false));
    }

    #[test]
    fn an_item_that_is_not_there_is_said() {
        let unknown = paging("<after>x</after>").expect("a request");
        let part = unknown.cut(&["a"], 4, |it| *it);
        assert_eq!(part, Err(PagingError::NotFound));
        let error = StanzaError::from(PagingError::NotFound);
        assert_eq!(error.condition, Condition::ItemNotFound);
    }

    #[test]
    fn a_part_is_described() {
        let text = |summary: &Summary| {
            String::from_utf8(summary.to_element().to_bytes(ns::RSM)).expect("text")
        };
        let mut summary = Summary {
            ends: Some(("a".into(), "c".into())),
            index: Some(0),
            count: Some(800),
        };
        let whole = "<set><first index='0'>a</first><last>c</last><count>800</count></set>";
        assert_eq!(text(&summary), whole);
        (summary.index, summary.count) = (None, None);
        assert_eq!(text(&summary), "<set><first>a</first><last>c</last></set>");
        assert_eq!(text(&Summary::default()), "<set/>");
    }
}
