//! T, second half: SASL and resource binding.

use super::row::{Answer::*, Row, Stage, State::*, each_of, must, scene};
use crate::client::{Client, PATIENCE};
use crate::sasl::{Hash, Scram, b64};
use crate::tls;
use crate::world::password;
use crate::xml::SASL;

fn auth(mechanism: &str, payload: &str) -> String {
    format!("<auth xmlns='{SASL}' mechanism='{mechanism}'>{payload}</auth>")
}

fn plain_of(payload: &str) -> Vec<u8> {
    auth("PLAIN", &b64(payload)).into_bytes()
}

pub fn rows() -> Vec<Row> {
    let mut rows = payloads();
    rows.extend(scenes());
    rows
}

fn payloads() -> Vec<Row> {
    let unknown = ["X-NOPE", "EXTERNAL", "LOGIN", "DIGEST-MD5", "OAUTHBEARER"];
    let unknown = unknown.map(|m| auth(m, "").into_bytes()).to_vec();
    let broken = [
        "!!!!",
        "AGFs aWNlAGFsaWNlcHc=",
        "AGFsaWNlAGFsaWNlcHc",
        "AGFsaWNlAGFsaWNlcHd==",
    ];
    let broken = broken.map(|b| auth("PLAIN", b).into_bytes()).to_vec();
    let mut shapes = vec!["noseparator", "a\0b\0c\0d"]
        .into_iter()
        .map(plain_of)
        .collect::<Vec<_>>();
    shapes.push(auth("PLAIN", "=").into_bytes());
    let long = "p".repeat(9 * 1024);
    let longest = "p".repeat(64 * 1024);
    vec![
        each_of(
            "T14",
            "mechanisms that are not offered",
            Tls,
            unknown,
            &[Fails("invalid-mechanism")],
        ),
        each_of(
            "T16-form",
            "PLAIN without text, without NUL, of four parts",
            Tls,
            shapes,
            &[Fails("malformed-request")],
        ),
        each_of(
            "T16-user",
            "PLAIN without a user, or with a password of 9 KiB",
            Tls,
            vec![
                plain_of("\0\0secret"),
                plain_of(&format!("\0nobody\0{}", &long[..5000])),
            ],
            &[Fails("not-authorized"), Fails("malformed-request")],
        ),
        each_of(
            "T16-size",
            "PLAIN of 64 KiB",
            Tls,
            vec![plain_of(&format!("\0nobody\0{longest}"))],
            &[Ends("policy-violation")],
        ),
        each_of(
            "T17",
            "what is not base64",
            Tls,
            broken,
            &[Fails("incorrect-encoding")],
        ),
    ]
}

fn scenes() -> Vec<Row> {
    vec![
        scene(
            "T18",
            "an authzid that is one's own, and that is not",
            authzid,
        ),
        scene("T21", "SCRAM replayed and falsified", falsified),
        scene(
            "T22",
            "c= that is not the header of the first message",
            wrong_header,
        ),
        scene("T23", "flag y while -PLUS is offered", downgraded),
        scene("T24", "the kinds of channel binding", bindings),
        scene(
            "T25",
            "SCRAM-PLUS through a man with a certificate of his own",
            man_in_the_middle,
        ),
        scene("T27", "four wrong passwords on one stream", four_wrong),
        scene("T30", "responses and aborts out of turn", out_of_turn),
        scene(
            "T31",
            "after <success/> a header to another domain",
            other_domain,
        ),
    ]
}

/// Rows for a server that trusts no network.
pub fn rows_untrusted() -> Vec<Row> {
    vec![scene(
        "T29",
        "failures from everywhere do not lock the account",
        never_locked,
    )]
}

/// Alice's connection over STARTTLS with the stream opened, and her user name.
fn alice(stage: &Stage) -> Result<(Client, String), String> {
    let user = stage.user("alice");
    stage.world.account(&user, "a.test");
    Ok((stage.client(Tls)?, user))
}

/// The right password with this header, bound to this.
fn scram_of(user: &str, hash: Hash, gs2: &str, binding: Vec<u8>) -> Scram {
    let mut scram = Scram::new(hash, user, &password(user));
    scram.gs2 = gs2.into();
    scram.binding = binding;
    scram
}

/// Compares the outcome of a login, "success" or a condition, with those that are right.
pub fn is(outcome: Option<String>, wanted: &[&str], what: &str) -> Result<(), String> {
    let found = outcome.unwrap_or("success".into());
    must(wanted.contains(&found.as_str()), || {
        format!("{what}: {found}")
    })
}

