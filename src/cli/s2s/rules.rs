//! Which domains are blocked and allowed, for people.

use super::shown;
use crate::control::Rule;
use rookery_config::Pattern;

/// What came of an order.
pub(super) fn done(pattern: &Pattern, allow: Option<bool>) -> String {
    let whom = whom(pattern);
    match allow {
        Some(false) => format!("Nothing is exchanged with {whom} any more.\n"),
        Some(true) => format!("Stanzas may be exchanged with {whom}.\n"),
        None => format!("For {whom} it is as the settings say.\n"),
    }
}

/// The rules, one a line.
pub(super) fn table(rules: &[Rule]) -> String {
    let width = rules.iter().map(|it| it.pattern.as_str().chars().count());
    let width = width.max().unwrap_or(0);
    let line = |rule: &Rule| {
        let verdict = match rule.allow {
            true => "allowed",
            false => "blocked",
        };
        let since = match rule.since {
            Some(time) => format!("since {}", shown::minute(time)),
            None => "by the settings".into(),
        };
        format!("{:width$}  {verdict}  {since}\n", rule.pattern.as_str())
    };
    match rules {
        [] => "No domain is blocked.\n".into(),
        rules => rules.iter().map(line).collect(),
    }
}

fn whom(pattern: &Pattern) -> String {
    match pattern.as_str() {
        "*" => "other domains".into(),
        text => match text.strip_prefix("*.") {
            Some(domain) => format!("domains below {domain}"),
            None => text.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str, allow: bool, since: Option<i64>) -> Rule {
        let pattern = pattern.parse().unwrap();
        Rule {
            pattern,
            allow,
            since,
        }
    }

    #[test]
    fn one_line_a_rule() {
        let rules = [
            rule("*", false, None),
            rule("*.a.example", true, Some(60_000)),
        ];
        assert_eq!(
            table(&rules),
            "*            blocked  by the settings\n\
             *.a.example  allowed  since 1970-01-01 00:01\n"
        );
        assert_eq!(table(&[]), "No domain is blocked.\n");
    }

    #[test]
    fn what_was_done_in_a_sentence() {
        let done = |pattern: &str, allow| done(&pattern.parse().unwrap(), allow);
        let wanted = "Nothing is exchanged with domains below a.example any more.\n";
        assert_eq!(done("*.a.example", Some(false)), wanted);
        assert_eq!(
            done("a.example", Some(true)),
            "Stanzas may be exchanged with a.example.\n"
        );
        assert_eq!(
            done("*", None),
            "For other domains it is as the settings say.\n"
        );
    }
}
