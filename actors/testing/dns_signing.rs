//! The signatures of a DNS for tests (RFC 4034): everything lies in the root zone, whose key is the
//! one that a resolver must be told to trust. What is not there is denied by a record made for the
//! question (RFC 9824). The tests outside this crate take this very file, by its path.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rookery_protocol::sasl::encode;
use trust_dns_resolver::proto::dnssec::crypto::Ed25519SigningKey;
use trust_dns_resolver::proto::dnssec::rdata::sig::SigInput;
use trust_dns_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, NSEC, RRSIG};
use trust_dns_resolver::proto::dnssec::{Algorithm, DnssecSigner, PublicKey, SigningKey, TBS};
use trust_dns_resolver::proto::op::{Message, ResponseCode};
use trust_dns_resolver::proto::rr::rdata::NS;
use trust_dns_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// Names of which the answers go out without signatures, with one of other records, or with one
/// whose time is over.
const UNSIGNED: &str = "unsigned.";
const FORGED: &str = "forged.";
const EXPIRED: &str = "expired.";
/// The zone of which the root says that nobody signs it.
const INSECURE: &str = "insecure.";
const TTL: u32 = 300;

/// The root, signed.
pub struct Zone {
    signer: DnssecSigner,
    key: DNSKEY,
}

impl Zone {
    /// With a key of its own.
    pub fn new() -> Zone {
        let secret = Ed25519SigningKey::generate_pkcs8().expect("a key");
        let secret = Ed25519SigningKey::from_pkcs8(&secret).expect("the key");
        let key = DNSKEY::from_key(&secret.to_public_key().expect("the public key"));
        let day = Duration::from_secs(86_400);
        let signer = DnssecSigner::new(key.clone(), Box::new(secret), Name::root(), day);
        Zone { signer, key }
    }

    /// Its key, as settings name it.
    pub fn anchor(&self) -> String {
        let key = encode(self.key.public_key().public_bytes());
        format!("257 3 15 {key}")
    }

    /// Adds the zone's key if it is asked for, a denial where there is nothing, and a signature to
    /// every set of records.
    pub fn finish(&self, answer: &mut Message) {
        let query = answer.queries[0].clone();
        if query.query_type == RecordType::DNSKEY && query.name.is_root() {
            let data = RData::DNSSEC(DNSSECRData::DNSKEY(self.key.clone()));
            answer.add_answer(Record::from_rdata(Name::root(), TTL, data));
        }
        let is_cut = query.name.to_ascii() == INSECURE;
        if is_cut && query.query_type == RecordType::NS {
            answer.add_answer(Record::from_rdata(
                query.name,
                TTL,
                RData::NS(NS(Name::root())),
            ));
            return;
        }
        if query.name.to_ascii().ends_with(INSECURE) && !is_cut {
            // Below the cut nobody signs, and it has its own beginning.
            let cut = Name::from_ascii(INSECURE).expect("a name");
            answer
                .authorities
                .iter_mut()
                .for_each(|it| it.name = cut.clone());
            return;
        }
        if answer.answers.is_empty() {
            answer.metadata.response_code = ResponseCode::NoError;
            let next = query.name.prepend_label("next").expect("a name");
            let here = if is_cut { vec![RecordType::NS] } else { vec![] };
            let data = RData::DNSSEC(DNSSECRData::NSEC(NSEC::new_cover_self(next, here)));
            answer.add_authority(Record::from_rdata(query.name, TTL, data));
        }
        let signatures = self.signatures(&answer.answers);
        answer.add_answers(signatures);
        let signatures = self.signatures(&answer.authorities);
        answer.add_authorities(signatures);
    }

    fn signatures(&self, records: &[Record]) -> Vec<Record> {
        let mut sets: Vec<(Name, RecordType)> = vec![];
        for record in records {
            let set = (record.name.clone(), record.record_type());
            if !sets.contains(&set) {
                sets.push(set);
            }
        }
        let mut signatures = vec![];
        for (name, kind) in sets {
            let of_set = |r: &&Record| r.name == name && r.record_type() == kind;
            let set: Vec<Record> = records.iter().filter(of_set).cloned().collect();
            let text = name.to_ascii();
            if !text.contains(UNSIGNED) {
                signatures.push(self.signature(&name, kind, &set, &text));
            }
        }
        signatures
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
            original_ttl: TTL,
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
        Record::from_rdata(name.clone(), TTL, data)
    }
}
