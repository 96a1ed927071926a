//! XEP-0115, Entity Capabilities of the server: one string that stands for its disco#info.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rookery_actors::site::Site;
use rookery_protocol::ns;
use rookery_protocol::xml::Element;
use sha1::{Digest, Sha1};

use super::server_info;

/// Names the program (§4).
pub const NODE: &str = "urn:rookery:server";

/// The `<c/>` of a domain, for the stream features (§6.3).
pub fn element(domain: &str, site: &Site) -> Element {
    Element::new(ns::CAPS, "c")
        .with_attr("hash", "sha-1")
        .with_attr("node", NODE)
        .with_attr("ver", verification(&server_info(domain, site)))
}

/// Whether `node` is what the domain's `<c/>` stands for: `NODE#ver`.
pub fn names(node: &str, domain: &str, site: &Site) -> bool {
    let ver = node
        .strip_prefix(NODE)
        .and_then(|rest| rest.strip_prefix('#'));
    ver.is_some_and(|ver| ver == verification(&server_info(domain, site)))
}

/// The verification string of a disco#info `<query/>` by SHA-1 (§5.1).
pub fn verification(query: &Element) -> String {
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
    STANDARD.encode(Sha1::digest(s))
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
}

impl Form {
    /// §5.4: a form whose FORM_TYPE is missing or not hidden does not count.
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
        let form_type = values(hidden).into_iter().next()?;
        let mut fields: Vec<_> = others
            .into_iter()
            .map(|field| {
                (
                    field.attr("var").unwrap_or_default().to_owned(),
                    values(field),
                )
            })
            .collect();
        fields.sort_unstable();
        Some(Form { form_type, fields })
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
mod tests {
    use super::*;

    fn query(inside: &str) -> Element {
        let text = format!("<query xmlns='{}'>{inside}</query>", ns::DISCO_INFO);
        Element::parse(&text, "").unwrap()
    }

    /// XEP-0115 §5.2.
    #[test]
    fn the_simple_example() {
        let simple = query(
            "<identity category='client' name='Exodus 0.9.1' type='pc'/>
             <feature var='http://jabber.org/protocol/caps'/>
             <feature var='http://jabber.org/protocol/muc'/>
             <feature var='http://jabber.org/protocol/disco#info'/>
             <feature var='http://jabber.org/protocol/disco#items'/>",
        );
        assert_eq!(verification(&simple), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    }

    /// XEP-0115 §5.3.
    #[test]
    fn the_complex_example() {
        let complex = query(
            "<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
             <identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
             <feature var='http://jabber.org/protocol/caps'/>
             <feature var='http://jabber.org/protocol/disco#info'/>
             <feature var='http://jabber.org/protocol/disco#items'/>
             <feature var='http://jabber.org/protocol/muc'/>
             <x xmlns='jabber:x:data' type='result'>
               <field var='FORM_TYPE' type='hidden'>
                 <value>urn:xmpp:dataforms:softwareinfo</value>
               </field>
               <field var='ip_version'><value>ipv4</value><value>ipv6</value></field>
               <field var='os'><value>Mac</value></field>
               <field var='os_version'><value>10.5.1</value></field>
               <field var='software'><value>Psi</value></field>
               <field var='software_version'><value>0.11</value></field>
             </x>",
        );
        assert_eq!(verification(&complex), "q07IKJEyjvHSyhy//CH0CxmKi8w=");
    }

    #[test]
    fn order_does_not_matter_and_a_form_without_hidden_type_does_not_count() {
        let one = query("<feature var='a'/><feature var='b'/>");
        let other = query(
            "<feature var='b'/><feature var='a'/>
             <x xmlns='jabber:x:data'><field var='FORM_TYPE'><value>t</value></field></x>",
        );
        assert_eq!(verification(&one), verification(&other));
        assert_ne!(
            verification(&one),
            verification(&query("<feature var='a'/>"))
        );
    }
}
