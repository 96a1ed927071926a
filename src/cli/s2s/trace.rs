//! `rookery s2s trace`: the way to another server, step by step.

use super::{Failure, Place, ask_running, shown};
use crate::control::{Answer, Order};
use rookery_actors::admin::servers::Trace;
use serde_json::json;

pub(super) fn trace(place: &Place, to: String, from: Option<String>) -> Result<(), Failure> {
    let order = Order::Trace {
        to: to.clone(),
        from,
    };
    let Answer::Trace(trace) = ask_running(place, &order)? else {
        return Err(Failure::new("failed", "the server answered something else"));
    };
    match place.json {
        true => shown::json(&json!({ "trace": trace })),
        false => shown::text(&text(&to, &trace)),
    }
    match trace.wrong {
        Some(_) => Err(Failure::told(1)),
        None => Ok(()),
    }
}

/// A step a line, after how long it came; then what is wrong.
fn text(to: &str, trace: &Trace) -> String {
    let step = |after: u64, what: &str| {
        let (seconds, millis) = (after / 1_000, after % 1_000);
        format!("{seconds:3}.{millis:03}  {what}\n")
    };
    let steps = trace.steps.iter().map(|it| step(it.after, &it.what));
    let mut text: String = steps.collect();
    match &trace.wrong {
        None => text += &format!("{to} is reached: stanzas may be sent.\n"),
        Some(wrong) => text += &format!("{to} is not reached: {wrong}\n"),
    }
    if let Some(advice) = &trace.advice {
        text += &format!("{advice}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rookery_actors::admin::servers::Step;

    #[test]
    fn a_step_a_line_and_the_end() {
        let step = |after, what: &str| Step {
            after,
            what: what.into(),
        };
        let trace = Trace {
            steps: vec![step(5, "one"), step(12_345, "two")],
            wrong: Some("no".into()),
            advice: Some("Do.".into()),
        };
        assert_eq!(
            text("a.test", &trace),
            "  0.005  one\n 12.345  two\na.test is not reached: no\nDo.\n"
        );
        let good = Trace::default();
        assert_eq!(
            text("a.test", &good),
            "a.test is reached: stanzas may be sent.\n"
        );
    }
}
