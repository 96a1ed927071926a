//! T, what XEP-0388 and XEP-0484 brought: profiles that do not mix, lists that cannot be cut, and
//! tokens that are good for one client, one mechanism and one time.

use super::row::{Row, Stage, State::*, must, scene};
use crate::client::{Client, PATIENCE};
use crate::sasl::{Hash, Scram, b64};
use crate::sasl2::{self, SASL2, agent, enter, given, verdict, wish};
use crate::tls;
use crate::world::password;
use crate::xml::SASL;
use rustls::HandshakeKind;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NONE: &str = "HT-SHA-256-NONE";

pub fn rows() -> Vec<Row> {
    vec![
        scene("T13", "early data with a login in it", early_data),
        scene(
            "T26",
            "what was offered is in the challenge",
            offer_in_challenge,
        ),
        scene("T33", "the two profiles mixed", mixed),
        scene("T35", "a token that is not good, or not here", tokens),
        scene("T35-void", "a token after its end", void_tokens),
        scene(
            "T42-tokens",
            "no token outlives its account's trouble",
            account_in_trouble,
        ),
    ]
}

/// Rows for a server that gives short-lived tokens.
pub fn rows_hasty() -> Vec<Row> {
    vec![scene("T35-hasty", "expiry and rotation", hasty)]
}

fn early_data(stage: &Stage) -> Result<(), String> {
    let mut configuration = tls::configuration(&["xmpp-client"], tls::ONLY_13);
    configuration.enable_early_data = true;
    let configuration = Arc::new(configuration);
    let header = Client::tcp(stage.world.c2s, "a.test").header_text();
    let failed = |error: std::io::Error| error.to_string();
    for resumes in [false, true] {
        let mut socket = TcpStream::connect(stage.world.c2s_tls).map_err(failed)?;
        let mut tls = tls::connection_of(&configuration, "a.test");
        // What the ticket of the connection before allows.
        must(tls.early_data().is_none(), || {
            "early data is allowed".into()
        })?;
        let mut stream = rustls::Stream::new(&mut tls, &mut socket);
        stream.write_all(header.as_bytes()).map_err(failed)?;
        // The ticket comes with the first bytes.
        stream.read_exact(&mut [0; 32]).map_err(failed)?;
        let resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
        must(resumed == resumes, || format!("resumed: {resumed}"))?;
    }
    Ok(())
}

/// A connection in [T] with alice's account made, and her user name.
fn alice(stage: &Stage) -> Result<(Client, String), String> {
    let user = stage.user("alice");
    stage.world.account(&user, "a.test");
    Ok((stage.client(Tls)?, user))
}

fn offer_in_challenge(stage: &Stage) -> Result<(), String> {
    let (mut client, user) = alice(stage)?;
    let sorted = |mut names: Vec<String>| {
        names.sort_unstable();
        names.join("\u{1e}")
    };
    let list = client
        .features
        .child(SASL2, "authentication")
        .ok_or("no SASL2")?;
    let names = list.children.iter().filter(|el| el.name == "mechanism");
    let names = sorted(names.map(|el| el.text.clone()).collect());
    let types = client
        .features
        .child("urn:xmpp:sasl-cb:0", "sasl-channel-binding");
    let types = types.ok_or("no types")?.children.iter();
    let types = types.filter_map(|el| el.attr("type").map(str::to_string));
    let offer = format!("{names}\u{1f}{}", sorted(types.collect()));
    let hash = b64(Sha256::digest(offer.as_bytes()));
    let right = Scram::new(Hash::Sha256, &user, &password(&user));
    let (outcome, first) = sasl2::scram(&mut client, right, "SCRAM-SHA-256", "")?;
    must(first.contains(&format!(",h={hash}")), || {
        format!("{first} for {offer:?}")
    })?;
    must(first.ends_with(",t=0304"), || {
        format!("the version of TLS: {first}")
    })?;
    must(verdict(&outcome) == "success", || outcome.to_string())?;
    // The same in the old profile, whose list is the same.
    let (mut client, user) = alice(stage)?;
    let scram = Scram::new(Hash::Sha256, &user, &password(&user));
    client.auth("SCRAM-SHA-256", &scram.first())?;
    let challenge = client.expect(SASL, "challenge")?.text;
    let first = String::from_utf8_lossy(&crate::sasl::unb64(&challenge)?).into_owned();
    must(first.contains(&format!(",h={hash}")), || first.clone())
}

