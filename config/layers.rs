//! The layers and how they are laid over one another: defaults, file, environment, arguments.

use crate::keys::{self, Keys, Set, VARIABLE_PREFIX};
use crate::problem::{Origin, Problem, Problems};
use crate::rules;
use crate::settings::{Listen, Settings};
use config::{Config, ConfigError, Environment, File, FileFormat};
use std::path::{Path, PathBuf};

/// Where the settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file named by `--config`; it must exist.
    pub file: Option<PathBuf>,
    /// Where a file is looked for if none is named; the first that exists is read.
    pub search: Vec<PathBuf>,
    /// Names and values of the variables; those not beginning with `ROOKERY__` are ignored.
    pub environment: Vec<(String, String)>,
    /// `--domain`, each time it was given.
    pub domains: Vec<String>,
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--port-offset`: added to every default port.
    pub port_offset: u16,
}

impl Sources {
    /// What this process was given, arguments apart: its environment, and `rookery.toml` here or
    /// else in `/etc/rookery`.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let name = name
                .into_string()
                .ok()
                .filter(|name| name.starts_with(VARIABLE_PREFIX))?;
            Some((name, value.to_string_lossy().into_owned()))
        };
        Sources {
            search: vec!["rookery.toml".into(), "/etc/rookery/rookery.toml".into()],
            environment: std::env::vars_os().filter_map(text).collect(),
            ..Sources::default()
        }
    }

    /// The file that is read, if there is one.
    pub fn path(&self) -> Option<&Path> {
        let found = || self.search.iter().find(|path| path.exists());
        self.file.as_ref().or_else(found).map(PathBuf::as_path)
    }
}

impl Settings {
    /// Reads and checks all layers. Whether there is a domain to serve is not asked:
    /// [`Settings::require_domains`] is for those who serve.
    pub fn load(sources: &Sources) -> Result<Settings, Problems> {
        let keys = Keys::new();
        let layers = Layers::read(sources, &keys)?;
        let mut settings = layers
            .merged(sources)
            .map_err(|problem| Problems(vec![problem]))?;
        let broken = rules::check(&mut settings);
        let problems: Vec<_> = broken
            .into_iter()
            .map(|broken| layers.placed(broken))
            .collect();
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(Problems(problems))
        }
    }

    /// Refuses settings that name no domain.
    pub fn require_domains(&self) -> Result<(), Problems> {
        if !self.domains.is_empty() {
            return Ok(());
        }
        Err(Problems(vec![Problem {
            origin: Origin::Default,
            key: "domains".into(),
            what: "there is no domain to serve".into(),
            advice: "say `--domain example.org`, or write `domains = [\"example.org\"]` at the \
                     top of rookery.toml"
                .into(),
        }]))
    }
}

/// The layers above the defaults, each with the keys it sets, the weakest first.
struct Layers {
    layers: Vec<(Config, Vec<Set>)>,
}

