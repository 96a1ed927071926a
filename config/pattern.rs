//! Sets of domains, as an operator writes them: one domain, all below one, or all there are.

use std::fmt;
use std::str::FromStr;

use rookery_protocol::jid::prepare_domain;
use serde::{Deserialize, Serialize};

/// `example.org`: that domain alone. `*.example.org`: every domain below it, itself not. `*`: every
/// domain. Prepared by RFC 7622 §3.2, so that two that mean the same are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

impl Pattern {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What [`Pattern::covering`] finds it by.
    pub fn key(&self) -> &str {
        self.0.strip_prefix('*').unwrap_or(&self.0)
    }

    /// The keys of all patterns that a prepared domain belongs to, the closest first.
    pub fn covering(domain: &str) -> impl Iterator<Item = &str> {
        let above = domain.match_indices('.').map(|(at, _)| &domain[at..]);
        std::iter::once(domain).chain(above).chain([""])
    }

    /// Whether a prepared domain belongs to it.
    pub fn covers(&self, domain: &str) -> bool {
        Pattern::covering(domain).any(|key| key == self.key())
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (star, domain) = match text.strip_prefix("*.") {
            Some(domain) => ("*.", domain),
            None if text == "*" => return Ok(Pattern(text.into())),
            None => ("", text),
        };
        let unfit = |why: &str| format!("{text:?} is not a domain: {why}");
        if domain.contains('*') {
            return Err(unfit("a star stands for whole names, at the beginning"));
        }
        let domain = prepare_domain(domain).map_err(|error| unfit(&error.to_string()))?;
        Ok(Pattern(format!("{star}{domain}")))
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_pattern() {
        let rows = [
            ("example.org", "example.org", true),
            ("Example.ORG", "example.org", true),
            ("xn--bcher-kva.example", "bücher.example", true),
            ("example.org", "a.example.org", false),
            ("*.example.org", "a.example.org", true),
            ("*.example.org", "a.b.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "badexample.org", false),
            ("*.org", "example.org", true),
            ("*", "example.org", true),
            ("*", "localhost", true),
            ("*", "[::1]", true),
        ];
        for (pattern, domain, belongs) in rows {
            let pattern: Pattern = pattern.parse().unwrap();
            assert_eq!(pattern.covers(domain), belongs, "{pattern} {domain}");
        }
    }

    #[test]
    fn the_closest_comes_first() {
        let keys: Vec<_> = Pattern::covering("a.b.example").collect();
        assert_eq!(keys, ["a.b.example", ".b.example", ".example", ""]);
    }

    #[test]
    fn what_is_no_pattern() {
        for text in [
            "",
            "*.",
            "a.*",
            "*a.example",
            "**",
            "a b",
            "x@a.example",
            "*.*.example",
        ] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
