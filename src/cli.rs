//! The command line: `rookery [serve]`, and commands to a server that runs or does not.
//!
//! Exit codes: 0 done, 1 not done, 2 misunderstood arguments, 78 a configuration that must be put
//! right first (`EX_CONFIG`, which the service manager does not answer by trying again).

mod check_config;
mod component;
mod order;
mod password;
mod reload;
mod s2s;
mod serve;
mod shown;
mod status;
mod user;
mod xeps;

use crate::opening::{Start, StartError};
use clap::{Args, Parser, Subcommand};
use rookery_config::{Settings, Sources};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

pub use xeps::Xep;

/// What the command line needs of the rest of the program.
#[derive(Clone, Copy)]
pub struct Parts {
    /// Starts a server.
    pub start: Start,
    /// The specifications that are implemented, read off the list of extensions.
    pub xeps: fn() -> Vec<Xep>,
}

/// An XMPP server that a small community runs by itself.
#[derive(Debug, Parser)]
#[command(name = "rookery", version)]
struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Which server it is about.
#[derive(Clone, Debug, Default, Args)]
struct Place {
    /// A domain to serve; give it once for each
    #[arg(long, value_name = "DOMAIN", global = true)]
    domain: Vec<String>,
    /// The folder with everything the server remembers [default: data]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// The settings [default: rookery.toml here, or /etc/rookery/rookery.toml]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Added to all default ports
    #[arg(long, value_name = "N", default_value_t = 0, global = true)]
    port_offset: u16,
    /// Start although something that was promised is missing from the disk
    #[arg(long, global = true)]
    accept_loss: bool,
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until told to stop (the default)
    Serve,
    /// Check the settings and say what is wrong with them
    CheckConfig {
        /// Print a settings file with every setting and its default instead
        #[arg(long)]
        sample: bool,
    },
    /// Accounts
    #[command(subcommand)]
    User(user::User),
    /// Other servers
    #[command(subcommand)]
    S2s(s2s::S2s),
    /// External components: bridges to other networks, and other programs
    #[command(subcommand)]
    Component(component::Component),
    /// Numbers on the server
    Status,
    /// The specifications this server implements
    Xeps,
    /// Read the certificate and the settings again
    Reload,
}

/// Runs the command of this process.
pub fn run(parts: Parts) -> ExitCode {
    harden();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are errors to clap; they go to stdout with code 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let Arguments { place, command } = arguments;
    logs(if matches!(command, None | Some(Command::Serve)) {
        "info"
    } else {
        "warn"
    });
    let done = match command {
        None | Some(Command::Serve) => serve::serve(&place, parts.start),
        Some(Command::CheckConfig { sample }) => check_config::check_config(&place, sample),
        Some(Command::User(user)) => user::user(&place, user, parts.start),
        Some(Command::S2s(order)) => s2s::s2s(&place, order, parts.start),
        Some(Command::Component(component)) => component::component(&place, component, parts.start),
        Some(Command::Status) => status::status(&place, parts.start),
        Some(Command::Xeps) => xeps::xeps(&place, &(parts.xeps)()),
        Some(Command::Reload) => reload::reload(&place),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(place.json),
    }
}

impl Place {
    /// Where the settings come from.
    fn sources(&self) -> Sources {
        Sources {
            file: self.config.clone(),
            domains: self.domain.clone(),
            data: self.data.clone(),
            port_offset: self.port_offset,
            ..Sources::of_process()
        }
    }

    /// The settings, checked.
    fn settings(&self) -> Result<Settings, Failure> {
        Ok(Settings::load(&self.sources()).map_err(StartError::from)?)
    }
}

/// Why a command was not done, in the words the operator reads.
#[derive(Debug)]
struct Failure {
    code: u8,
    kind: String,
    text: String,
}

/// The exit code for a configuration that must be put right (sysexits.h).
const EX_CONFIG: u8 = 78;
/// The exit code of a server that is to be started again (there: a temporary failure).
const EX_AGAIN: u8 = 75;

impl Failure {
    fn new(kind: &str, text: impl Into<String>) -> Self {
        Failure {
            code: 1,
            kind: kind.into(),
            text: text.into(),
        }
    }

    /// A failure whose reason was told already.
    fn told(code: u8) -> Self {
        Failure {
            code,
            kind: String::new(),
            text: String::new(),
        }
    }

    /// Tells it, on stderr or as JSON on stdout.
    fn tell(self, json: bool) -> ExitCode {
        match json {
            _ if self.text.is_empty() => {}
            true => {
                let error = serde_json::json!({ "kind": self.kind, "text": self.text });
                shown::json(&serde_json::json!({ "error": error }));
            }
            false => eprintln!("rookery: {}", self.text),
        }
        ExitCode::from(self.code)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let (code, kind) = match &error {
            StartError::Refused(_) => (EX_CONFIG, "configuration"),
            StartError::Failed(_) => (1, "failed"),
        };
        Failure {
            code,
            kind: kind.into(),
            text: error.to_string(),
        }
    }
}

/// No core dumps and no debuggers, which would see passwords' keys; files for this user only.
fn harden() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior, umask};
    // Where the system cannot, the rest still holds.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// Writes logs to stderr at a level, or as `ROOKERY_LOG` or `RUST_LOG` says.
fn logs(level: &str) {
    let wish = ["ROOKERY_LOG", "RUST_LOG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    // The resolver's crates tell, at length, of every answer that they do not like: strangers must
    // not fill the log. What became of a lookup is told by who wanted it.
    let usual = format!("{level},hickory_net=off,hickory_resolver=off");
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse_lossy(wish.unwrap_or(usual));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // The journal has its own clock. Only a second subscriber in one process would be refused.
    let _ = match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => logs.without_time().try_init(),
        None => logs.try_init(),
    };
}

#[cfg(test)]
mod tests;
