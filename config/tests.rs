//! The layers, the sample and the messages.

mod refused;

use super::*;
use std::path::PathBuf;
use std::time::Duration;

struct World {
    folder: tempfile::TempDir,
    sources: Sources,
}

impl World {
    fn new(toml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rookery.toml");
        std::fs::write(&file, toml).unwrap();
        World {
            sources: Sources {
                file: Some(file),
                ..Sources::default()
            },
            folder,
        }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.push((name.into(), value.into()));
        self
    }

    fn settings(&self) -> Settings {
        Settings::load(&self.sources).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// What is said, without the folder's name.
    fn refusal(&self) -> String {
        let problems = Settings::load(&self.sources)
            .expect_err("it was accepted")
            .to_string();
        problems.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

/// The sample with every setting switched on.
fn sample_uncommented() -> String {
    let setting = |line: &str| {
        let rest = line.strip_prefix('#')?;
        rest.starts_with(|c: char| c.is_ascii_lowercase())
            .then(|| rest.to_owned())
    };
    let lines = SAMPLE
        .lines()
        .map(|line| setting(line).unwrap_or_else(|| line.to_owned()));
    lines.map(|line| line + "\n").collect()
}

#[test]
fn sample_equals_defaults() {
    assert_eq!(World::new(SAMPLE).settings(), Settings::default());
    let text = sample_uncommented();
    assert_eq!(World::new(&text).settings(), Settings::default());
    let in_sample = keys::in_file(&PathBuf::new(), &text).unwrap();
    let mut in_sample: Vec<_> = in_sample.into_iter().map(|set| set.key).collect();
    let keys = keys::Keys::new();
    let mut known: Vec<_> = keys.names().map(str::to_owned).collect();
    in_sample.sort();
    known.sort();
    assert_eq!(
        in_sample, known,
        "every key stands in the sample, and no other"
    );
    assert!(known.contains(&"limits.before_login.size".to_owned()));
    let texts = toml::Table::try_from(Settings::default()).unwrap();
    let written: toml::Table = toml::from_str(&text).unwrap();
    assert_eq!(written, texts, "and is written there in its shortest form");
}

#[test]
fn nothing_at_all_gives_the_defaults() {
    let settings = Settings::load(&Sources::default()).unwrap();
    assert_eq!(settings, Settings::default());
    assert!(
        settings
            .require_domains()
            .unwrap_err()
            .to_string()
            .contains("--domain example.org")
    );
}

#[test]
fn each_layer_is_stronger_than_the_one_before() {
    let file =
        "domains = ['a.example', 'b.example']\ndata = '/file'\n[c2s]\nsessions = 3\nidle = 7";
    let mut world = World::new(file);
    let settings = world.settings();
    assert_eq!(settings.domains, ["a.example", "b.example"]);
    assert_eq!(
        (settings.c2s.sessions, settings.c2s.idle),
        (3, Duration::from_secs(7))
    );
    assert_eq!(
        settings.c2s.unsettled_stanzas, 64,
        "a key left out keeps its default"
    );
    world = world
        .variable("ROOKERY__DATA", "/variable")
        .variable("ROOKERY__C2S__SESSIONS", "4")
        .variable("ROOKERY__DOMAINS", "c.example, d.example")
        .variable("ROOKERY__C2S__SEND_TIMEOUT", "2m")
        .variable("ROOKERY_LOG", "debug")
        .variable("HOME", "/");
    let settings = world.settings();
    assert_eq!(settings.domains, ["c.example", "d.example"]);
    assert_eq!(settings.data, PathBuf::from("/variable"));
    assert_eq!(
        (settings.c2s.sessions, settings.c2s.idle),
        (4, Duration::from_secs(7))
    );
    assert_eq!(settings.c2s.send_timeout, Duration::from_secs(120));
    world.sources.domains = vec!["e.example".into()];
    world.sources.data = Some("/argument".into());
    let settings = world.settings();
    assert_eq!(settings.domains, ["e.example"]);
    assert_eq!(settings.data, PathBuf::from("/argument"));
}

#[test]
fn names_that_tools_outside_use() {
    let world = World::new(
        r#"
        domains = ["example.org"]
        data = "/tmp/x"
        admins = ["Admin@Example.org"]
        [listen]
        c2s = ["127.0.0.1:28222"]
        c2s_tls = ["[::1]:28223"]
        s2s = []
        s2s_tls = []
        http = []
        http_tls = []
        component = []
        [tls]
        certificate = "a.crt"
        key = "a.key"
        [c2s]
        plaintext = "loopback"
        [register]
        open = true
        [limits]
        trusted = ["127.0.0.0/8"]
        [rooms]
        host = "rooms"
        "#,
    );
    let settings = world.settings();
    assert_eq!(settings.listen.c2s, ["127.0.0.1:28222".parse().unwrap()]);
    assert_eq!(settings.listen.c2s_tls, ["[::1]:28223".parse().unwrap()]);
    assert_eq!(settings.tls.certificate, Some("a.crt".into()));
    assert_eq!(settings.c2s.plaintext, Plaintext::Loopback);
    assert!(settings.register.open);
    assert_eq!(settings.limits.trusted, ["127.0.0.0/8".parse().unwrap()]);
    assert_eq!(settings.admins, ["admin@example.org"]);
    let hosts = ["example.org", "rooms.example.org", "pubsub.example.org"];
    assert_eq!(settings.hosts(), hosts);
}

#[test]
fn lists_in_the_environment() {
    let settings = World::new("[listen]\nc2s = ['127.0.0.1:1']")
        .variable("ROOKERY__LISTEN__C2S", "")
        .variable("ROOKERY__LISTEN__C2S_TLS", "127.0.0.1:1,[::1]:2")
        .variable("ROOKERY__LIMITS__TRUSTED", "127.0.0.0/8")
        .settings();
    assert_eq!(settings.listen.c2s, [], "empty switches off");
    assert_eq!(settings.listen.c2s_tls.len(), 2);
    assert_eq!(settings.limits.trusted.len(), 1);
}

#[test]
fn unknown_keys_name_the_nearest() {
    let rows = [
        (
            "domain = ['x.example']",
            "line 1: domain: is not a setting",
            "`domains` at the top",
        ),
        (
            "\n[c2s]\nplaintxt = 1",
            "rookery.toml, line 3: c2s.plaintxt:",
            "`plaintext` in [c2s]",
        ),
        (
            "[c2s]\ntrusted = []",
            "c2s.trusted:",
            "`trusted` in [limits]",
        ),
        ("[listne]\nc2s = []", "listne.c2s:", "`c2s` in [listen]"),
        ("[c2z]", "line 1: c2z:", "did you mean"),
        ("c2s = 5", "c2s: is a group", "in [c2s]"),
        ("[domains]\nx = 1", "domains.x:", "`domains` at the top"),
        ("Domains = []", "Domains:", "`domains` at the top"),
    ];
    for (toml, what, advice) in rows {
        let refusal = World::new(toml).refusal();
        assert!(
            refusal.contains(what) && refusal.contains(advice),
            "{toml}: {refusal}"
        );
    }
    let refusal = World::new("")
        .variable("ROOKERY__C2S__PLAINTEXTS", "never")
        .refusal();
    assert!(
        refusal.starts_with("environment ROOKERY__C2S__PLAINTEXTS: "),
        "{refusal}"
    );
    assert!(
        refusal.ends_with("did you mean ROOKERY__C2S__PLAINTEXT?"),
        "{refusal}"
    );
}

#[test]

fn places_of_domains_are_one_setting() {
    let toml = "[dns.overrides]\n'Chat.lan' = ['tls://10.0.0.5', 'a.lan:1']\nb = ['c']";
    let overrides = World::new(toml).settings().dns.overrides;
    let shown: Vec<_> = overrides
        .into_iter()
        .map(|(domain, places)| (domain, places.into_iter().map(String::from).collect()))
        .collect::<Vec<(String, Vec<String>)>>();
    let expected = [
        ("b".into(), vec!["c:5269".into()]),
        (
            "chat.lan".into(),
            vec!["tls://10.0.0.5:5270".into(), "a.lan:1".into()],
        ),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn what_other_servers_must_prove() {
    let s2s = World::new("").settings().s2s;
    assert_eq!(s2s.policy_for("old.example"), settings::Policy::Secure);
    let toml = "[s2s]\nca = ['a.pem', 'b.pem']\n[s2s.exceptions]\n'Old.example' = 'dialback'\n\
                'xn--bcher-kva.example' = 'dialback'\n'*.Lan' = 'dialback'\n\
                'good.lan' = 'secure'";
    let s2s = World::new(toml).settings().s2s;
    assert_eq!(s2s.ca, [PathBuf::from("a.pem"), "b.pem".into()]);
    let rows = [
        ("old.example", settings::Policy::Dialback),
        ("bücher.example", settings::Policy::Dialback),
        ("x.old.example", settings::Policy::Secure),
        ("a.b.lan", settings::Policy::Dialback),
        ("good.lan", settings::Policy::Secure),
        ("lan", settings::Policy::Secure),
        ("new.example", settings::Policy::Secure),
    ];
    for (domain, policy) in rows {
        assert_eq!(s2s.policy_for(domain), policy, "{domain}");
    }
    let toml = "[s2s]\npolicy = 'dialback'\n[s2s.exceptions]\n'new.example' = 'secure'";
    let s2s = World::new(toml)
        .variable("ROOKERY__S2S__CA", "c.pem,d.pem")
        .settings()
        .s2s;
    assert_eq!(s2s.ca.len(), 2);
    assert_eq!(s2s.policy_for("old.example"), settings::Policy::Dialback);
    assert_eq!(s2s.policy_for("new.example"), settings::Policy::Secure);
}

#[test]
fn all_problems_are_told_together() {
    let world = World::new("domain = 1\n[c2s]\nilde = 1").variable("ROOKERY__X", "1");
    let refusal = world.refusal();
    for key in ["domain:", "c2s.ilde:", "ROOKERY__X"] {
        assert!(refusal.contains(key), "{refusal}");
    }
    let refusal = World::new("domains = ['a b']\nadmins = ['x']").refusal();
    assert!(
        refusal.contains("domains:") && refusal.contains("admins:"),
        "{refusal}"
    );
}

#[test]
fn a_named_file_must_exist_and_a_searched_one_need_not() {
    let world = World::new("data = 'x'");
    let there = world.sources.file.clone().unwrap();
    let missing = world.folder.path().join("none.toml");
    let named = Sources {
        file: Some(missing.clone()),
        ..Sources::default()
    };
    let refusal = Settings::load(&named).unwrap_err().to_string();
    assert!(refusal.contains("none.toml: cannot be read"), "{refusal}");
    let searched = Sources {
        search: vec![missing, there.clone()],
        ..Sources::default()
    };
    assert_eq!(searched.path(), Some(there.as_path()));
    assert_eq!(Settings::load(&searched).unwrap().data, PathBuf::from("x"));
}

#[test]
fn port_offset_moves_the_defaults_only() {
    let mut world = World::new("[listen]\nc2s = ['127.0.0.1:1']");
    world.sources.port_offset = 20_000;
    let listen = world.settings().listen;
    assert_eq!(listen.c2s[0].port(), 1);
    assert_eq!(listen.c2s_tls[0].port(), 25_223);
    assert_eq!(listen.s2s[0].port(), 25_269);
    assert_eq!(listen.s2s_tls[1].port(), 25_270);
    world.sources.port_offset = 65_000;
    assert!(
        world.refusal().contains("--port-offset"),
        "{}",
        world.refusal()
    );
}

#[test]
fn domains_are_prepared() {
    let settings = World::new("domains = ['Example.ORG.', 'example.org', 'Б.example']").settings();
    assert_eq!(settings.domains, ["example.org", "б.example"]);
}

#[test]
fn plaintext_is_for_this_machine() {
    let rows = [
        ("127.0.0.1", true),
        ("::1", true),
        ("::ffff:127.0.0.1", true),
        ("10.0.0.1", false),
    ];
    for (peer, allowed) in rows {
        let peer = peer.parse().unwrap();
        assert_eq!(Plaintext::Loopback.allows(peer), allowed, "{peer}");
        assert!(!Plaintext::Never.allows(peer));
    }
}

/// Whether the unit is as closed as promised, where there is a systemd to ask.
#[test]
fn the_service_is_hardened() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/rookery.service");
    let text = std::fs::read_to_string(unit).unwrap();
    for line in [
        "Type=notify",
        "RestartPreventExitStatus=78",
        "WatchdogSec=30",
        "LimitCORE=0",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}");
    }
    let asked = std::process::Command::new("systemd-analyze")
        .args([
            "security",
            "--offline=true",
            "--no-pager",
            "--threshold=15",
            unit,
        ])
        .output();
    match asked {
        // In tenths: at most 1.5.
        Ok(answer) => assert!(answer.status.success(), "{answer:?}"),
        Err(error) => eprintln!("skipped: no systemd-analyze here ({error})"),
    }
}
