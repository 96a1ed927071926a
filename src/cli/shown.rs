//! How answers are shown.

use std::io::{self, Write};

/// One line of JSON on stdout.
pub(super) fn json(value: &serde_json::Value) {
    text(&format!("{value}\n"));
}

/// Text on stdout. That nobody reads it any more is no error.
pub(super) fn text(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A time in milliseconds since 1970, as `2026-11-22 10:46` in UTC.
pub(super) fn minute(millis: i64) -> String {
    let minutes = millis.div_euclid(60_000);
    let (days, minute) = (minutes.div_euclid(1_440), minutes.rem_euclid(1_440));
    let (year, month, day) = date(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}",
        minute / 60,
        minute % 60
    )
}

/// The date that is so many days after 1970-01-01, counting years from March so that the leap day
/// comes last.
fn date(days: i64) -> (i64, i64, i64) {
    const CYCLE: i64 = 146_097; // days in 400 years
    let since_march = days + 719_468; // days from 0000-03-01 to 1970-01-01
    let (cycle, day) = (since_march.div_euclid(CYCLE), since_march.rem_euclid(CYCLE));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (cycle * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_of_the_calendar() {
        let rows = [
            (0, "1970-01-01 00:00"),
            (951_782_399_000, "2000-02-28 23:59"),
            (951_782_400_000, "2000-02-29 00:00"),
            (951_868_800_000, "2000-03-01 00:00"),
            (1_735_689_599_999, "2024-12-31 23:59"),
            (1_790_000_000_000, "2026-09-21 14:13"),
            (4_107_542_400_000, "2100-03-01 00:00"),
            (-1, "1969-12-31 23:59"),
        ];
        for (millis, text) in rows {
            assert_eq!(minute(millis), text, "{millis}");
        }
    }
}
