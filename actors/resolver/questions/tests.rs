//! What is taken of an answer, with its proofs as data; the bound; this machine's name servers.

use std::net::Ipv6Addr;

use trust_dns_resolver::proto::rr::rdata::CNAME;

use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).expect("a name")
}

fn address(owner: &str, proof: Proof) -> Record {
    let data = RData::AAAA(Ipv6Addr::LOCALHOST.into());
    let mut record = Record::from_rdata(name(owner), 60, data);
    record.proof = proof;
    record
}

fn alias(owner: &str, target: &str, proof: Proof) -> Record {
    let data = RData::CNAME(CNAME(name(target)));
    let mut record = Record::from_rdata(name(owner), 60, data);
    record.proof = proof;
    record
}

/// A record of this proof, alone or behind an alias of that one; whether it is proved.
#[test]
fn a_chain_is_as_strong_as_its_weakest_link() {
    let rows = [
        (Proof::Secure, None, true),
        (Proof::Insecure, None, false),
        (Proof::Indeterminate, None, false),
        (Proof::Secure, Some(Proof::Secure), true),
        (Proof::Secure, Some(Proof::Insecure), false),
        (Proof::Insecure, Some(Proof::Secure), false),
    ];
    let query = Query::query(name("a"), RecordType::AAAA);
    for (record, link, is_proved) in rows {
        let answers = match link {
            None => vec![address("a", record)],
            Some(link) => vec![address("b", record), alias("a", "b", link)],
        };
        let reply = chain(&answers, &query).expect("a chain").into_reply();
        assert_eq!((reply.records.len(), reply.is_proved), (1, is_proved));
    }
    // One of two is not enough, and nothing proves nothing.
    let both = [address("a", Proof::Secure), address("a", Proof::Insecure)];
    assert!(
        !chain(&both, &query)
            .expect("a chain")
            .into_reply()
            .is_proved
    );
    assert!(!chain(&[], &query).expect("a chain").into_reply().is_proved);
}

#[test]
fn records_of_other_names_are_no_answer() {
    let query = Query::query(name("a"), RecordType::AAAA);
    let stray = [address("b", Proof::Secure), alias("c", "b", Proof::Secure)];
    let reply = chain(&stray, &query).expect("a chain").into_reply();
    assert!(reply.records.is_empty());
}

#[test]
fn aliases_without_end() {
    let query = Query::query(name("n0"), RecordType::AAAA);
    let chain_of = |length: usize| -> Vec<Record> {
        let link = |n: usize| alias(&format!("n{n}"), &format!("n{}", n + 1), Proof::Secure);
        let mut links: Vec<_> = (0..length).map(link).collect();
        links.push(address(&format!("n{length}"), Proof::Secure));
        links
    };
    let longest = chain(&chain_of(ALIASES_MAX), &query).expect("a chain");
    assert_eq!(longest.records.len(), 1);
    assert!(chain(&chain_of(ALIASES_MAX + 1), &query).is_err());
    let own = [alias("n0", "n0", Proof::Secure)];
    assert!(chain(&own, &query).is_err());
}

#[test]
fn what_is_forged_is_no_answer_and_no_leave_to_guess() {
    let mut forged = Message::new(0, MessageType::Response, OpCode::Query);
    forged.add_answer(address("a", Proof::Bogus));
    let bogus = Err(NetError::Dns(DnsError::DnssecBogus));
    for answer in [Ok(forged), bogus] {
        let why = read(answer).err().expect("an answer that is forged");
        assert!(why.to_string().contains("signatures"), "{why}");
    }
}

#[test]
fn only_so_many_questions_at_once() {
    crate::testing::run(async {
        let questions = Questions::new(&Dns {
            servers: vec!["192.0.2.53".parse().expect("an address")],
            ..Dns::default()
        });
        let all = questions.room.try_acquire_many(QUESTIONS_MAX as u32);
        assert!(all.is_ok());
        // Refused before anybody is asked.
        let refused = questions.ask("a.example", Kind::A).await;
        assert_eq!(refused.err(), Some(Unresolved::TooMany));
    });
}

#[test]
fn name_servers_of_this_machine() {
    let folder = std::env::temp_dir();
    let file = folder.join(format!("rookery-resolv-{}.conf", std::process::id()));
    let rows = [
        ("", vec!["127.0.0.1:53"]),
        (
            "# a\nsearch lan\nnameserver 192.0.2.1\n nameserver\t2001:db8::1\nnameserver x\n",
            vec!["192.0.2.1:53", "[2001:db8::1]:53"],
        ),
    ];
    for (text, expected) in rows {
        fs::write(&file, text).expect("a file");
        let servers: Vec<_> = own_servers(&file)
            .iter()
            .map(SocketAddr::to_string)
            .collect();
        assert_eq!(servers, expected, "{text:?}");
    }
    fs::remove_file(&file).expect("the file");
    assert_eq!(
        own_servers(&file),
        ["127.0.0.1:53".parse().expect("an address")]
    );
}
