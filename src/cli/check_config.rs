//! `rookery check-config`: are the settings right, and what is wrong where?

use super::{EX_CONFIG, Failure, Place, shown};
use crate::opening::StartError;
use rookery_config::{Origin, Problems, SAMPLE, Settings};
use serde_json::json;

pub(super) fn check_config(place: &Place, sample: bool) -> Result<(), Failure> {
    if sample {
        shown::text(SAMPLE);
        return Ok(());
    }
    let sources = place.sources();
    let checked = Settings::load(&sources).and_then(|settings| {
        settings.require_domains()?;
        Ok(settings)
    });
    match checked {
        Ok(settings) if place.json => {
            shown::json(&json!({ "ok": true, "file": sources.path(), "settings": settings }));
            Ok(())
        }
        Ok(settings) => {
            let file = match sources.path() {
                Some(path) => format!("{} is", path.display()),
                None => "No file is read; the settings are".into(),
            };
            shown::text(&format!(
                "{file} right. Domains: {}\n",
                settings.domains.join(", ")
            ));
            Ok(())
        }
        Err(problems) if place.json => {
            shown::json(&told(&problems));
            Err(Failure::told(EX_CONFIG))
        }
        Err(problems) => Err(StartError::from(problems).into()),
    }
}

/// Every problem for programs.
fn told(problems: &Problems) -> serde_json::Value {
    let problems: Vec<_> = problems
        .0
        .iter()
        .map(|problem| {
            let line = match &problem.origin {
                Origin::File(_, line) => *line,
                _ => None,
            };
            json!({
                "origin": problem.origin.to_string(),
                "line": line,
                "key": problem.key,
                "what": problem.what,
                "advice": problem.advice,
            })
        })
        .collect();
    json!({ "ok": false, "problems": problems })
}
