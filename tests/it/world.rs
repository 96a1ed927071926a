//! A world of one real server: its own data folder, its own ports on loopback, its own end. A
//! world that does not end cleanly on SIGTERM fails its test.

mod ports;
mod prosody;

use crate::client::{Client, PATIENCE};
use crate::device::Device;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashSet;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a world can be told before it starts.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `[limits] trusted` holds loopback: no rate limits.
    pub trusted: bool,
    /// `[register] open`.
    pub open_registration: bool,
    /// `[c2s] plaintext`: "loopback" or "never".
    pub plaintext: &'static str,
    /// Lines added to the end of the configuration.
    pub more: String,
    /// The domains of the server.
    pub domains: &'static [&'static str],
    /// It speaks to other servers.
    pub federates: bool,
    /// Its address.
    pub place: Ipv4Addr,
    /// Files beside the configuration, by their names.
    pub files: Vec<(&'static str, String)>,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            trusted: true,
            open_registration: true,
            plaintext: "loopback",
            more: String::new(),
            domains: &["a.test", "b.test"],
            federates: false,
            place: Ipv4Addr::LOCALHOST,
            files: Vec::new(),
        }
    }
}

/// One running server.
pub struct World {
    plan: Plan,
    folder: tempfile::TempDir,
    /// STARTTLS, and plaintext on loopback.
    pub c2s: SocketAddr,
    /// Direct TLS.
    pub c2s_tls: SocketAddr,
    /// Other servers, STARTTLS.
    pub s2s: SocketAddr,
    /// Other servers, direct TLS.
    pub s2s_tls: SocketAddr,
    /// External components, once there are any.
    pub component: SocketAddr,
    /// Nobody else's world takes these ports, also while the server is down.
    _claims: [UdpSocket; 5],
    server: Mutex<Option<Child>>,
    accounts: Mutex<HashSet<String>>,
    connections: AtomicU64,
}

/// The password of an account of these worlds; a mark that the logs are searched for.
pub fn password(user: &str) -> String {
    format!("sesame-{user}")
}

/// Whether the server in question is Prosody, the judge of these tests.
pub fn judged_by_prosody() -> bool {
    std::env::var("ROOKERY_SUITE_SERVER").is_ok_and(|s| s == "prosody")
}

impl World {
    /// A server with open registration and plaintext on loopback, for a.test and b.test.
    pub fn start() -> World {
        World::with(Plan::default())
    }

    pub fn with(plan: Plan) -> World {
        let world = World::planned(plan);
        world.rise();
        world
    }

    /// Servers that find each other, each with its plan.
    pub fn federation<const N: usize>(plans: [Plan; N]) -> [World; N] {
        World::federation_with(plans, |_| String::new())
    }

    /// The same, where the first is found by other names, too: more lines of `[dns.overrides]`.
    pub fn federation_with<const N: usize>(
        plans: [Plan; N],
        more: impl Fn(&World) -> String,
    ) -> [World; N] {
        let mut worlds = plans.map(|plan| {
            World::planned(Plan {
                federates: true,
                ..plan
            })
        });
        let places = worlds.iter().flat_map(|world| {
            let place = world.s2s;
            let domains = world.plan.domains.iter();
            domains.map(move |domain| format!("{domain:?} = [\"{place}\"]\n"))
        });
        let places: String = places.collect::<String>() + &more(&worlds[0]);
        for world in &mut worlds {
            world.plan.more += &format!("\n[dns.overrides]\n{places}");
            world.rise();
        }
        worlds
    }

    /// A server that does not run yet.
    fn planned(plan: Plan) -> World {
        let (c2s, claim) = ports::free(plan.place);
        let (c2s_tls, claim_tls) = ports::free(plan.place);
        let (s2s, claim_s2s) = ports::free(plan.place);
        let (s2s_tls, claim_s2s_tls) = ports::free(plan.place);
        let (component, claim_component) = ports::free(plan.place);
        World {
            plan,
            folder: tempfile::tempdir().expect("a temporary folder"),
            c2s,
            c2s_tls,
            s2s,
            s2s_tls,
            component,
            _claims: [claim, claim_tls, claim_s2s, claim_s2s_tls, claim_component],
            server: Mutex::new(None),
            accounts: Mutex::new(HashSet::new()),
            connections: AtomicU64::new(0),
        }
    }