fn mixed(stage: &Stage) -> Result<(), String> {
    let (mut client, user) = alice(stage)?;
    let scram = || Scram::new(Hash::Sha256, &user, &password(&user));
    let right = |client: &mut Client| {
        let (outcome, _) = sasl2::scram(client, scram(), "SCRAM-SHA-256", "")?;
        must(verdict(&outcome) == "success", || outcome.to_string())
    };
    client.say(&sasl2::authenticate("SCRAM-SHA-256", &scram().first(), ""));
    let challenge = client.expect(SASL2, "challenge")?;
    let last = scram().last(&challenge.text).unwrap_or_default();
    client.say(&format!("<response xmlns='{SASL}'>{last}</response>"));
    let failure = sasl2::outcome(&mut client)?;
    must(verdict(&failure) == "malformed-request", || {
        failure.to_string()
    })?;
    right(&mut client)?;

    let (mut client, _) = alice(stage)?;
    client.auth("SCRAM-SHA-256", &scram().first())?;
    client.expect(SASL, "challenge")?;
    client.say(&format!("<response xmlns='{SASL2}'>AA==</response>"));
    let failure = client.outcome()?;
    must(failure.as_deref() == Some("malformed-request"), || {
        format!("{failure:?}")
    })?;
    right(&mut client)?;

    // Nothing else while it goes on, and no second login after it.
    for other in [
        "<presence/>",
        "<iq type='get' id='x'><ping xmlns='urn:xmpp:ping'/></iq>",
    ] {
        let (mut client, _) = alice(stage)?;
        client.say(&sasl2::authenticate("SCRAM-SHA-256", &scram().first(), ""));
        client.expect(SASL2, "challenge")?;
        client.say(other);
        let condition = client.stream_error(PATIENCE)?;
        must(condition == "policy-violation", || condition)?;
    }
    let (mut client, _) = alice(stage)?;
    right(&mut client)?;
    client.say(&sasl2::plain(&user, &password(&user), ""));
    let condition = client.stream_error(PATIENCE)?;
    must(condition == "policy-violation", || condition)
}

/// Alice's installation `id` gets a token by her password.
fn new_token(stage: &Stage, id: &str, mechanism: &str) -> Result<String, String> {
    let (mut client, user) = alice(stage)?;
    let rest = format!("{}{}", agent(id), wish(mechanism));
    let success = enter(&mut client, &sasl2::plain(&user, &password(&user), &rest))?;
    given(&success).ok_or(format!("no token in {success}"))
}

/// What a token brings, and the token that comes with it.
fn try_token(
    stage: &Stage,
    id: &str,
    mechanism: &str,
    token: &str,
    attributes: &str,
) -> Result<(String, Option<String>), String> {
    let (mut client, user) = alice(stage)?;
    let said = sasl2::token(&client, &user, token, mechanism, attributes, &agent(id));
    let outcome = enter(&mut client, &said)?;
    if outcome.is(SASL2, "failure") {
        // The stream stays, and the password opens it.
        let success = enter(&mut client, &sasl2::plain(&user, &password(&user), ""))?;
        must(verdict(&success) == "success", || success.to_string())?;
    }
    Ok((verdict(&outcome), given(&outcome)))
}

fn tokens(stage: &Stage) -> Result<(), String> {
    let expr = "HT-SHA-256-EXPR";
    let token = new_token(stage, "phone", expr)?;
    must(token.len() >= 24, || {
        format!("too short: {} characters", token.len())
    })?;
    must(token != new_token(stage, "desk", expr)?, || {
        "the same twice".into()
    })?;
    let rows = [
        ("phone", expr, &*token, "", "success"),
        ("phone", expr, &token, "", "success"),
        ("phone", expr, &token, " count='5'", "success"),
        ("phone", expr, &token, " count='5'", "not-authorized"),
        ("phone", expr, &token, " count='4'", "not-authorized"),
        ("phone", expr, &token, " count='6'", "success"),
        ("phone", expr, &token, " count='-7'", "malformed-request"),
        ("desk", expr, &token, "", "not-authorized"),
        ("stranger", expr, &token, "", "not-authorized"),
        ("phone", "HT-SHA-256-ENDP", &token, "", "not-authorized"),
        ("phone", NONE, &token, "", "not-authorized"),
        ("phone", "HT-SHA-256-UNIQ", &token, "", "invalid-mechanism"),
        ("phone", expr, "secret-token:guess", "", "not-authorized"),
        ("phone", expr, &token, "", "success"),
    ];
    for (id, mechanism, token, attributes, wanted) in rows {
        let (found, _) = try_token(stage, id, mechanism, token, attributes)?;
        must(found == wanted, || {
            format!("{id} {mechanism}{attributes}: {found}, not {wanted}")
        })?;
    }
    // Bound to another connection than the one it comes on.
    let (other, user) = alice(stage)?;
    let said = sasl2::token(&other, &user, &token, expr, "", &agent("phone"));
    let (mut client, _) = alice(stage)?;
    let failure = enter(&mut client, &said)?;
    must(verdict(&failure) == "not-authorized", || {
        failure.to_string()
    })?;
    // A token is no password, nor good in the old profile.
    let (mut client, user) = alice(stage)?;
    let outcome = client.plain(&user, &token)?;
    must(outcome.as_deref() == Some("not-authorized"), || {
        format!("{outcome:?}")
    })?;
    client.auth(NONE, &b64(format!("{user}\0")))?;
    let outcome = client.outcome()?;
    must(outcome.as_deref() == Some("invalid-mechanism"), || {
        format!("{outcome:?}")
    })
}

