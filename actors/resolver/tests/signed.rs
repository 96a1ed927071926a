//! A signed DNS: everything lies in the root zone, whose key the resolver trusts.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use trust_dns_resolver::proto::dnssec::crypto::Ed25519SigningKey;
use trust_dns_resolver::proto::dnssec::rdata::sig::SigInput;
use trust_dns_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, RRSIG};
use trust_dns_resolver::proto::dnssec::{Algorithm, DnssecSigner, SigningKey, TBS, TrustAnchors};
use trust_dns_resolver::proto::op::Message;
use trust_dns_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::*;

/// Names of which the answers go out without signatures, with one of other records, or with one
/// whose time is over.
const UNSIGNED: &str = "unsigned.";
const FORGED: &str = "forged.";
const EXPIRED: &str = "expired.";

struct Zone {
    signer: DnssecSigner,
    key: DNSKEY,
}

impl Zone {
    fn new() -> Zone {
        let secret = Ed25519SigningKey::generate_pkcs8().expect("a key");
        let secret = Ed25519SigningKey::from_pkcs8(&secret).expect("the key");
        let key = DNSKEY::from_key(&secret.to_public_key().expect("the public key"));
        let day = Duration::from_secs(86_400);
        let signer = DnssecSigner::new(key.clone(), Box::new(secret), Name::root(), day);
        Zone { signer, key }
    }

    /// Adds the zone's key if it is asked for, and a signature to every set of records.
    fn finish(&self, answer: &mut Message) {
        let query = answer.queries[0].clone();
        if query.query_type == RecordType::DNSKEY && query.name.is_root() {
            let data = RData::DNSSEC(DNSSECRData::DNSKEY(self.key.clone()));
            answer.add_answer(Record::from_rdata(Name::root(), 300, data));
        }
        let mut sets: Vec<(Name, RecordType)> = vec![];
        for record in &answer.answers {
            let set = (record.name.clone(), record.record_type());
            if !sets.contains(&set) {
                sets.push(set);
            }
        }
        for (name, kind) in sets {
            let of_set = |r: &&Record| r.name == name && r.record_type() == kind;
            let set: Vec<Record> = answer.answers.iter().filter(of_set).cloned().collect();
            let text = name.to_ascii();
            if !text.contains(UNSIGNED) {
                answer.add_answer(self.signature(&name, kind, &set, &text));
            }
        }
    }

    fn signature(&self, name: &Name, kind: RecordType, set: &[Record], text: &str) -> Record {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock");
        let now = now.as_secs() as u32;
        let over = match text.contains(EXPIRED) {
            true => now - 1_000,
            false => now + 86_400,
        };
        let input = SigInput {
            type_covered: kind,
            algorithm: Algorithm::ED25519,
            num_labels: name.num_labels(),
            original_ttl: 300,
            sig_expiration: over.into(),
            sig_inception: (now - 86_400).into(),
            key_tag: self.key.calculate_key_tag().expect("a tag"),
            signer_name: Name::root(),
        };
        let tbs = TBS::from_input(name, DNSClass::IN, &input, set.iter()).expect("the records");
        let mut signature = self.signer.sign(&tbs).expect("a signature");
        if text.contains(FORGED) {
            signature[0] ^= 1;
        }
        let data = RData::DNSSEC(DNSSECRData::RRSIG(RRSIG::from_sig(input, signature)));
        Record::from_rdata(name.clone(), 300, data)
    }
}

/// A resolver that checks signatures and trusts the key of this DNS.
fn world(rows: &[(&str, Row)]) -> (Resolver, NameServer) {
    let zone = Zone::new();
    let mut anchors = TrustAnchors::empty();
    anchors.insert(zone.key.public_key());
    let server = NameServer::start_with(rows, move |answer| zone.finish(answer));
    let settings = Dns {
        validate: true,
        ..settings(&server)
    };
    let resolver = Resolver(Arc::new(State {
        questions: Questions::with_anchors(&settings, anchors),
        overrides: settings.overrides,
    }));
    (resolver, server)
}

/// Rows F41 and F42: a host is proved by its domain's records, its pins by the whole way to them.
#[test]
fn proved_from_the_root_to_the_pin() {
    run(async {
        let (resolver, _server) = world(&[
            ("_xmpp-server._tcp.a.example", Row::Alias("s.example")),
            ("s.example", Row::Srv(1, 1, 5269, "b.example")),
            (
                "_xmpps-server._tcp.a.example",
                Row::Srv(2, 1, 5270, "b.example"),
            ),
            ("b.example", Row::Address("192.0.2.1")),
            ("_5269._tcp.b.example", Row::Tlsa(3, 1, 1, &[7; 32])),
            ("_5270._tcp.b.example", Row::Tlsa(3, 1, 1, &[8; 32])),
        ]);
        // Twice: from the servers, and from memory.
        for _ in 0..2 {
            let found = resolver.targets("a.example").await.expect("targets");
            assert_eq!(found.targets.len(), 2);
            for (target, byte) in found.targets.iter().zip([7, 8]) {
                assert!(target.proved, "{target:?}");
                let host = target.host.as_str();
                let found = resolver
                    .addresses(host, Family::V4)
                    .await
                    .expect("addresses");
                assert!(found.is_proved);
                let pin = Tlsa {
                    usage: 3,
                    selector: 1,
                    matching: 1,
                    data: vec![byte; 32],
                };
                assert_eq!(resolver.pins(target, found.is_proved).await, Ok(vec![pin]));
            }
        }
    });
}

/// What is not as signed is no answer, and no leave to guess.
#[test]
fn wrong_signatures() {
    run(async {
        for domain in ["a.unsigned", "a.forged", "a.expired"] {
            let (resolver, server) = world(&[]);
            for service in ["_xmpp-server", "_xmpps-server"] {
                let name = format!("{service}._tcp.{domain}");
                server.add(&name, Row::Srv(1, 1, 5269, "b.example"));
            }
            let found = shown(&resolver, domain).await;
            let wrong = "the signatures of its DNS records are wrong";
            assert_eq!(found, [wrong], "{domain}");
        }
    });
}

/// Pins of which nobody knows whether they are there: there is no connecting (RFC 7673 §3.4).
#[test]
fn forged_pins() {
    run(async {
        let pin = Row::Tlsa(3, 1, 1, &[7; 32]);
        let (resolver, _server) = world(&[("_5269._tcp.b.forged", pin)]);
        let target = Target {
            proved: true,
            ..guess("b.forged").targets.remove(0)
        };
        assert!(resolver.pins(&target, true).await.is_err());
    });
}
