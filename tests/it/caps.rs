//! A client that says what it wants to hear of by the hash of its capabilities (XEP-0115), as
//! personal eventing asks of it (XEP-0163 §4.3.2).

use crate::device::Device;
use crate::sasl::b64;
use sha1::{Digest, Sha1};

/// The verification string of a client that wants to hear of these nodes (XEP-0115 §5.1).
fn ver(nodes: &[&str]) -> String {
    let mut features: Vec<String> = nodes.iter().map(|node| format!("{node}+notify<")).collect();
    features.sort();
    let string = format!("client/pc//x<{}", features.concat());
    b64(Sha1::digest(string))
}

/// A presence with these attributes of a client that wants to hear of these nodes.
pub fn presence(attributes: &str, nodes: &[&str]) -> String {
    let (ver, ns) = (ver(nodes), "http://jabber.org/protocol/caps");
    let caps = format!("<c xmlns='{ns}' hash='sha-1' node='urn:x' ver='{ver}'/>");
    format!("<presence{attributes}>{caps}</presence>")
}

/// The device says what it wants, and answers when the server asks what that stands for.
pub fn wants(device: &mut Device, nodes: &[&str]) {
    device.says(&presence("", nodes));
    let question = device
        .waits_for("<iq type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>");
    let (id, from) = (question.attr("id").expect("an id"), question.attr("from"));
    let node = format!("urn:x#{}", ver(nodes));
    let features: String = nodes
        .iter()
        .map(|node| format!("<feature var='{node}+notify'/>"))
        .collect();
    device.says(&format!(
        "<iq type='result' id='{id}' to='{}'>\
         <query xmlns='http://jabber.org/protocol/disco#info' node='{node}'>\
         <identity category='client' type='pc' name='x'/>{features}</query></iq>",
        from.expect("a sender")
    ));
}
