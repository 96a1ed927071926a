//! The style of the project as a test: lines of 100 columns, functions of 70 lines, files of 500,
//! a `//!` on every file, who may name actix, sled, quick-xml and the resolver, and the names that
//! nobody may use.

mod source;

use source::{Function, functions, strip, without_tests};
use std::path::{Path, PathBuf};

const COLUMNS: usize = 100;
const FUNCTION_LINES: usize = 70;
const FILE_LINES: usize = 500;
const INLINE_TESTS: usize = 150;

/// A crate's name in code, and the folders that may say it.
const RESERVED: &[(&str, &[&str])] = &[
    ("actix", &["actors/", "src/http/"]),
    ("actix_web", &["actors/", "src/http/"]),
    ("actix_rt", &["actors/", "src/"]),
    ("sled", &["storage/"]),
    ("quick_xml", &["protocol/"]),
    (
        "trust_dns_resolver",
        &["actors/resolver/", "actors/testing/dns"],
    ),
];

/// What `protocol` does without: it does no IO, reads no clock, makes no randomness.
const NOT_IN_PROTOCOL: &[&str] = &[
    "tokio",
    "TcpStream",
    "UdpSocket",
    "std::fs",
    "SystemTime",
    "Instant::now",
    "getrandom",
];

/// What secrets are called where they are compared: `==` tells by its time how much was right
/// (attack T41); `subtle` does not.
const SECRETS: &[&str] = &[
    "proof",
    "stored_key",
    "server_key",
    "signature",
    "token",
    "password",
];

/// Hashes that a stranger can aim at (attack R16).
const UNKEYED: &[&str] = &[
    "fxhash",
    "FxHashMap",
    "FxHasher",
    "FnvHashMap",
    "BuildHasherDefault",
];

/// Words that say nothing about what a thing is.
const BANNED: &[&str] = &[
    "manager", "handler", "util", "utils", "common", "core", "misc", "helper", "helpers", "base",
];

#[test]
fn the_sources_are_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "actors", "storage", "config", "protocol", "tests"] {
        collect(&root.join(folder), &mut files);
    }
    assert!(
        files.len() > 10,
        "no sources found below {}",
        root.display()
    );
    let mut faults = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable source");
        let name = file.strip_prefix(root).expect("below the root");
        faults.extend(faults_of(&name.to_string_lossy().replace('\\', "/"), &text));
    }
    assert!(
        faults.is_empty(),
        "{} faults\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("a folder entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// Everything wrong with one file, as `file:line: what`.
fn faults_of(file: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |line: usize, what: String| faults.push(format!("{file}:{line}: {what}"));
    for (n, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS {
            fault(n + 1, format!("{columns} columns"));
        }
    }
    if !text.starts_with("//!") {
        fault(1, "does not begin with //!".into());
    }
    let code = strip(text);
    let tests_file = file.ends_with("/tests.rs");
    let (lines, inline) = without_tests(text);
    if lines > FILE_LINES && !tests_file {
        fault(1, format!("{lines} lines without tests"));
    }
    if inline > INLINE_TESTS {
        fault(
            lines + 1,
            format!("{inline} lines of tests: they belong in a file tests.rs"),
        );
    }
    for Function {
        name,
        line,
        length,
        rows,
    } in functions(&code)
    {
        if length > FUNCTION_LINES && !rows {
            fault(line, format!("fn {name} has {length} lines"));
        }
    }
    for (line, what) in reserved(file, &code).into_iter().chain(banned(file, &code)) {
        fault(line, what);
    }
    faults
}

/// Crates named where they may not be.
fn reserved(file: &str, code: &str) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    let apart = ["protocol/tests/", "protocol/examples/"];
    let pure = file.starts_with("protocol/") && !apart.iter().any(|it| file.starts_with(it));
    for (n, line) in code.lines().enumerate() {
        for (name, folders) in RESERVED {
            let free = folders.iter().any(|folder| file.starts_with(folder));
            if !free && words(line).any(|word| word == *name) {
                faults.push((
                    n + 1,
                    format!("{name} is named only in {}", folders.join(", ")),
                ));
            }
        }
        if let Some(name) = words(line).find(|word| UNKEYED.contains(word)) {
            faults.push((
                n + 1,
                format!("{name}: maps that strangers fill use a keyed hash"),
            ));
        }
        if !file.contains("test") && compares_secrets(line) {
            faults.push((n + 1, "secrets are compared by subtle, not by ==".into()));
        }
        for name in NOT_IN_PROTOCOL {
            if pure && line.contains(name) {
                faults.push((n + 1, format!("protocol does without {name}")));
            }
        }
    }
    faults
}

