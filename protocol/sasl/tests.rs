//! Whole exchanges, as tables: the RFCs' vectors first, then what a hostile client says.

use std::sync::{Arc, OnceLock};

use super::*;

const SECRET: &[u8] = b"server secret";
const CLIENT_NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";
const SERVER_NONCE: &str = "3rfcNHYJY1ZVvWVs7j";

fn terms(bindings: ChannelBindings) -> Terms {
    let bindable = !bindings.is_empty();
    let offered = Mechanism::ALL
        .into_iter()
        .filter(|m| bindable || !m.is_plus())
        .collect();
    Terms {
        domain: "a.test".into(),
        bindings,
        offered,
        decoy: Arc::new(Decoy::new(SECRET, MIN_ITERATIONS)),
        downgrade_hash: false,
    }
}

fn unbound() -> Terms {
    terms(ChannelBindings::default())
}

fn bound() -> Terms {
    terms(ChannelBindings {
        tls_exporter: Some(b"exported".to_vec()),
        tls_server_end_point: Some(b"certificate".to_vec()),
        tls_version: None,
    })
}

/// The account of the RFCs' examples; the salts are theirs too.
fn user(sha1_salt: &str, sha256_salt: &str) -> Account {
    let password = Password::prepare("pencil").unwrap();
    let keys = |hash, salt| {
        Some(ScramKeys::derive(
            hash,
            &password,
            &decode(salt).unwrap(),
            4096,
        ))
    };
    let credentials = Credentials {
        sha1: keys(Hash::Sha1, sha1_salt),
        sha256: keys(Hash::Sha256, sha256_salt),
    };
    Account {
        credentials,
        disabled: false,
        tokens: Vec::new(),
    }
}

fn rfc_user() -> Account {
    static USER: OnceLock<Account> = OnceLock::new();
    USER.get_or_init(|| user("QSXCR+Q6sek8bf92", "W22ZaJ0SNY7soEsUEjb6gQ=="))
        .clone()
}

/// The store: alice, bob and the user of the examples, with one password.
fn store(account: &str) -> Lookup {
    match account {
        "user@a.test" | "alice@a.test" | "bob@a.test" | "a,b=c@a.test" => Lookup::Found(rfc_user()),
        "off@a.test" => Lookup::Found(Account {
            disabled: true,
            ..rfc_user()
        }),
        "slow@a.test" => Lookup::Unavailable,
        _ => Lookup::Absent,
    }
}

/// Runs until the machine wants to say something; answers what it asks.
fn settle(exchange: &mut Exchange, mut step: Step, terms: &Terms) -> Step {
    loop {
        step = match step {
            Step::Fetch(account) => exchange.fetched(store(account.as_str()), terms),
            Step::Check(check) => exchange.checked(check.run()),
            done => return done,
        };
    }
}

fn say(exchange: &mut Exchange, data: &[u8], terms: &Terms) -> Step {
    let step = exchange.respond(data, terms);
    settle(exchange, step, terms)
}

/// A step in short.
fn short(step: Step) -> String {
    let text = |data: Vec<u8>| String::from_utf8(data).unwrap();
    match step {
        Step::Challenge(data) => text(data),
        Step::Success(success) => {
            let data = success.data.map(text).unwrap_or_default();
            format!("success {} {data}", success.account.as_str())
        }
        Step::Failure(failure) => failure.name().to_owned(),
        Step::Fetch(_) | Step::Check(_) => unreachable!("settled"),
    }
}