    /// The folder that holds the configuration, the log and the data folder.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_path_buf()
    }

    /// The server's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The configuration file.
    pub fn settings(&self) -> PathBuf {
        self.folder.path().join("rookery.toml")
    }

    /// Everything the server wrote to its log and its standard output.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Starts the server, again with the same data after `kill_9` or `term`.
    pub fn rise(&self) {
        let log = self.folder.path().join("log");
        let log = File::options().create(true).append(true).open(log);
        let log = log.expect("a log file");
        let mut command = match judged_by_prosody() {
            true => prosody::command(self),
            false => self.command(),
        };
        let begin = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("the server starts");
        *self.server.lock().expect("lock") = Some(child);
        while TcpStream::connect(self.c2s).is_err() || TcpStream::connect(self.c2s_tls).is_err() {
            let mut server = self.server.lock().expect("lock");
            let ended = server.as_mut().map(|it| it.try_wait());
            drop(server);
            if let Some(Ok(Some(status))) = ended {
                panic!("the server ended at its start: {status}\n{}", self.log());
            }
            let late = begin.elapsed() > Duration::from_secs(20);
            assert!(!late, "the server does not listen\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn command(&self) -> Command {
        std::fs::write(self.settings(), self.configuration()).expect("configuration");
        for (name, text) in &self.plan.files {
            std::fs::write(self.folder().join(name), text).expect("a file");
        }
        let mut command = Command::new(rookery());
        command
            .arg("serve")
            .arg("--config")
            .arg(self.settings())
            .current_dir(&self.folder);
        command
    }

    fn configuration(&self) -> String {
        let Plan {
            trusted,
            open_registration,
            plaintext,
            more,
            domains,
            federates,
            ..
        } = &self.plan;
        let trusted = trusted.then_some("trusted = [\"127.0.0.0/8\"]");
        let trusted = trusted.unwrap_or_default();
        let (data, c2s, c2s_tls) = (self.data(), self.c2s, self.c2s_tls);
        let component = self.component;
        let (s2s, s2s_tls) = match federates {
            true => (format!("\"{}\"", self.s2s), format!("\"{}\"", self.s2s_tls)),
            false => Default::default(),
        };
        format!(
            "domains = {domains:?}\n\
             data = {data:?}\n\
             admins = [\"admin@a.test\"]\n\
             [listen]\n\
             c2s = [\"{c2s}\"]\nc2s_tls = [\"{c2s_tls}\"]\n\
             s2s = [{s2s}]\ns2s_tls = [{s2s_tls}]\nhttp = []\nhttp_tls = []\n\
             component = [\"{component}\"]\n\
             [c2s]\nplaintext = \"{plaintext}\"\n\
             [register]\nopen = {open_registration}\n\
             [limits]\n{trusted}\n\
             {more}\n"
        )
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        let server = self.server.lock().expect("lock");
        server.as_ref().expect("a running server").id()
    }

    /// Waits until the server has written to its journal, which had so many bytes before.
    pub fn writes_after(&self, before: u64) {
        let end = Instant::now() + PATIENCE;
        while self.journal_bytes() == before {
            assert!(Instant::now() < end, "nothing is written\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The size of the journal's last segment.
    pub fn journal_bytes(&self) -> u64 {
        let folder = self.data().join("store/journal");
        let segments = std::fs::read_dir(folder).expect("a journal");
        let segments = segments.map(|it| it.expect("a segment"));
        let logs = segments.filter(|it| it.path().extension().is_some_and(|it| it == "log"));
        let last = logs.max_by_key(|it| it.file_name()).expect("a segment");
        last.metadata().expect("a file").len()
    }

    /// Resident memory of the server in KiB.
    pub fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("a running server");
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix("VmRSS:"))
            .expect("VmRSS");
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse()
            .expect("a number")
    }

    /// Whether the server still runs.
    pub fn is_up(&self) -> bool {
        let mut server = self.server.lock().expect("lock");
        server
            .as_mut()
            .is_some_and(|c| matches!(c.try_wait(), Ok(None)))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid() as i32).expect("a process id");
        kill_process(pid, signal).expect("a signal");
    }

    /// `kill -9`.
    pub fn kill_9(&self) {
        let server = self.server.lock().expect("lock").take();
        let mut server = server.expect("a running server");
        server.kill().expect("kill");
        server.wait().expect("wait");
    }

    /// SIGTERM; the server must end with 0 within ten seconds.
    pub fn term(&self) {
        self.signal(Signal::TERM);
        let status = self.ended(Duration::from_secs(10));
        let status = status.unwrap_or_else(|| {
            self.kill_9();
            panic!("still there ten seconds after SIGTERM\n{}", self.log())
        });
        assert!(
            status.success(),
            "SIGTERM ended the server with {status}\n{}",
            self.log()
        );
    }

    /// Waits for the end of the process.
    pub fn ended(&self, patience: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + patience;
        let mut server = self.server.lock().expect("lock");
        loop {
            let child = server.as_mut().expect("a running server");
            if let Some(status) = child.try_wait().expect("wait") {
                *server = None;
                return Some(status);
            }
            if Instant::now() > end {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs a command of the server's own program on this world, such as `["user", "list"]`.
    pub fn run(&self, arguments: &[&str], input: &str) -> (ExitStatus, String) {
        use std::io::Write;
        let mut child = Command::new(rookery())
            .args(arguments)
            .arg("--config")
            .arg(self.settings())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        child
            .stdin
            .take()
            .expect("stdin")
            .write_all(input.as_bytes())
            .expect("stdin");
        let output = child.wait_with_output().expect("the command ends");
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        (output.status, text)
    }

    /// A connection in plaintext that has said nothing.
    pub fn tcp(&self) -> Client {
        self.count();
        Client::tcp(self.c2s, "a.test")
    }

    /// A connection by direct TLS that has said nothing inside.
    pub fn tls(&self) -> Client {
        self.count();
        Client::direct_tls(self.c2s_tls, "a.test")
    }

    /// Another connection was made.
    pub fn count(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections were made.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Makes sure that an account exists, by XEP-0077.
    pub fn account(&self, user: &str, domain: &str) {
        let jid = format!("{user}@{domain}");
        if !self.accounts.lock().expect("lock").insert(jid.clone()) {
            return;
        }
        let by_command = std::env::var("ROOKERY_SUITE_ACCOUNTS").is_ok_and(|v| v == "command");
        let trusted = self.plan.trusted && self.plan.plaintext != "never";
        if by_command || !trusted || !self.plan.open_registration {
            // Registration is limited for strangers, and wants TLS where that is required.
            return self.account_by_command(user, domain);
        }
        self.count();
        let mut client = Client::tcp(self.c2s, domain);
        let done = client
            .open()
            .and_then(|()| client.register(user, &password(user)));
        if let Err(e) = done {
            panic!(
                "no account {jid}: {e}\n  {}\n{}",
                client.story(),
                self.log()
            );
        }
        client.say("</stream:stream>");
        let _ = client.closed(PATIENCE);
    }

    fn account_by_command(&self, user: &str, domain: &str) {
        if judged_by_prosody() {
            return prosody::account(self, user, domain);
        }
        let jid = format!("{user}@{domain}");
        let input = format!("{}\n", password(user));
        let (status, text) = self.run(&["user", "add", &jid, "--password-stdin"], &input);
        assert!(status.success(), "user add {jid}: {text}");
    }

    /// Forgets that an account was made, so that the next `device` makes it again.
    pub fn forget(&self, jid: &str) {
        self.accounts.lock().expect("lock").remove(jid);
    }

    /// Remembers an account that was made otherwise.
    pub fn remember(&self, jid: &str) {
        self.accounts.lock().expect("lock").insert(jid.into());
    }

    /// Somebody's device, logged in and bound, without presence: "alice@a.test/phone". The account
    /// is made if it is not there.
    pub fn device(&self, full: &str) -> Device {
        let (bare, resource) = full.split_once('/').unwrap_or((full, ""));
        let (user, domain) = bare.split_once('@').expect("an address");
        self.account(user, domain);
        self.count();
        let mut client = match self.plan.plaintext {
            "never" => Client::direct_tls(self.c2s_tls, domain),
            _ => Client::tcp(self.c2s, domain),
        };
        let done = client
            .open()
            .and_then(|()| client.login(user, &password(user)))
            .and_then(|()| client.bind(resource));
        if let Err(e) = done {
            panic!(
                "{full} cannot log in: {e}\n  {}\n{}",
                client.story(),
                self.log()
            );
        }
        Device::new(client)
    }

    /// The same, with initial presence sent and its echo heard.
    pub fn online(&self, full: &str) -> Device {
        let mut device = self.device(full);
        device.comes_online();
        device
    }

    fn stop(&self) {
        let running = self.server.lock().expect("lock").is_some();
        if running && !std::thread::panicking() {
            self.term();
        } else if running {
            self.kill_9();
        }
        assert!(
            std::thread::panicking() || !self.log().contains("panicked at"),
            "the server panicked\n{}",
            self.log()
        );
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(20)..].join("\n");
            eprintln!("-- end of the server's log --\n{tail}");
        }
    }
}

/// The program under test.
pub fn rookery() -> &'static str {
    env!("CARGO_BIN_EXE_rookery")
}
