//! What the operator chooses: typed settings with friendly errors.
//!
//! Four layers, each stronger than the one before it: the defaults written beside the fields in
//! [`settings`], the file `rookery.toml`, the environment (`ROOKERY__C2S__IDLE=2m` is the key
//! `c2s.idle`), and the arguments of the command. [`Settings::load`] reads them all and answers
//! either with settings that have been checked, or with every [`Problem`] found, each naming
//! where it stands and what to do about it. The commented sample `rookery.toml` beside this
//! file holds every key with its default; a test keeps the two equal.
//!
//! Durations are written as a number with a unit, `"300ms"`, `"60s"`, `"10m"`, `"24h"`, `"30d"`,
//! or as a plain number of seconds; sizes as `"512 B"`, `"256 KiB"`, `"10 MiB"`, `"2 GiB"`, or as
//! a plain number of bytes.

mod hosts;
mod keys;
mod layers;
mod pattern;
mod problem;
mod quantity;
mod reading;
mod rules;
mod section;
pub mod settings;

pub use layers::Sources;
pub use pattern::Pattern;
pub use problem::{Origin, Problem, Problems};
pub use quantity::Size;
pub use settings::{Plaintext, Policy, RoomTemplate, Settings};

/// The commented sample file: every key with its default, each commented out.
pub const SAMPLE: &str = include_str!("rookery.toml");

#[cfg(test)]
mod tests;