/// What a client that knows the password (and reads our challenge) answers.
pub(crate) fn client_final(
    hash: Hash,
    first: &str,
    challenge: &str,
    binding: &[u8],
    password: &str,
) -> String {
    let part = |name: &str| {
        challenge
            .split(',')
            .find_map(|part| part.strip_prefix(name))
            .unwrap_or_else(|| {
                panic!("no {name} in {challenge}");
            })
    };
    let bare = first.splitn(3, ',').nth(2).unwrap();
    let gs2 = &first[..first.len() - bare.len()];
    let without_proof = format!(
        "c={},r={}",
        encode(&[gs2.as_bytes(), binding].concat()),
        part("r=")
    );
    let salt = decode(part("s=")).unwrap();
    let password = Password::prepare(password).unwrap();
    let salted = hash.stretch(password.as_bytes(), &salt, part("i=").parse().unwrap());
    let key = hash.hmac(&salted, b"Client Key");
    let message = format!("{bare},{challenge},{without_proof}");
    let signature = hash.hmac(&hash.digest(&key), message.as_bytes());
    let proof: Vec<u8> = key
        .iter()
        .zip(signature.iter())
        .map(|(k, s)| k ^ s)
        .collect();
    format!("{without_proof},p={}", encode(&proof))
}

fn login(
    mechanism: Mechanism,
    first: &str,
    binding: &[u8],
    password: &str,
    terms: &Terms,
) -> String {
    let mut exchange = Exchange::new(mechanism, Nonce::fixed(SERVER_NONCE));
    match say(&mut exchange, first.as_bytes(), terms) {
        Step::Challenge(challenge) => {
            let challenge = String::from_utf8(challenge).unwrap();
            let hash = mechanism.hash().unwrap();
            let last = client_final(hash, first, &challenge, binding, password);
            short(say(&mut exchange, last.as_bytes(), terms))
        }
        other => short(other),
    }
}