fn void_tokens(stage: &Stage) -> Result<(), String> {
    let expect = |id: &str, token: &str, attributes: &str, wanted: &str| {
        let (found, _) = try_token(stage, id, NONE, token, attributes)?;
        must(found == wanted, || {
            format!("{id}{attributes}: {found}, not {wanted}")
        })
    };
    // Of two, the old one is good until the new one is used.
    let old = new_token(stage, "phone", NONE)?;
    expect("phone", &old, "", "success")?;
    let new = new_token(stage, "phone", NONE)?;
    expect("phone", &old, "", "success")?;
    expect("phone", &new, "", "success")?;
    expect("phone", &old, "", "not-authorized")?;
    expect("phone", &new, " invalidate='1'", "success")?;
    expect("phone", &new, "", "credentials-expired")?;
    // A new password.
    let token = new_token(stage, "phone", NONE)?;
    let user = stage.user("alice");
    let same = format!("{}\n", password(&user));
    let bare = stage.bare("alice");
    let (status, text) = stage
        .world
        .run(&["user", "passwd", &bare, "--password-stdin"], &same);
    must(status.success(), || text)?;
    expect("phone", &token, "", "credentials-expired")
}

fn account_in_trouble(stage: &Stage) -> Result<(), String> {
    let token = new_token(stage, "phone", NONE)?;
    let bare = stage.bare("alice");
    let run = |command: &str| {
        let (status, text) = stage.world.run(&["user", command, &bare], "");
        must(status.success(), || text)
    };
    let user = stage.user("alice");
    let with_token = || -> Result<String, String> {
        let mut client = stage.client(Tls)?;
        let said = sasl2::token(&client, &user, &token, NONE, "", &agent("phone"));
        Ok(verdict(&enter(&mut client, &said)?))
    };
    run("disable")?;
    let found = with_token()?;
    let refused = ["account-disabled", "credentials-expired"];
    must(refused.contains(&&*found), || found)?;
    run("enable")?;
    let found = with_token()?;
    must(found == "credentials-expired", || found)?;
    run("delete")?;
    stage.world.forget(&bare);
    let found = with_token()?;
    must(found == "not-authorized", || found)?;
    // Somebody new of that name.
    stage.world.account(&user, "a.test");
    let found = with_token()?;
    must(found == "not-authorized", || found)
}

fn hasty(stage: &Stage) -> Result<(), String> {
    for _ in 0..20 {
        if hastily(stage)? {
            return Ok(());
        }
    }
    Err("nobody can ask so fast on this machine".into())
}

/// Tokens are replaced after a second and good for three: false if that was over before the
/// answer came.
fn hastily(stage: &Stage) -> Result<bool, String> {
    let pause = |millis| std::thread::sleep(Duration::from_millis(millis));
    let is_over = |since: Instant, seconds| since.elapsed() >= Duration::from_secs(seconds);
    let made = Instant::now();
    let first = new_token(stage, "phone", NONE)?;
    let (found, second) = try_token(stage, "phone", NONE, &first, "")?;
    if is_over(made, 1) {
        return Ok(false);
    }
    must(found == "success" && second.is_none(), || {
        format!("{found} {second:?}")
    })?;
    pause(1_100);
    let replaced = Instant::now();
    let (found, second) = try_token(stage, "phone", NONE, &first, "")?;
    if is_over(made, 3) {
        return Ok(false);
    }
    let second = second.ok_or(format!("not replaced: {found}"))?;
    let (found, _) = try_token(stage, "phone", NONE, &second, "")?;
    if is_over(replaced, 3) {
        return Ok(false);
    }
    must(found == "success", || found)?;
    let (found, _) = try_token(stage, "phone", NONE, &first, "")?;
    must(found == "not-authorized", || found)?;
    pause(3_100);
    let (found, _) = try_token(stage, "phone", NONE, &second, "")?;
    must(found == "credentials-expired", || found)?;
    Ok(true)
}
