//! Settings that cannot be, and what is said of them.

use super::World;

/// What is wrong, and a part of what is said about it.
const WRONG: [(&str, &str); 37] = [
    ("x = [", "rookery.toml, line 1: this is not TOML"),
    (
        "\n\ndata = 'a'\ndata = 'b'",
        "line 4: this is not TOML: duplicate key",
    ),
    (
        "[c2s]\nidle = 'soon'",
        "line 2: c2s.idle: \"soon\" is not a time such as \"60s\"",
    ),
    ("[c2s]\nidle = '0s'", "line 2: c2s.idle: no time at all"),
    (
        "[archive]\nkeep = '29d'",
        "line 2: archive.keep: less than what may wait",
    ),
    (
        "[archive]\nmessages = 1999",
        "line 2: archive.messages: less than what may wait",
    ),
    (
        "[archive]\nsize = '19 MiB'",
        "line 2: archive.size: less than what may wait",
    ),
    (
        "[c2s]\nsessions = 'many'",
        "line 2: c2s.sessions: string \"many\" stands where",
    ),
    ("[c2s]\nsessions = -1", "line 2: c2s.sessions: "),
    (
        "[c2s]\nsessions = 0",
        "line 2: c2s.sessions: 0 is too little",
    ),
    (
        "[c2s]\nplaintext = 'always'",
        "\"always\" is neither \"never\" nor \"loopback\"",
    ),
    (
        "[roster]\nname = '1 KB'",
        "line 2: roster.name: \"1 KB\" is not a size such as",
    ),
    (
        "[listen]\nc2s = ['5222']",
        "line 2: listen.c2s: \"5222\": invalid socket address",
    ),
    (
        "[listen]\nc2s = '127.0.0.1:1'",
        "line 2: listen.c2s: one text stands where a list belongs",
    ),
    (
        "[listen]\nc2s = ['127.0.0.1:1']\nc2s_tls = ['127.0.0.1:1']",
        "line 3: listen.c2s_tls: ",
    ),
    (
        "[limits]\ntrusted = ['127.0.0.1/99']",
        "line 2: limits.trusted: \"127.0.0.1/99\": ",
    ),
    (
        "domains = ['a b']",
        "line 1: domains: \"a b\" is not a domain",
    ),
    ("domains = ['alice@a.example']", "line 1: domains: "),
    (
        "admins = ['example.org']",
        "line 1: admins: \"example.org\" is not the address of",
    ),
    ("admins = ['a@example.org/x']", "line 1: admins: "),
    (
        "[tls]\ncertificate = 'a'",
        "line 2: tls.certificate: stands without `key`",
    ),
    ("[rooms]\nhost = 'Rooms!'", "line 2: rooms.host: "),
    (
        "[pubsub.service]\nhost = 'rooms'",
        "line 2: pubsub.service.host: \"rooms\" is another service's host",
    ),
    (
        "domains = ['a.example', 'pubsub.a.example']",
        "pubsub.service.host: pubsub.a.example is one of `domains`",
    ),
    (
        "[limits.after_login]\nsize = 9999",
        "line 2: limits.after_login.size: 9999 B is less",
    ),
    (
        "[dns.overrides]\n'a.lan' = []",
        "line 1: dns.overrides: \"a.lan\" has no place",
    ),
    (
        "[dns.overrides]\n'a b' = ['c']",
        "line 1: dns.overrides: \"a b\" is not a domain",
    ),
    (
        "[dns.overrides]\nb = ['c:x']",
        "line 1: dns.overrides: \"c:x\" is not a place",
    ),
    (
        "[dns]\nservers = ['ns.example']",
        "line 2: dns.servers: \"ns.example\": a name server is an address",
    ),
    (
        "[dns]\nvalidate = 1\n[s2s]\nprivate = ['x']",
        "line 4: s2s.private: \"x\"",
    ),
    (
        "[s2s]\npolicy = 'none'",
        "line 2: s2s.policy: \"none\" is neither \"secure\" nor \"dialback\"",
    ),
    (
        "[components]\n'a b' = { secret = 'x' }",
        "line 1: components: \"a b\" is not a domain",
    ),
    (
        "[s2s.exceptions]\n'a b' = 'dialback'",
        "line 1: s2s.exceptions: \"a b\" is not a domain",
    ),
    (
        "[s2s.exceptions]\n'a.example' = 'nothing'",
        "line 1: s2s.exceptions: \"nothing\" is neither",
    ),
    ("[s2s]\nblock = ['a.*']", "line 2: s2s.block: \"a.*\""),
    (
        "[s2s]\nblock = ['*.A.example']\nallow = ['*.a.example']",
        "line 2: s2s.block: \"*.a.example\" stands in `allow`, too",
    ),
    (
        "[accounts]\niterations = 4095",
        "line 2: accounts.iterations: 4095 is too little",
    ),
];

#[test]
fn wrong_values_say_where_and_what_to_write() {
    for (toml, what) in WRONG {
        let refusal = World::new(toml).refusal();
        assert!(refusal.contains(what), "{toml}:\n{refusal}");
    }
}
