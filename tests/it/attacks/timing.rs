//! T20: how long a refusal takes must not tell who has an account.

use super::row::{Row, Stage, State::*, must, scene};
use super::sasl::is;
use crate::sasl::{Hash, Scram};
use crate::xml::SASL;
use std::time::Instant;

/// Rows that take long.
pub fn heavy_rows() -> Vec<Row> {
    vec![scene("T20", "the time to refuse tells nothing", timing)]
}

/// Seconds a wrong login takes, without the connection.
fn refused_in(stage: &Stage, mechanism: &str, user: &str) -> Result<f64, String> {
    let mut client = stage.client(Plain)?;
    let scram = Scram::new(Hash::Sha256, user, "wrong");
    let begin = Instant::now();
    let outcome = match mechanism {
        "PLAIN" => client.plain(user, "wrong")?,
        _ => {
            client.auth(mechanism, &scram.first())?;
            client.expect(SASL, "challenge")?;
            return Ok(begin.elapsed().as_secs_f64());
        }
    };
    is(outcome, &["not-authorized"], mechanism)?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Welch's t of two samples after the slowest tenth of each is left out.
pub fn welch(mut a: Vec<f64>, mut b: Vec<f64>) -> (f64, f64) {
    let trim = |v: &mut Vec<f64>| {
        v.sort_by(f64::total_cmp);
        v.truncate(v.len() * 9 / 10);
    };
    trim(&mut a);
    trim(&mut b);
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let spread = |v: &[f64]| {
        let m = mean(v);
        v.iter().map(|x| (x - m).powi(2)).sum::<f64>() / (v.len() - 1) as f64 / v.len() as f64
    };
    let t = (mean(&a) - mean(&b)) / (spread(&a) + spread(&b)).sqrt();
    (t.abs(), (a[a.len() / 2] - b[b.len() / 2]).abs())
}

fn timing(stage: &Stage) -> Result<(), String> {
    let known = stage.user("alice");
    stage.world.account(&known, "a.test");
    for mechanism in ["SCRAM-SHA-256", "PLAIN"] {
        let (mut of_known, mut of_unknown) = (Vec::new(), Vec::new());
        for n in 0..2000u32 {
            // A fixed shuffle: neither kind always comes first.
            let first = n.wrapping_mul(2_654_435_761) & 0x8000 == 0;
            for is_known in [first, !first] {
                let user = if is_known {
                    known.clone()
                } else {
                    format!("{known}-nobody{n}")
                };
                let seconds = refused_in(stage, mechanism, &user)?;
                if is_known {
                    &mut of_known
                } else {
                    &mut of_unknown
                }
                .push(seconds);
            }
        }
        let (t, median) = welch(of_known, of_unknown);
        let tells = t >= 4.5 && median >= 50e-6;
        must(!tells, || {
            format!("{mechanism}: t = {t:.1}, medians differ by {median:.6} s")
        })?;
    }
    Ok(())
}

#[test]
fn welch_tells_apart() {
    let a: Vec<f64> = (0..500).map(|n| 1.0 + f64::from(n % 10) * 0.001).collect();
    let b: Vec<f64> = a.iter().map(|x| x + 0.1).collect();
    assert!(welch(a.clone(), b).0 > 4.5);
    assert!(welch(a.clone(), a).0 < 4.5);
}
