//! What stands for a disco#info in presence: the `<c/>` of XEP-0115 and of XEP-0390, and whether an
//! answer is what it claims to be.
//!
//! The server makes such a string of itself, and believes those of others only as far as they can
//! be verified.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use smol_str::{SmolStr, format_smolstr};

/// `urn:xmpp:caps`, the namespace of XEP-0390.
const CAPS2: &str = "urn:xmpp:caps";
/// The longest hash or node that is looked at, in bytes.
const LONGEST: usize = 1024;

/// What a presence claims of its sender's disco#info.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The node to ask for (XEP-0115 §6.2, XEP-0390 §4.3).
    pub node: SmolStr,
    hash: SmolStr,
    proof: Proof,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Proof {
    /// By the string of XEP-0115 §5.1.
    Old(Algorithm),
    /// By the string of XEP-0390 §4.1.
    New(Algorithm),
    /// None that we know: what is answered holds for who answered, and for nobody else
    /// (XEP-0115 §5.4).
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

impl Claim {
    /// The claim in a presence: the newer form before the older one.
    pub fn of(presence: &Stanza) -> Option<Claim> {
        let newer = presence.child(CAPS2, "c").and_then(|c| Claim::new_form(&c));
        newer.or_else(|| Claim::old_form(&presence.child(ns::CAPS, "c")?))
    }

    fn new_form(c: &Element) -> Option<Claim> {
        c.children().find_map(|hash| {
            let name = hash.attr("algo").filter(|_| hash.is(ns::HASHES, "hash"))?;
            // XEP-0300 §4: SHA-1 is not to be trusted.
            let algorithm = Algorithm::of(name).filter(|it| *it != Algorithm::Sha1)?;
            let text = hash.text();
            let value = text.trim();
            (value.len() <= LONGEST).then(|| Claim {
                node: format_smolstr!("{CAPS2}#{name}.{value}"),
                hash: value.into(),
                proof: Proof::New(algorithm),
            })
        })
    }

    fn old_form(c: &Element) -> Option<Claim> {
        let (node, ver) = (c.attr("node")?, c.attr("ver")?);
        let proof = match c.attr("hash").map(Algorithm::of) {
            Some(Some(algorithm)) => Proof::Old(algorithm),
            // §5.4: an unknown hash, or the legacy format without one.
            _ => Proof::None,
        };
        (node.len() + ver.len() <= LONGEST).then(|| Claim {
            node: format_smolstr!("{node}#{ver}"),
            hash: ver.into(),
            proof,
        })
    }

    /// What the answer may be remembered under for everybody: the algorithm and the hash, never
    /// the node, which anybody may write. `None` for what nobody can verify.
    pub fn key(&self) -> Option<SmolStr> {
        let hash = &self.hash;
        match self.proof {
            Proof::Old(algorithm) => Some(format_smolstr!("115 {algorithm:?} {hash}")),
            Proof::New(algorithm) => Some(format_smolstr!("390 {algorithm:?} {hash}")),
            Proof::None => None,
        }
    }

    /// Whether this disco#info is what was claimed.
    pub fn is_proved_by(&self, query: &Element) -> bool {
        let computed = match self.proof {
            Proof::Old(algorithm) if is_well_formed(query) => {
                algorithm.digest(old_string(query).as_bytes())
            }
            Proof::New(algorithm) => match new_string(query) {
                Some(string) => algorithm.digest(&string),
                None => return false,
            },
            _ => return false,
        };
        self.hash == computed
    }
}

/// The verification string of a disco#info `<query/>` by SHA-1 (XEP-0115 §5.1).
pub fn verification(query: &Element) -> String {
    Algorithm::Sha1.digest(old_string(query).as_bytes())
}

impl Algorithm {
    fn of(name: &str) -> Option<Algorithm> {
        match name {
            "sha-1" => Some(Algorithm::Sha1),
            "sha-256" => Some(Algorithm::Sha256),
            "sha-512" => Some(Algorithm::Sha512),
            _ => None,
        }
    }

    fn digest(self, input: &[u8]) -> String {
        match self {
            Algorithm::Sha1 => STANDARD.encode(Sha1::digest(input)),
            Algorithm::Sha256 => STANDARD.encode(Sha256::digest(input)),
            Algorithm::Sha512 => STANDARD.encode(Sha512::digest(input)),
        }
    }
}

/// XEP-0115 §5.4: nothing is there twice.
fn is_well_formed(query: &Element) -> bool {
    let identities = children(query, "identity").map(|it| identity(it).join("/"));
    let features = children(query, "feature").map(|it| it.attr("var").unwrap_or_default().into());
    let forms: Vec<Form> = query.children().filter_map(Form::read).collect();
    let types = forms.iter().map(|form| form.form_type.clone());
    let one_type = |form: &Form| form.types.windows(2).all(|pair| pair[0] == pair[1]);
    is_unique(identities) && is_unique(features) && is_unique(types) && forms.iter().all(one_type)
}

fn is_unique(all: impl Iterator<Item = String>) -> bool {
    let mut sorted: Vec<String> = all.collect();
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

fn old_string(query: &Element) -> String {
    let mut s = String::new();
    let mut add = |part: &str| {
        s.push_str(part);
        s.push('<');
    };
    let mut identities: Vec<[&str; 4]> = children(query, "identity").map(identity).collect();
    identities.sort_unstable();
    identities
        .iter()
        .for_each(|identity| add(&identity.join("/")));
    let mut features: Vec<&str> = children(query, "feature")
        .filter_map(|feature| feature.attr("var"))
        .collect();
    features.sort_unstable();
    features.iter().for_each(|feature| add(feature));
    let mut forms: Vec<Form> = query.children().filter_map(Form::read).collect();
    forms.sort_unstable();
    for form in forms {
        add(&form.form_type);
        for (var, values) in form.fields {
            add(&var);
            values.iter().for_each(|value| add(value));
        }
    }
    s
}

/// XEP-0390 §4.1; `None` where it aborts with an error.
fn new_string(query: &Element) -> Option<Vec<u8>> {
    let mut features = Vec::new();
    let mut identities = Vec::new();
    let mut forms = Vec::new();
    for child in query.children() {
        if child.is(ns::DISCO_INFO, "feature") {
            features.push(joined([child.attr("var").unwrap_or_default()]));
        } else if child.is(ns::DISCO_INFO, "identity") {
            identities.push(ended(joined(identity(child)), 0x1e));
        } else if child.is(ns::DATA_FORMS, "x") {
            forms.push(new_form_string(child)?);
        } else {
            return None;
        }
    }
    let parts = [features, identities, forms];
    Some(
        parts
            .into_iter()
            .flat_map(|part| ended(sorted(part), 0x1c))
            .collect(),
    )
}

fn new_form_string(x: &Element) -> Option<Vec<u8>> {
    Form::read(x)?;
    let fields: Option<Vec<Vec<u8>>> = x
        .children()
        .map(|field| {
            let is_field = field.is(ns::DATA_FORMS, "field");
            let var = field.attr("var").filter(|_| is_field)?;
            let values = values(field);
            let values = values.iter().map(|value| joined([value])).collect();
            let field = [joined([var]), sorted(values)].concat();
            Some(ended(field, 0x1e))
        })
        .collect();
    Some(ended(sorted(fields?), 0x1d))
}

/// Each text with the unit separator behind it.
fn joined<'a>(texts: impl IntoIterator<Item = impl AsRef<str> + 'a>) -> Vec<u8> {
    let mut out = Vec::new();
    for text in texts {
        out.extend_from_slice(text.as_ref().as_bytes());
        out.push(0x1f);
    }
    out
}

fn ended(mut bytes: Vec<u8>, separator: u8) -> Vec<u8> {
    bytes.push(separator);
    bytes
}

fn sorted(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    parts.sort_unstable();
    parts.concat()
}

fn children<'a>(query: &'a Element, name: &'static str) -> impl Iterator<Item = &'a Element> {
    query
        .children()
        .filter(move |child| child.is(ns::DISCO_INFO, name))
}

/// Category, type, language and name: the order in which they are sorted and written.
fn identity(identity: &Element) -> [&str; 4] {
    let attr = |name| identity.attr(name).unwrap_or_default();
    let lang = identity.attr_ns(ns::XML, "lang").unwrap_or_default();
    [attr("category"), attr("type"), lang, attr("name")]
}

/// A form of XEP-0128, with everything in it sorted.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Form {
    form_type: String,
    fields: Vec<(String, Vec<String>)>,
    /// All values of FORM_TYPE; there should be one.
    types: Vec<String>,
}

impl Form {
    /// XEP-0115 §5.4: a form whose FORM_TYPE is missing or not hidden does not count.
    fn read(x: &Element) -> Option<Form> {
        if !x.is(ns::DATA_FORMS, "x") {
            return None;
        }
        let fields = x
            .children()
            .filter(|field| field.is(ns::DATA_FORMS, "field"));
        let (types, others): (Vec<_>, Vec<_>) =
            fields.partition(|field| field.attr("var") == Some("FORM_TYPE"));
        let hidden = types
            .first()
            .filter(|field| field.attr("type") == Some("hidden"))?;
        let types = values(hidden);
        let mut fields: Vec<_> = others
            .into_iter()
            .map(|field| {
                let var = field.attr("var").unwrap_or_default();
                (var.to_owned(), values(field))
            })
            .collect();
        fields.sort_unstable();
        Some(Form {
            form_type: types.first()?.clone(),
            fields,
            types,
        })
    }
}

fn values(field: &Element) -> Vec<String> {
    let values = field
        .children()
        .filter(|child| child.is(ns::DATA_FORMS, "value"));
    let mut values: Vec<String> = values.map(Element::text).collect();
    values.sort_unstable();
    values
}

#[cfg(test)]
mod tests;
