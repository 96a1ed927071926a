//! R: resources used up.

use super::row::{Answer::*, Row, Stage, State::*, each, must, scene};
use crate::client::{Client, PATIENCE, Silence};
use crate::sasl::b64;
use crate::world::password;
use crate::xml::Heard;
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub fn rows() -> Vec<Row> {
    vec![
        each(
            "R05",
            "stream compression",
            Bound,
            &["<compress xmlns='http://jabber.org/protocol/compress'>\
                 <method>zlib</method></compress>"],
            &[
                Says("<failure xmlns='http://jabber.org/protocol/compress'/>"),
                Ends("unsupported-stanza-type"),
            ],
        ),
        scene("R05-offer", "compression is not offered", not_offered),
        scene("R15", "absurd dates", absurd_dates),
        scene(
            "R17",
            "private data and cards that are too large",
            large_data,
        ),
        scene("R21", "PLAIN logins all at once", plain_flood),
    ]
}

/// Rows for a server that trusts no network.
pub fn rows_untrusted() -> Vec<Row> {
    vec![scene(
        "R04",
        "a hundred and fifty connections at once",
        many_connections,
    )]
}

/// Rows that take long or much.
pub fn heavy_rows() -> Vec<Row> {
    vec![
        scene(
            "R03",
            "hostile XML on a hundred connections at once",
            hostile_crowd,
        ),
        scene("R08", "a flood to somebody who does not read", unread_flood),
        scene("R20", "a thousand clients log in at once", login_storm),
    ]
}

/// The same for a server that trusts no network: reading pauses there.
pub fn heavy_rows_untrusted() -> Vec<Row> {
    vec![scene(
        "R06",
        "one session sends all it can for thirty seconds",
        fast_writer,
    )]
}

fn not_offered(stage: &Stage) -> Result<(), String> {
    for state in [Plain, Tls, Authed] {
        let client = stage.client(state)?;
        let offered = client.features.to_string().contains("compress");
        must(!offered, || client.features.to_string())?;
    }
    Ok(())
}

fn absurd_dates(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let me = alice.bare();
    let digits = "9".repeat(100_000);
    let stamps = [
        "9999999999-01-01T00:00:00Z",
        "-1",
        &digits,
        "2016-12-31T23:59:60Z",
        "",
    ];
    for stamp in stamps {
        alice.says(&format!(
            "<message to='{me}' id='d'><body>whisper</body>\
             <delay xmlns='urn:xmpp:delay' stamp='{stamp}'/></message>"
        ));
        alice.client.element()?;
        alice.ping();
    }
    Ok(())
}

fn large_data(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let private = |n: usize, bytes: usize| {
        let text = "x".repeat(bytes);
        format!(
            "<iq type='set' id='p{n}'><query xmlns='jabber:iq:private'>\
             <data xmlns='urn:x:{n}'>{text}</data></query></iq>"
        )
    };
    let full = Some(("wait", "resource-constraint"));
    let answer = alice.asks(&private(0, 70_000));
    must(answer.error() == full, || format!("70,000 bytes: {answer}"))?;
    let mut taken = 0;
    for n in 1..40 {
        let answer = alice.asks(&private(n, 60_000));
        if answer.attr("type") == Some("result") {
            taken += 1;
        } else {
            must(answer.error() == full, || answer.to_string())?;
        }
    }
    must((10..=18).contains(&taken), || {
        format!("{taken} items of 60,000 bytes were taken")
    })?;
    let photo = "x".repeat(140_000);
    let card = format!(
        "<iq type='set' id='v'><vCard xmlns='vcard-temp'><DESC>{photo}</DESC></vCard></iq>"
    );
    let answer = alice.asks(&card);
    must(answer.error() == full, || {
        format!("a card of 140,000 bytes: {answer}")
    })
}

fn plain_flood(stage: &Stage) -> Result<(), String> {
    let user = stage.user("alice");
    stage.world.account(&user, "a.test");
    let outcomes: Vec<Result<Option<String>, String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|n| {
                let user = user.clone();
                scope.spawn(move || {
                    let mut last = Ok(None);
                    for _ in 0..8 {
                        let mut client = stage.client(Plain)?;
                        let right = n % 2 == 0;
                        let secret = if right {
                            password(&user)
                        } else {
                            "wrong".into()
                        };
                        client.auth("PLAIN", &b64(format!("\0{user}\0{secret}")))?;
                        last = client.outcome();
                    }
                    last
                })
            })
            .collect();
        let join = |t: std::thread::ScopedJoinHandle<_>| t.join().unwrap_or(Err("died".into()));
        threads.into_iter().map(join).collect()
    });
    for outcome in outcomes {
        let outcome = outcome?.unwrap_or("success".into());
        let right = ["success", "not-authorized", "temporary-auth-failure"];
        must(right.contains(&&*outcome), || outcome)?;
    }
    Ok(())
}

