//! The examples of XEP-0115 and XEP-0390, and answers that must not be believed.

use rookery_protocol::stanza::Stanza;

use super::*;

fn query(inside: &str) -> Element {
    let text = format!("<query xmlns='{}'>{inside}</query>", ns::DISCO_INFO);
    Element::parse(&text, "").unwrap()
}

fn features(names: &str) -> String {
    let feature = |name| format!("<feature var='{name}'/>");
    names.split_whitespace().map(feature).collect()
}

fn claim(c: &str) -> Claim {
    let text = format!("<presence>{c}</presence>");
    Claim::of(&Stanza::parse_stored(text.into()).unwrap()).unwrap()
}

fn old(hash: &str, ver: &str) -> Claim {
    claim(&format!(
        "<c xmlns='{}' node='urn:x:client' {hash} ver='{ver}'/>",
        ns::CAPS
    ))
}

fn new(algorithm: &str, hash: &str) -> Claim {
    let hash = format!(
        "<hash xmlns='{}' algo='{algorithm}'>{hash}</hash>",
        ns::HASHES
    );
    claim(&format!("<c xmlns='{CAPS2}'>{hash}</c>"))
}

const SHA1: &str = "hash='sha-1'";
const EXODUS: &str = "<identity category='client' name='Exodus 0.9.1' type='pc'/>
     <feature var='http://jabber.org/protocol/caps'/>
     <feature var='http://jabber.org/protocol/muc'/>
     <feature var='http://jabber.org/protocol/disco#info'/>
     <feature var='http://jabber.org/protocol/disco#items'/>";

/// XEP-0115 §5.2.
#[test]
fn the_simple_example_of_old() {
    let simple = query(EXODUS);
    assert_eq!(verification(&simple), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    let claim = old(SHA1, "QgayPKawpkPSDYmwT/WM94uAlu0=");
    assert!(claim.is_proved_by(&simple));
    assert_eq!(claim.node, "urn:x:client#QgayPKawpkPSDYmwT/WM94uAlu0=");
}

/// XEP-0115 §5.3.
#[test]
fn the_complex_example_of_old() {
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

/// XEP-0390 §4.5.1.
#[test]
fn the_simple_example_of_today() {
    let bombus = "<identity category='client' name='BombusMod' type='mobile'/>";
    let simple = query(&(bombus.to_owned() + &features(BOMBUS)));
    let claim = new("sha-256", "kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8=");
    assert!(claim.is_proved_by(&simple));
    assert!(!claim.is_proved_by(&query(bombus)));
    assert_eq!(
        claim.node,
        "urn:xmpp:caps#sha-256.kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8="
    );
}

/// XEP-0390 §4.5.2.
#[test]
fn the_complex_example_of_today() {
    let identities = "<identity category='client' name='Tkabber' type='pc' xml:lang='en'/>
         <identity category='client' name='Ткаббер' type='pc' xml:lang='ru'/>";
    let field = |var, value| format!("<field var='{var}'><value>{value}</value></field>");
    let form = "<x xmlns='jabber:x:data' type='result'>
     <field type='hidden' var='FORM_TYPE'><value>urn:xmpp:dataforms:softwareinfo</value></field>"
        .to_owned()
        + &field("software", "Tkabber")
        + &field("software_version", "0.11.1-svn-20111216-mod (Tcl/Tk 8.6b2)")
        + &field("os", "Windows")
        + &field("os_version", "XP")
        + "</x>";
    let form = form
        .replace(">\n", ">")
        .split('\n')
        .map(str::trim)
        .collect::<String>();
    let complex = query(&(identities.to_owned() + &features(TKABBER) + &form));
    let claim = new("sha-256", "u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY=");
    assert!(claim.is_proved_by(&complex));
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

/// Attacks P10: what is not proved is nobody's but the sender's.
#[test]
fn what_cannot_be_verified_has_no_key() {
    for hash in ["", "hash='md5'", "hash='SHA-1'"] {
        let claim = old(hash, "QgayPKawpkPSDYmwT/WM94uAlu0=");
        assert_eq!(claim.key(), None, "{hash}");
        assert!(!claim.is_proved_by(&query(EXODUS)), "{hash}");
    }
    let honest = old(SHA1, "QgayPKawpkPSDYmwT/WM94uAlu0=");
    let more = query(&format!("{EXODUS}<feature var='urn:evil+notify'/>"));
    assert!(!honest.is_proved_by(&more));
    assert_ne!(
        honest.key(),
        new("sha-256", "QgayPKawpkPSDYmwT/WM94uAlu0=").key()
    );
}

/// XEP-0115 §5.4: an answer that says something twice is ill-formed, whatever its hash.
#[test]
fn an_ill_formed_answer_proves_nothing() {
    let twice = query(&format!(
        "{EXODUS}<feature var='http://jabber.org/protocol/muc'/>"
    ));
    assert!(!old(SHA1, &verification(&twice)).is_proved_by(&twice));
    let form = "<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'>
         <value>t</value></field></x>";
    let forms = query(&format!("{EXODUS}{form}{form}"));
    assert!(!old(SHA1, &verification(&forms)).is_proved_by(&forms));
    assert!(old(SHA1, &verification(&query(EXODUS))).is_proved_by(&query(EXODUS)));
}

const BOMBUS: &str = "\
    http://jabber.org/protocol/si http://jabber.org/protocol/bytestreams \
    http://jabber.org/protocol/chatstates http://jabber.org/protocol/disco#info \
    http://jabber.org/protocol/disco#items urn:xmpp:ping jabber:iq:time \
    jabber:iq:privacy jabber:iq:version http://jabber.org/protocol/rosterx \
    urn:xmpp:time jabber:x:oob http://jabber.org/protocol/ibb \
    http://jabber.org/protocol/si/profile/file-transfer urn:xmpp:receipts \
    jabber:iq:roster jabber:iq:last";

const TKABBER: &str = "\
    games:board http://jabber.org/protocol/activity \
    http://jabber.org/protocol/activity+notify http://jabber.org/protocol/bytestreams \
    http://jabber.org/protocol/chatstates http://jabber.org/protocol/commands \
    http://jabber.org/protocol/disco#info http://jabber.org/protocol/disco#items \
    http://jabber.org/protocol/evil http://jabber.org/protocol/feature-neg \
    http://jabber.org/protocol/geoloc http://jabber.org/protocol/geoloc+notify \
    http://jabber.org/protocol/ibb http://jabber.org/protocol/iqibb \
    http://jabber.org/protocol/mood http://jabber.org/protocol/mood+notify \
    http://jabber.org/protocol/rosterx http://jabber.org/protocol/si \
    http://jabber.org/protocol/si/profile/file-transfer http://jabber.org/protocol/tune \
    http://www.facebook.com/xmpp/messages \
    http://www.xmpp.org/extensions/xep-0084.html#ns-metadata+notify jabber:iq:avatar \
    jabber:iq:browse jabber:iq:dtcp jabber:iq:filexfer jabber:iq:ibb jabber:iq:inband \
    jabber:iq:jidlink jabber:iq:last jabber:iq:oob jabber:iq:privacy jabber:iq:roster \
    jabber:iq:time jabber:iq:version jabber:x:data jabber:x:event jabber:x:oob \
    urn:xmpp:avatar:metadata+notify urn:xmpp:ping urn:xmpp:receipts urn:xmpp:time";