fn authzid(stage: &Stage) -> Result<(), String> {
    let bob = stage.user("bob");
    stage.world.account(&bob, "a.test");
    let own = stage.bare("alice");
    let cases = [
        (format!("{bob}@a.test"), "invalid-authzid"),
        (format!("{own}/x"), "invalid-authzid"),
        ("a.test".to_string(), "invalid-authzid"),
        (own.clone(), "success"),
        (own.to_uppercase(), "success"),
    ];
    for (authzid, wanted) in cases {
        let (mut client, user) = alice(stage)?;
        client.auth(
            "PLAIN",
            &b64(format!("{authzid}\0{user}\0{}", password(&user))),
        )?;
        is(client.outcome()?, &[wanted], &format!("PLAIN as {authzid}"))?;
        let (mut client, user) = alice(stage)?;
        let scram = scram_of(&user, Hash::Sha1, &format!("n,a={authzid},"), vec![]);
        is(
            client.scram(scram, false)?,
            &[wanted],
            &format!("SCRAM as {authzid}"),
        )?;
        if wanted == "success" {
            client.open()?;
            client.bind("z")?;
            must(client.jid == format!("{own}/z"), || {
                format!("bound as {}", client.jid)
            })?;
        }
    }
    Ok(())
}

const REFUSED: &[&str] = &["not-authorized", "malformed-request"];

fn falsified(stage: &Stage) -> Result<(), String> {
    let (mut client, user) = alice(stage)?;
    let good = || Scram::new(Hash::Sha1, &user, &password(&user));
    let mut other_nonce = good();
    other_nonce.fake_nonce = Some("somethingelse".into());
    is(client.scram(other_nonce, false)?, REFUSED, "another nonce")?;
    let mut without_proof = good();
    without_proof.without_proof = true;
    is(client.scram(without_proof, false)?, REFUSED, "no proof")?;
    // A whole recorded conversation, said again on a new stream.
    let mut recorded = good();
    let (mut client, _) = alice(stage)?;
    let mut nonces = Vec::new();
    client.auth("SCRAM-SHA-1", &recorded.first())?;
    let challenge = client.expect(SASL, "challenge")?;
    nonces.push(challenge.text.clone());
    let last = recorded.last(&challenge.text)?;
    client.say(&format!("<response xmlns='{SASL}'>{last}</response>"));
    client.expect(SASL, "success")?;
    let (mut client, _) = alice(stage)?;
    client.auth("SCRAM-SHA-1", &recorded.first())?;
    nonces.push(client.expect(SASL, "challenge")?.text);
    client.say(&format!("<response xmlns='{SASL}'>{last}</response>"));
    is(client.outcome()?, REFUSED, "a replay")?;
    must(nonces[0] != nonces[1], || {
        "the server's nonce came twice".into()
    })
}

fn wrong_header(stage: &Stage) -> Result<(), String> {
    let (mut client, user) = alice(stage)?;
    for binding in ["y,,", "n,a=other,", "p=tls-exporter,,"] {
        if binding.starts_with('p') {
            (client, _) = alice(stage)?;
        }
        let mut scram = Scram::new(Hash::Sha1, &user, &password(&user));
        scram.fake_binding = Some(binding.into());
        is(client.scram(scram, false)?, REFUSED, binding)?;
    }
    Ok(())
}

fn downgraded(stage: &Stage) -> Result<(), String> {
    let (mut client, user) = alice(stage)?;
    let offered = client.mechanisms().iter().any(|m| m.ends_with("-PLUS"));
    must(offered, || format!("no -PLUS in {:?}", client.mechanisms()))?;
    let scram = scram_of(&user, Hash::Sha1, "y,,", vec![]);
    is(client.scram(scram, false)?, &["not-authorized"], "flag y")
}

fn bindings(stage: &Stage) -> Result<(), String> {
    let (client, user) = alice(stage)?;
    let ns = "urn:xmpp:sasl-cb:0";
    let list = client
        .features
        .child(ns, "sasl-channel-binding")
        .ok_or("no XEP-0440 list")?;
    let kinds: Vec<&str> = list
        .children
        .iter()
        .filter_map(|c| c.attr("type"))
        .collect();
    let both = kinds.contains(&"tls-exporter") && kinds.contains(&"tls-server-end-point");
    must(both && !kinds.contains(&"tls-unique"), || {
        format!("offered: {kinds:?}")
    })?;
    for hash in [Hash::Sha1, Hash::Sha256] {
        for kind in ["tls-exporter", "tls-server-end-point"] {
            let (mut client, _) = alice(stage)?;
            let connection = client.tls().ok_or("no TLS")?;
            let binding = match kind {
                "tls-exporter" => tls::exporter(connection),
                _ => tls::end_point(connection),
            };
            let scram = scram_of(&user, hash, &format!("p={kind},,"), binding);
            is(
                client.scram(scram, true)?,
                &["success"],
                &format!("{hash:?} {kind}"),
            )?;
        }
    }
    for kind in ["tls-unique", "foo"] {
        let (mut client, _) = alice(stage)?;
        let scram = scram_of(&user, Hash::Sha256, &format!("p={kind},,"), vec![1; 12]);
        is(client.scram(scram, true)?, REFUSED, kind)?;
    }
    Ok(())
}