fn many_connections(stage: &Stage) -> Result<(), String> {
    let begin = Instant::now();
    let mut open = Vec::new();
    for _ in 0..150 {
        if let Ok(socket) = TcpStream::connect_timeout(&stage.world.c2s, PATIENCE) {
            let _ = socket.set_nonblocking(true);
            open.push(socket);
        }
    }
    // Ten more come in each second; the others are closed when they have been looked at.
    let most = 70 + 10 * begin.elapsed().as_secs() as usize;
    let waits = |socket: &TcpStream| {
        let heard = socket.peek(&mut [0]);
        heard.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
    };
    let end = Instant::now() + PATIENCE;
    loop {
        let alive = open.iter().filter(|it| waits(it)).count();
        if alive <= most {
            return must(alive >= 30, || format!("{alive} of 150 connections stand"));
        }
        must(Instant::now() < end, || {
            format!("{alive} of 150 connections stand")
        })?;
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn hostile_crowd(stage: &Stage) -> Result<(), String> {
    let before = stage.world.rss_kib();
    let siblings = format!("<m>{}", "<a/>".repeat(45_000));
    let attribute = format!("<message a='{}", "v".repeat(260 * 1024));
    let deep = "<a>".repeat(20_000);
    let name = format!("<{}", "n".repeat(64 * 1024));
    let mut crowd: Vec<Client> = (0..100).flat_map(|_| stage.client(Plain)).collect();
    must(crowd.len() == 100, || {
        format!("{} connections", crowd.len())
    })?;
    for (n, client) in crowd.iter_mut().enumerate() {
        client.say([&siblings, &attribute, &deep, &name][n % 4]);
        client.transcript.clear();
    }
    let grown = stage.world.rss_kib().saturating_sub(before);
    must(grown <= 100 * 64, || format!("memory grew by {grown} KiB"))
}

fn fast_writer(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut alice = stage.online("alice");
    let before = stage.world.rss_kib();
    let chunk = format!(
        "<message to='{}' type='headline'><body>{}</body></message>",
        bob.bare(),
        "x".repeat(10_000)
    );
    let end = Instant::now() + Duration::from_secs(30);
    let mut worst = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while Instant::now() < end && alice.client.say(&chunk) {
                alice.client.transcript.clear();
            }
        });
        while Instant::now() < end {
            bob.client.transcript.clear();
            let _ = bob.client.hear_within(Duration::from_millis(100));
            worst = worst.max(stage.world.rss_kib().saturating_sub(before));
        }
    });
    must(worst < 4 * 1024, || format!("memory grew by {worst} KiB"))
}

fn unread_flood(stage: &Stage) -> Result<(), String> {
    let bob = stage.online("bob");
    let before = stage.world.rss_kib();
    let mut alice = stage.online("alice");
    let body = "x".repeat(1000);
    for n in 0..100_000 {
        alice.client.transcript.clear();
        let text = format!(
            "<message to='{}' id='f{n}' type='headline'><body>{body}</body></message>",
            bob.bare()
        );
        if !alice.client.say(&text) {
            return Err("the sender was thrown out".into());
        }
        if n % 1000 == 0 {
            while let Ok(Heard::Element(_)) = alice.client.hear_within(Duration::from_millis(1)) {}
            let grown = stage.world.rss_kib().saturating_sub(before);
            must(grown < 32 * 1024, || {
                format!("memory grew by {grown} KiB after {n}")
            })?;
        }
    }
    Ok(())
}

fn login_storm(stage: &Stage) -> Result<(), String> {
    let user = stage.user("alice");
    for n in 0..100 {
        stage.world.account(&format!("{user}{n}"), "a.test");
    }
    let begin = Instant::now();
    let failures: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|t| {
                let user = &user;
                scope.spawn(move || {
                    let mut failures = Vec::new();
                    for n in 0..50 {
                        let name = format!("{user}{}", (t * 50 + n) % 100);
                        let mut client = stage.world.tls();
                        let done = client
                            .open()
                            .and_then(|()| client.login(&name, &password(&name)))
                            .and_then(|()| client.bind(""));
                        failures.extend(done.err());
                        match client.hear_within(Duration::from_millis(1)) {
                            Err(Silence::Timeout) | Ok(_) => {}
                            Err(other) => failures.push(format!("{other:?}")),
                        }
                    }
                    failures
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap_or_default())
            .collect()
    });
    must(failures.is_empty(), || {
        format!("{} failed: {}", failures.len(), failures[0])
    })?;
    let lasted = begin.elapsed();
    must(lasted < Duration::from_secs(60), || {
        format!("lasted {lasted:?}")
    })
}
