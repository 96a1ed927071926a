//! Where passwords come from: a prompt, stdin, or chance; never the arguments, which everybody on
//! the machine can read.

use super::Failure;
use crate::control::Secret;
use clap::Args;
use std::io::{self, Read};
use zeroize::Zeroizing;

/// The ways to say a password; without one of them it is asked for.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct Source {
    /// Read the password from stdin: all of it, less the end of the last line
    #[arg(long, conflicts_with = "generate")]
    password_stdin: bool,
    /// Make a password, and print it
    #[arg(long)]
    generate: bool,
}

/// The longest password (the engine's own bound).
const LIMIT: usize = 1_024;
/// Letters that cannot be taken for one another; 32, so that each holds five bits.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Letters of a password that we make, in groups: 120 bits.
const MADE: [usize; 4] = [6; 4];

impl Source {
    /// The password, and whether it was made here and must be shown.
    pub(super) fn read(self, whose: &str) -> Result<(Secret, bool), Failure> {
        let password = match (self.generate, self.password_stdin) {
            (true, _) => return Ok((made()?, true)),
            (_, true) => from(&mut io::stdin().lock())?,
            _ => asked(whose)?,
        };
        Ok((password, false))
    }
}

/// Asks twice at the terminal.
fn asked(whose: &str) -> Result<Secret, Failure> {
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt)
            .map(Zeroizing::new)
            .map_err(|error| {
                let text = format!("no terminal to ask at ({error}); say --password-stdin");
                Failure::new("password", text)
            })
    };
    let first = ask(&format!("Password for {whose}: "))?;
    let second = ask("Once more: ")?;
    if *first != *second {
        return Err(Failure::new("password", "the two are not the same"));
    }
    fitting(&first)
}

/// All of the input, less one end of line.
fn from(input: &mut dyn Read) -> Result<Secret, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = input.take(LIMIT as u64 + 3).read_to_string(&mut text);
    read.map_err(|error| Failure::new("password", format!("stdin: {error}")))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    fitting(text.strip_suffix('\r').unwrap_or(text))
}

fn fitting(text: &str) -> Result<Secret, Failure> {
    match text.len() {
        0 => Err(Failure::new("password", "the password is empty")),
        1..=LIMIT => Ok(Secret::new(text.into())),
        _ => Err(Failure::new(
            "password",
            format!("the password is over {LIMIT} bytes long"),
        )),
    }
}

/// A password by chance.
fn made() -> Result<Secret, Failure> {
    let mut bytes = Zeroizing::new([0; 24]);
    getrandom::fill(&mut *bytes).map_err(|error| Failure::new("failed", error.to_string()))?;
    let mut letters = bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    let mut text = String::with_capacity(MADE.iter().sum::<usize>() + MADE.len());
    for (n, length) in MADE.into_iter().enumerate() {
        if n > 0 {
            text.push('-');
        }
        text.extend(letters.by_ref().take(length));
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn read(input: &str) -> Result<String, String> {
        let read = from(&mut input.as_bytes());
        read.map(|secret| secret.reveal().to_owned())
            .map_err(|failure| failure.text)
    }

    #[test]
    fn stdin_loses_one_end_of_line() {
        let rows = [
            ("x", "x"),
            ("x\n", "x"),
            ("x\r\n", "x"),
            ("x\n\n", "x\n"),
            (" x y ", " x y "),
        ];
        for (input, password) in rows {
            assert_eq!(read(input).as_deref(), Ok(password), "{input:?}");
        }
        assert!(read("").is_err() && read("\n").is_err());
        assert!(read(&"x".repeat(LIMIT)).is_ok());
        assert!(read(&format!("{}\r\n", "x".repeat(LIMIT))).is_ok());
        assert!(read(&"x".repeat(LIMIT + 1)).is_err());
        assert!(read(&"x".repeat(1 << 20)).is_err());
        assert!(from(&mut &b"\xff"[..]).is_err());
    }

    #[test]
    fn made_ones_are_long_and_differ() {
        let made: BTreeSet<_> = (0..100)
            .map(|_| made().unwrap().reveal().to_owned())
            .collect();
        assert_eq!(made.len(), 100);
        for password in made {
            assert_eq!(password.len(), 27, "{password}");
            assert_eq!(password.split('-').count(), 4);
            assert!(
                password.bytes().all(|b| b == b'-' || LETTERS.contains(&b)),
                "{password}"
            );
        }
    }
}