struct Vector {
    mechanism: Mechanism,
    server_nonce: &'static str,
    client: [&'static str; 2],
    server: [&'static str; 2],
}

/// RFC 5802 §5, RFC 7677 §3.
#[test]
fn the_vectors_of_the_rfcs() {
    let vectors = [
        Vector {
            mechanism: Mechanism::ScramSha1,
            server_nonce: SERVER_NONCE,
            client: [
                "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
                "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,\
                 p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            ],
            server: [
                "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
                "success user@a.test v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            ],
        },
        Vector {
            mechanism: Mechanism::ScramSha256,
            server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            client: [
                "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            ],
            server: [
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                "success user@a.test v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ],
        },
    ];
    for vector in vectors {
        let mut exchange = Exchange::new(vector.mechanism, Nonce::fixed(vector.server_nonce));
        for (client, server) in vector.client.into_iter().zip(vector.server) {
            assert_eq!(
                short(say(&mut exchange, client.as_bytes(), &unbound())),
                server
            );
        }
    }
}

/// XEP-0474, the full example: the hash of the lists, and an extension in the client's final.
#[test]
fn the_vector_of_downgrade_protection() {
    let mut terms = bound();
    terms.bindings.tls_exporter = Some(b"THIS IS FAKE CB DATA".to_vec());
    terms.offered = vec![Mechanism::ScramSha1, Mechanism::ScramSha1Plus];
    terms.downgrade_hash = true;
    let nonce = "a09117a6-ac50-4f2f-93f1-93799c2bddf6";
    let mut exchange = Exchange::new(Mechanism::ScramSha1Plus, Nonce::fixed(nonce));
    let first = b"p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6";
    assert_eq!(
        short(say(&mut exchange, first, &terms)),
        "r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,\
         s=QSXCR+Q6sek8bf92,i=4096,h=G6k/rBLDqgOhRRaCuuatSDFkJ08="
    );
    let last = b"c=cD10bHMtZXhwb3J0ZXIsLFRISVMgSVMgRkFLRSBDQiBEQVRB,\
        r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,\
        x=19C6532F-1CF4-4A27-A18D-DC9CEA41BBB3,p=M/SIDjT+dfcxUh89jZEypRvFxB4=";
    let success = "success user@a.test v=MQrMPvv7yv4x4Cq4W4Ih25EqS2c=";
    assert_eq!(short(say(&mut exchange, last, &terms)), success);
}

/// Rows T18, T22 to T25: who, and bound to what.
#[test]
fn first_messages() {
    use Mechanism::{ScramSha1, ScramSha1Plus, ScramSha256, ScramSha256Plus};
    let (plain, tls) = (unbound(), bound());
    #[rustfmt::skip]
    let rows: [(&Terms, Mechanism, &str, &[u8], &str); 25] = [
        (&plain, ScramSha256, "n,,n=alice", b"", "success alice"),
        (&plain, ScramSha1, "y,,n=alice", b"", "success alice"),
        (&tls, ScramSha256, "n,,n=ALICE", b"", "success alice"),
        (&tls, ScramSha256, "n,,n=a=2Cb=3Dc", b"", "success a,b=c"),
        (&tls, ScramSha256Plus, "p=tls-exporter,,n=bob", b"exported", "success bob"),
        (&tls, ScramSha1Plus, "p=tls-server-end-point,,n=bob", b"certificate", "success bob"),
        (&tls, ScramSha256Plus, "p=tls-exporter,,n=bob", b"another", "not-authorized"),
        (&tls, ScramSha256Plus, "p=tls-exporter,,n=bob", b"", "not-authorized"),
        (&tls, ScramSha256Plus, "p=tls-unique,,n=bob", b"x", "not-authorized"),
        (&tls, ScramSha256Plus, "p=foo,,n=bob", b"x", "not-authorized"),
        (&tls, ScramSha256, "p=tls-exporter,,n=bob", b"exported", "not-authorized"),
        (&tls, ScramSha256Plus, "n,,n=bob", b"", "not-authorized"),
        (&tls, ScramSha256Plus, "y,,n=bob", b"", "not-authorized"),
        (&tls, ScramSha256, "y,,n=bob", b"", "not-authorized"),
        (&tls, ScramSha256, "n,a=alice@a.test,n=alice", b"", "success alice"),
        (&tls, ScramSha256, "n,a=ALICE@A.TEST,n=alice", b"", "success alice"),
        (&tls, ScramSha256, "n,a=bob@a.test,n=alice", b"", "invalid-authzid"),
        (&tls, ScramSha256, "n,a=alice@b.test,n=alice", b"", "invalid-authzid"),
        (&tls, ScramSha256, "n,a=alice@a.test/x,n=alice", b"", "invalid-authzid"),
        (&tls, ScramSha256, "n,a=a.test,n=alice", b"", "invalid-authzid"),
        (&tls, ScramSha256, "n,a=@,n=alice", b"", "invalid-authzid"),
        (&tls, ScramSha256, "n,,n=nobody", b"", "not-authorized"),
        (&tls, ScramSha256, "n,,n=a b", b"", "not-authorized"),
        (&tls, ScramSha256, "n,,n=off", b"", "account-disabled"),
        (&tls, ScramSha256, "n,,n=slow", b"", "temporary-auth-failure"),
    ];
    for (terms, mechanism, start, binding, expected) in rows {
        let first = format!("{start},r={CLIENT_NONCE}");
        let got = login(mechanism, &first, binding, "pencil", terms);
        let expected = match expected.strip_prefix("success ") {
            Some(name) => format!("success {name}@a.test v="),
            None => expected.to_owned(),
        };
        assert!(
            got.starts_with(&expected),
            "{start} by {}: {got}",
            mechanism.name()
        );
        let wrong = login(mechanism, &first, binding, "pencils", terms);
        assert!(!wrong.starts_with("success"), "{start}: {wrong}");
        assert_ne!(
            wrong, "account-disabled",
            "only who knows the password is told"
        );
    }
}

#[test]
fn malformed_first_messages() {
    let rows: [&[u8]; 20] = [
        b"",
        b"n",
        b"n,",
        b"n,,",
        b"n,,n=alice",
        b"n,,r=abc,n=alice",
        b"n,,n=,r=abc",
        b"n,,n=alice,r=",
        b"n,,n=alice,r=a\x7f",
        b"n,,n=alice,r=a b",
        b"n,,m=x,n=alice,r=abc",
        b"n,,n=alice,r=abc,m=x",
        b"n,,n=alice,r=abc,",
        b"n,,n=ali=ce,r=abc",
        b"n,,n=alice=2c,r=abc",
        b"n,alice@a.test,n=alice,r=abc",
        b"x,,n=alice,r=abc",
        b"p=,,n=alice,r=abc",
        b"p=tls unique,,n=alice,r=abc",
        b"n,,n=\xff,r=abc",
    ];
    for row in rows {
        let mut exchange = Exchange::new(Mechanism::ScramSha1, Nonce::fixed("x"));
        let got = short(say(&mut exchange, row, &unbound()));
        assert_eq!(got, "malformed-request", "{}", row.escape_ascii());
    }
}

/// Rows T21 and T22: a final message that was tampered with.
#[test]
fn final_messages() {
    let nonce = "fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j";
    let proof = "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
    let rows = [
        (format!("c=biws,r={nonce},p={proof}"), "success"),
        (format!("c=eSws,r={nonce},p={proof}"), "not-authorized"),
        (format!("c=biwsYQ==,r={nonce},p={proof}"), "not-authorized"),
        (format!("c=biws,r={nonce}x,p={proof}"), "not-authorized"),
        (
            format!("c=biws,r={CLIENT_NONCE},p={proof}"),
            "not-authorized",
        ),
        (
            format!("c=biws,r={nonce},p=AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            "not-authorized",
        ),
        (format!("c=biws,r={nonce},p=AAAA"), "not-authorized"),
        (format!("c=biws,r={nonce},p="), "not-authorized"),
        (
            format!("c=biws,r={nonce},p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts"),
            "malformed-request",
        ),
        (format!("c=biws,r={nonce}"), "malformed-request"),
        (
            format!("c=biws,r={nonce},p={proof},x=y"),
            "malformed-request",
        ),
        (format!("r={nonce},c=biws,p={proof}"), "malformed-request"),
        (
            format!("c=biws,r={nonce},m=x,p={proof}"),
            "malformed-request",
        ),
        (
            format!("c=biws,r={nonce},x=tra,p={proof}"),
            "not-authorized",
        ),
        (String::new(), "malformed-request"),
    ];
    for (last, expected) in rows {
        let mut exchange = Exchange::new(Mechanism::ScramSha1, Nonce::fixed(SERVER_NONCE));
        let first = format!("n,,n=user,r={CLIENT_NONCE}");
        assert!(matches!(
            say(&mut exchange, first.as_bytes(), &unbound()),
            Step::Challenge(_)
        ));
        let got = short(say(&mut exchange, last.as_bytes(), &unbound()));
        assert!(got.starts_with(expected), "{last}: {got}");
        let after = short(say(&mut exchange, last.as_bytes(), &unbound()));
        assert_eq!(after, "malformed-request", "an exchange ends once");
    }
}

/// Nobody learns from the conversation whether an account exists.
#[test]
fn unknown_users_are_answered_alike() {
    let challenge = |name: &str, mechanism| {
        let mut exchange = Exchange::new(mechanism, Nonce::fixed(SERVER_NONCE));
        short(say(
            &mut exchange,
            format!("n,,n={name},r=abc").as_bytes(),
            &unbound(),
        ))
    };
    let ghost = challenge("ghost", Mechanism::ScramSha1);
    assert_eq!(ghost, challenge("GHOST", Mechanism::ScramSha1), "stable");
    assert_ne!(ghost, challenge("ghost2", Mechanism::ScramSha1));
    assert_eq!(
        ghost,
        challenge("ghost", Mechanism::ScramSha256),
        "one salt for both hashes"
    );
    assert!(ghost.ends_with(",i=4096"), "{ghost}");
    for name in ["ghost", "alice"] {
        let mut exchange = Exchange::new(Mechanism::Plain, Nonce::fixed(""));
        let step = exchange.respond(format!("\0{name}\0wrong").as_bytes(), &unbound());
        let Step::Fetch(account) = step else {
            panic!("{step:?}")
        };
        let step = exchange.fetched(store(account.as_str()), &unbound());
        assert!(matches!(step, Step::Check(_)), "{name}: the same work");
        assert_eq!(short(exchange.checked(Verdict::Wrong)), "not-authorized");
    }
    // Even if a decoy's password were found, it opens nothing.
    let mut exchange = Exchange::new(Mechanism::Plain, Nonce::fixed(""));
    exchange.respond(b"\0ghost\0guess", &unbound());
    exchange.fetched(Lookup::Absent, &unbound());
    assert_eq!(short(exchange.checked(Verdict::Right)), "not-authorized");
}

/// Rows T16, T18 and T36.
#[test]
fn plain() {
    let long = |n| [b"\0alice\0".as_slice(), &vec![b'x'; n]].concat();
    let rows: [(&[u8], &str); 19] = [
        (b"\0alice\0pencil", "success alice@a.test "),
        (b"\0ALICE\0pencil", "success alice@a.test "),
        (b"alice@a.test\0alice\0pencil", "success alice@a.test "),
        (b"ALICE@A.TEST\0alice\0pencil", "success alice@a.test "),
        (b"bob@a.test\0alice\0pencil", "invalid-authzid"),
        (b"alice@a.test/x\0alice\0pencil", "invalid-authzid"),
        (b"alice\0alice\0pencil", "invalid-authzid"),
        (b"\0alice\0Pencil", "not-authorized"),
        (b"\0nobody\0pencil", "not-authorized"),
        (b"\0a b\0pencil", "not-authorized"),
        (b"\0off\0pencil", "account-disabled"),
        (b"\0off\0wrong", "not-authorized"),
        (b"\0alice\0\t", "not-authorized"),
        (&long(1025), "not-authorized"),
        (b"", "malformed-request"),
        (b"alicepencil", "malformed-request"),
        (b"\0alice\0pencil\0", "malformed-request"),
        (b"\0\0pencil", "malformed-request"),
        (b"\0alice\0", "malformed-request"),
    ];
    for (message, expected) in rows {
        let mut exchange = Exchange::new(Mechanism::Plain, Nonce::fixed(""));
        let got = short(say(&mut exchange, message, &unbound()));
        assert_eq!(got, expected, "{}", message.escape_ascii());
    }
    let mut exchange = Exchange::new(Mechanism::Plain, Nonce::fixed(""));
    let step = exchange.respond(&long(9 * 1024), &unbound());
    assert!(
        matches!(step, Step::Failure(Failure::NotAuthorized)),
        "no look-up, no hashing"
    );
    exchange = Exchange::new(Mechanism::Plain, Nonce::fixed(""));
    exchange.respond(b"\0alice\0pencil", &unbound());
    exchange.fetched(store("alice@a.test"), &unbound());
    assert_eq!(
        short(exchange.checked(Verdict::Overloaded)),
        "temporary-auth-failure"
    );
}

/// Row T17.
#[test]
fn base64_is_strict() {
    let good: [(&str, &[u8]); 4] = [("", b""), ("=", b""), ("YQ==", b"a"), ("biws", b"n,,")];
    for (text, data) in good {
        assert_eq!(decode(text).unwrap(), data, "{text:?}");
    }
    for text in [
        "!!!!", "YQ", "YQ=", "YR==", "YQ ==", " YQ==", "YQ==\n", "YQ===", "==", "bi-_",
    ] {
        assert_eq!(decode(text), Err(Failure::IncorrectEncoding), "{text:?}");
    }
}

#[test]
fn names() {
    for mechanism in Mechanism::ALL {
        assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
    }
    for name in ["X-NOPE", "EXTERNAL", "LOGIN", "plain", ""] {
        assert_eq!(Mechanism::from_name(name), None);
    }
}

#[test]
fn our_nonce_is_printable_without_commas() {
    let nonce = format!("{:?}", Nonce::new([0xff; 18]));
    assert_eq!(nonce, "Nonce(…)");
    for byte in 0..=255 {
        let mut exchange = Exchange::new(Mechanism::ScramSha1, Nonce::new([byte; 18]));
        let challenge = short(say(&mut exchange, b"n,,n=alice,r=a", &unbound()));
        let ours = challenge
            .strip_prefix("r=a")
            .unwrap()
            .split(",s=")
            .next()
            .unwrap();
        assert_eq!(ours.len(), 24, "144 bits");
        assert!(!ours.contains(','));
    }
}