/// Whether a secret stands beside `==` or `!=`.
fn compares_secrets(line: &str) -> bool {
    let sides = line.replace("!=", "==");
    let sides: Vec<&str> = sides.split("==").collect();
    let last = |side: &str| {
        words(side)
            .last()
            .is_some_and(|word| SECRETS.contains(&word))
    };
    let first = |side: &str| {
        let path = side
            .trim_start()
            .split(|c: char| !c.is_alphanumeric() && !"_.&*".contains(c));
        let path = path.into_iter().next().unwrap_or_default();
        path.rsplit(['.', '&', '*'])
            .next()
            .is_some_and(|word| SECRETS.contains(&word))
    };
    sides.windows(2).any(|pair| last(pair[0]) || first(pair[1]))
}

/// Banned words in the names of files and of items.
fn banned(file: &str, code: &str) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    let parts = file.trim_end_matches(".rs").split(['/', '-', '_']);
    for part in parts.filter(|part| BANNED.contains(part)) {
        faults.push((1, format!("a file is named {part}")));
    }
    for (n, line) in code.lines().enumerate() {
        let mut words = words(line);
        while let Some(word) = words.next() {
            if !["fn", "struct", "enum", "trait", "mod", "type"].contains(&word) {
                continue;
            }
            let Some(name) = words.next() else { break };
            if let Some(part) = parts_of(name).into_iter().find(|p| BANNED.contains(&&**p)) {
                faults.push((n + 1, format!("{word} {name}: nothing is called {part}")));
            }
        }
    }
    faults
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|w| !w.is_empty())
}

/// `RosterHandler` and `roster_handler` are both [roster, handler].
fn parts_of(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() {
            parts.push(String::new());
        }
        if c != '_' {
            parts.last_mut().expect("one part").extend(c.to_lowercase());
        }
    }
    parts
}

#[test]
fn every_fault_is_found() {
    for (file, text, what) in faulty() {
        let faults = faults_of(file, &text);
        let found = faults.len() == 1 && faults[0].contains(what);
        assert!(found, "{what} is not the one fault of {faults:?}");
    }
}

fn faulty() -> Vec<(&'static str, String, &'static str)> {
    let long = "x".repeat(101);
    let body = "    let a = 1;\n".repeat(69);
    let tests = "    fn t() {}\n".repeat(151);
    let tests = format!("//! A.\n#[cfg(test)]\nmod tests {{\n{tests}}}\n");
    let endless = format!("//! A.\n{}", "\n".repeat(500));
    let plain = |text: &str| format!("//! A.\n{text}\n");
    vec![
        ("src/a.rs", plain(&format!("// {long}")), "104 columns"),
        ("src/a.rs", "fn a() {}\n".into(), "does not begin"),
        (
            "src/a.rs",
            plain(&format!("fn a() {{\n{body}}}")),
            "fn a has 71",
        ),
        ("src/a.rs", endless, "501 lines"),
        ("src/a.rs", tests, "lines of tests"),
        (
            "src/a.rs",
            plain("use actix::Actor;"),
            "actix is named only",
        ),
        ("actors/a.rs", plain("use sled::Db;"), "sled is named only"),
        (
            "src/a.rs",
            plain("use quick_xml::Reader;"),
            "quick_xml is named",
        ),
        ("protocol/a.rs", plain("use tokio::net;"), "without tokio"),
        ("src/utils.rs", plain(""), "a file is named utils"),
        ("src/a.rs", plain("struct RosterManager;"), "called manager"),
        ("src/a.rs", plain("fn iq_handler() {}"), "called handler"),
        (
            "src/a.rs",
            plain("const A: bool = a.proof == b;"),
            "by subtle",
        ),
        (
            "src/a.rs",
            plain("const A: bool = b != &self.stored_key;"),
            "by subtle",
        ),
        ("actors/a.rs", plain("use fxhash::FxHashMap;"), "keyed hash"),
        (
            "actors/a.rs",
            plain("use trust_dns_resolver::Hosts;"),
            "trust_dns_resolver is named only",
        ),
    ]
}

#[test]
fn what_is_tidy_passes() {
    let rows = "        1 => 2,\n".repeat(90);
    let table = format!("//! A.\nfn a(n: u8) -> u8 {{\n    match n {{\n{rows}    }}\n}}\n");
    let literal = "//! A.\nfn a() {\n    say(\"use sled; fn core\");\n}\n".to_string();
    let fine = [
        ("src/a.rs", table),
        (
            "src/a.rs",
            "//! A.\n// sled and actix in prose\nfn database(a: &str) {}\n".into(),
        ),
        ("src/a.rs", literal),
        ("storage/a.rs", "//! A.\nuse sled::Db;\n".into()),
        ("actors/a/tests.rs", format!("//! A.\n{}", "\n".repeat(700))),
    ];
    for (file, text) in fine {
        assert_eq!(faults_of(file, &text), Vec::<String>::new());
    }
}