impl Layers {
    /// Reads every layer; problems of all of them are told together.
    fn read(sources: &Sources, keys: &Keys) -> Result<Self, Problems> {
        let mut problems = vec![];
        let mut layers = vec![];
        let read = [from_file(sources), Ok(from_environment(sources, keys))];
        for layer in read.into_iter().chain([Ok(from_arguments(sources))]) {
            match layer.and_then(|layer| layer.checked(keys)) {
                Ok(layer) => layers.push(layer),
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() {
            Ok(Layers { layers })
        } else {
            Err(Problems(problems))
        }
    }

    /// All layers over the defaults.
    fn merged(&self, sources: &Sources) -> Result<Settings, Problem> {
        let mut listen = Listen::default();
        for address in listen.all_mut().into_iter().flatten() {
            let port = address.port().checked_add(sources.port_offset);
            address.set_port(port.ok_or_else(|| Problem {
                origin: Origin::Argument("--port-offset"),
                key: String::new(),
                what: format!(
                    "{} leaves no port for {}",
                    sources.port_offset,
                    address.port()
                ),
                advice: "ports end at 65535".into(),
            })?);
        }
        let defaults = Settings {
            listen,
            ..Settings::default()
        };
        let merge = || {
            let mut builder = Config::builder().add_source(Config::try_from(&defaults)?);
            for (layer, _) in &self.layers {
                builder = builder.add_source(layer.clone());
            }
            builder.build()?.try_deserialize()
        };
        merge().map_err(|error| Problem {
            origin: Origin::Default,
            key: String::new(),
            what: reason(&error),
            advice: String::new(),
        })
    }

    /// A broken rule, with the place of the strongest layer that sets its key.
    fn placed(&self, broken: rules::Broken) -> Problem {
        let mut sets = self.layers.iter().rev().flat_map(|(_, sets)| sets);
        let origin = sets
            .find(|set| set.key == broken.key)
            .map(|set| set.origin.clone());
        Problem {
            origin: origin.unwrap_or(Origin::Default),
            key: broken.key.into(),
            what: broken.what,
            advice: broken.advice,
        }
    }
}

/// A layer not yet checked.
struct Layer {
    source: Result<Config, ConfigError>,
    sets: Vec<Set>,
}

impl Layer {
    /// Checks every key, and every value by itself, so that what is wrong has a place.
    fn checked(self, keys: &Keys) -> Result<(Config, Vec<Set>), Vec<Problem>> {
        let faults: Vec<_> = self.sets.iter().filter_map(|set| keys.fault(set)).collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let whole = |error: ConfigError| Problem {
            origin: self
                .sets
                .first()
                .map_or(Origin::Default, |set| set.origin.clone()),
            key: String::new(),
            what: reason(&error),
            advice: String::new(),
        };
        let source = self.source.map_err(|error| vec![whole(error)])?;
        let fault = |set: &Set| {
            let alone = source
                .get::<config::Value>(&set.key)
                .and_then(|value| Config::builder().set_override(&set.key, value)?.build())
                .and_then(|config| config.try_deserialize::<Settings>());
            alone.err().map(|error| Problem {
                origin: set.origin.clone(),
                key: set.key.clone(),
                what: reason(&error),
                advice: match keys.default_of(&set.key) {
                    Some(default) => format!("the default is {default}"),
                    None => String::new(),
                },
            })
        };
        let settings = self.sets.iter().filter(|set| !set.heading);
        let faults: Vec<_> = settings.filter_map(fault).collect();
        if faults.is_empty() {
            Ok((source, self.sets))
        } else {
            Err(faults)
        }
    }
}

fn from_file(sources: &Sources) -> Result<Layer, Vec<Problem>> {
    let Some(path) = sources.path() else {
        return Ok(Layer {
            source: Config::builder().build(),
            sets: vec![],
        });
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![Problem {
            origin: Origin::File(path.to_owned(), None),
            key: String::new(),
            what: format!("cannot be read: {error}"),
            advice: "name another with --config, or leave it out for the defaults".into(),
        }]
    })?;
    let sets = keys::in_file(path, &text).map_err(|problem| vec![problem])?;
    let source = Config::builder()
        .add_source(File::from_str(&text, FileFormat::Toml))
        .build();
    Ok(Layer { source, sets })
}

fn from_environment(sources: &Sources, keys: &Keys) -> Layer {
    let ours = |(name, _): &&(String, String)| name.starts_with(VARIABLE_PREFIX);
    let variables: Vec<_> = sources.environment.iter().filter(ours).cloned().collect();
    let sets = keys::in_environment(&variables);
    let mut environment = Environment::with_prefix("ROOKERY")
        .separator("__")
        .try_parsing(true)
        .list_separator(",")
        .source(Some(variables.into_iter().collect()));
    for key in keys.lists() {
        environment = environment.with_list_parse_key(key);
    }
    Layer {
        source: Config::builder().add_source(environment).build(),
        sets,
    }
}

fn from_arguments(sources: &Sources) -> Layer {
    let mut builder = Ok(Config::builder());
    let mut sets = vec![];
    if !sources.domains.is_empty() {
        builder = builder.and_then(|b| b.set_override("domains", sources.domains.clone()));
        sets.push(Set::new("domains", Origin::Argument("--domain")));
    }
    if let Some(data) = &sources.data {
        let data = data.to_string_lossy().into_owned();
        builder = builder.and_then(|b| b.set_override("data", data));
        sets.push(Set::new("data", Origin::Argument("--data")));
    }
    Layer {
        source: builder.and_then(|builder| builder.build()),
        sets,
    }
}

/// The reason in an error of the `config` crate, without its own idea of the place.
fn reason(error: &ConfigError) -> String {
    match error {
        ConfigError::At { error, .. } => reason(error),
        ConfigError::Type {
            unexpected,
            expected,
            ..
        } => {
            format!("{unexpected} stands where {expected} belongs")
        }
        ConfigError::Message(message) => message.clone(),
        other => other.to_string(),
    }
}