fn man_in_the_middle(stage: &Stage) -> Result<(), String> {
    // The victim's TLS ends at the man's machine: what she binds to is not the server's channel.
    let (victim, user) = alice(stage)?;
    let connection = victim.tls().ok_or("no TLS")?;
    let victims = [
        ("tls-exporter", tls::exporter(connection)),
        ("tls-server-end-point", vec![0x5a; 32]),
    ];
    for (kind, binding) in victims {
        let (mut server_leg, _) = alice(stage)?;
        let scram = scram_of(&user, Hash::Sha256, &format!("p={kind},,"), binding);
        is(server_leg.scram(scram, true)?, REFUSED, kind)?;
    }
    let (mut server_leg, _) = alice(stage)?;
    let scram = scram_of(&user, Hash::Sha256, "y,,", vec![]);
    is(
        server_leg.scram(scram, false)?,
        REFUSED,
        "without binding, flag y",
    )
}

fn four_wrong(stage: &Stage) -> Result<(), String> {
    let (mut client, user) = alice(stage)?;
    for n in 1..=3 {
        is(
            client.plain(&user, "wrong")?,
            &["not-authorized"],
            &format!("try {n}"),
        )?;
    }
    client.auth("PLAIN", &b64(format!("\0{user}\0wrong")))?;
    let condition = client.stream_error(PATIENCE)?;
    must(condition == "policy-violation", || condition)
}

fn never_locked(stage: &Stage) -> Result<(), String> {
    let user = stage.user("alice");
    stage.world.account(&user, "a.test");
    for n in 0..30 {
        let from = std::net::SocketAddr::from(([127, 0, 9, n + 1], 0));
        stage.world.count();
        let mut client = Client::tcp_from(from, stage.world.c2s, "a.test");
        client.open()?;
        for _ in 0..3 {
            is(
                client.plain(&user, "wrong")?,
                &["not-authorized"],
                "a wrong password",
            )?;
        }
    }
    let mut client = stage.client(Plain)?;
    client.login(&user, &password(&user))
}

fn out_of_turn(stage: &Stage) -> Result<(), String> {
    let (mut client, user) = alice(stage)?;
    client.say(&format!("<response xmlns='{SASL}'>AGEAYg==</response>"));
    is(client.outcome()?, REFUSED, "<response/> without <auth/>")?;
    let (mut client, _) = alice(stage)?;
    client.say(&format!("<abort xmlns='{SASL}'/>"));
    is(
        client.outcome()?,
        &["aborted", "not-authorized", "malformed-request"],
        "<abort/> alone",
    )?;
    let (mut client, _) = alice(stage)?;
    client.auth("SCRAM-SHA-1", &Scram::new(Hash::Sha1, &user, "x").first())?;
    client.expect(SASL, "challenge")?;
    client.say(&format!("<abort xmlns='{SASL}'/>"));
    is(client.outcome()?, &["aborted"], "<abort/>")?;
    client.auth("SCRAM-SHA-1", &Scram::new(Hash::Sha1, &user, "x").first())?;
    client.expect(SASL, "challenge")?;
    // In the middle, <auth/> fails or begins anew; a conversation after that is whole again.
    client.auth("SCRAM-SHA-1", &Scram::new(Hash::Sha1, &user, "x").first())?;
    let answer = client.element()?;
    let right = answer.is(SASL, "challenge") || answer.is(SASL, "failure");
    must(right, || answer.to_string())?;
    client
        .login(&user, &password(&user))
        .map_err(|e| format!("after all that: {e}"))
}

fn other_domain(stage: &Stage) -> Result<(), String> {
    let carol = format!("from='{}' to='a.test'", stage.bare("carol"));
    let refused = ["not-authorized", "host-unknown"];
    for (instead, right) in [
        ("to='b.test'", &refused[..]),
        (&carol, &[refused[0], refused[1], "invalid-from"]),
    ] {
        let (mut client, user) = alice(stage)?;
        let outcome = client.plain(&user, &password(&user))?;
        is(outcome, &["success"], "login")?;
        client.restart();
        let header = client.header_text().replace("to='a.test'", instead);
        client.say(&header);
        let condition = client.stream_error(PATIENCE)?;
        must(right.contains(&&*condition), || condition)?;
    }
    Ok(())
}
