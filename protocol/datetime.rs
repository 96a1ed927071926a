//! Dates and times as XEP-0082 writes them, to and from milliseconds since 1970 in UTC.

/// No timestamp that means something is longer; XEP-0082 sets no bound to the fraction.
const LENGTH_MAX: usize = 64;
const DAY: i64 = 86_400_000;

/// Reads a DateTime (XEP-0082 §3.2), `CCYY-MM-DDThh:mm:ss[.sss]TZD`, as milliseconds since 1970 in
/// UTC. Digits past the millisecond are dropped. `None` for everything else: a missing zone, a leap
/// second, a day that the month does not have.
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() > LENGTH_MAX || bytes.len() < "0000-00-00T00:00:00Z".len() {
        return None;
    }
    let (date, rest) = bytes.split_at(10);
    let (time, rest) = rest.split_at(9);
    let days = parse_date_bytes(date)?;
    let time = match time {
        [b'T', h1, h2, b':', m1, m2, b':', s1, s2] => {
            let (hour, minute) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            let second = number(&[*s1, *s2])?;
            let is_sound = hour < 24 && minute < 60 && second < 60;
            is_sound.then_some(((hour * 60 + minute) * 60 + second) * 1_000)?
        }
        _ => return None,
    };
    let (fraction, zone) = parse_fraction(rest)?;
    Some(days * DAY + time + fraction - parse_zone(zone)?)
}

/// Reads a Date (XEP-0082 §3.1), `CCYY-MM-DD`, as the milliseconds of its first moment in UTC.
pub fn parse_date(text: &str) -> Option<i64> {
    parse_date_bytes(text.as_bytes()).map(|days| days * DAY)
}

/// Writes a DateTime in UTC with milliseconds, of milliseconds since 1970. Years over 9999, which
/// the format cannot carry, become the last that it can.
pub fn format(millis: u64) -> String {
    let millis = millis.min(LAST);
    format!("{}.{:03}Z", &format_seconds(millis)[..19], millis % 1_000)
}

/// The same without a fraction, for formats that carry seconds.
pub fn format_seconds(millis: u64) -> String {
    let seconds = millis.min(LAST) / 1_000;
    let (days, second) = ((seconds / 86_400) as i64, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The last millisecond of the year 9999.
const LAST: u64 = 253_402_300_799_999;

fn parse_date_bytes(date: &[u8]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else {
        return None;
    };
    let year = number(&[*y1, *y2, *y3, *y4])?;
    let (month, day) = (number(&[*m1, *m2])?, number(&[*d1, *d2])?);
    let is_sound = year > 0 && (1..=12).contains(&month) && day > 0 && day <= length(year, month);
    is_sound.then(|| days(year, month, day))
}

fn parse_fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = rest.strip_prefix(b".") else {
        return Some((0, rest));
    };
    let count = digits
        .iter()
        .take_while(|digit| digit.is_ascii_digit())
        .count();
    let place = |at: usize| {
        if at < count {
            i64::from(digits[at] - b'0')
        } else {
            0
        }
    };
    let millis = place(0) * 100 + place(1) * 10 + place(2);
    (count > 0).then_some((millis, &digits[count..]))
}

/// The offset of a zone from UTC in milliseconds: `Z` or up to 14 hours (XML Schema 2 §3.2.7.3).
fn parse_zone(zone: &[u8]) -> Option<i64> {
    let (sign, h1, h2, m1, m2) = match zone {
        b"Z" => return Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => (*sign, *h1, *h2, *m1, *m2),
        _ => return None,
    };
    let (hours, minutes) = (number(&[h1, h2])?, number(&[m1, m2])?);
    let total = hours * 60 + minutes;
    let is_sound = minutes < 60 && total <= 14 * 60;
    is_sound.then_some(if sign == b'-' { -total } else { total } * 60_000)
}

fn number(digits: &[u8]) -> Option<i64> {
    let mut value = 0;
    for digit in digits {
        value = value * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    Some(value)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn length(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let past = year - 1;
    let leaps = past / 4 - past / 100 + past / 400;
    let months: i64 = (1..month).map(|month| length(year, month)).sum();
    // 719,162 days lie between 0001-01-01 and 1970-01-01.
    past * 365 + leaps + months + day - 1 - 719_162
}

/// The date of a number of days since 1970-01-01.
fn civil(number: i64) -> (i64, i64, i64) {
    // A guess that is never too late; 400 years have 146,097 days.
    let mut year = 1 + (number + 719_162) * 400 / 146_097;
    while days(year, 1, 1) > number {
        year -= 1;
    }
    while days(year + 1, 1, 1) <= number {
        year += 1;
    }
    let mut day = number - days(year, 1, 1);
    let mut month = 1;
    while day >= length(year, month) {
        day -= length(year, month);
        month += 1;
    }
    (year, month, day + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_moments() {
        let rows = [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-07-21T02:56:15Z", -14_159_025_000),
            ("1969-07-20T21:56:15-05:00", -14_159_025_000),
            ("2000-02-29T23:59:59.999Z", 951_868_799_999),
            ("2000-02-29T23:59:59.9999999Z", 951_868_799_999),
            ("2024-01-01T05:30:00+05:30", 1_704_067_200_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ];
        for (text, millis) in rows {
            assert_eq!(parse(text), Some(millis), "{text}");
        }
        assert_eq!(parse_date("1776-07-04"), parse("1776-07-04T00:00:00Z"));
        assert_eq!(format(951_868_799_999), "2000-02-29T23:59:59.999Z");
        assert_eq!(format_seconds(951_868_799_999), "2000-02-29T23:59:59Z");
        assert_eq!(format(u64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn hostile_moments() {
        let long = format!("2024-01-01T00:00:00.{}Z", "9".repeat(1_000_000));
        let rows = [
            "",
            "-1",
            "9999999999-01-01T00:00:00Z",
            "2016-12-31T23:59:60Z",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-00-01T00:00:00Z",
            "2023-01-00T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:60:00Z",
            "2023-01-01T00:00:00",
            "2023-01-01T00:00:00.Z",
            "2023-01-01T00:00:00+15:00",
            "2023-01-01T00:00:00+00:60",
            "2023-01-01T00:00:00ZZ",
            "2023-01-01 00:00:00Z",
            "20230101T00:00:00Z..",
            "２０２３-01-01T00:00:00Z",
            "2023-01-01T00:00:00ä",
            &long,
        ];
        for text in rows {
            assert_eq!(parse(text), None, "{text:.40}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(millis in 0u64..=253_402_300_799_999) {
            prop_assert_eq!(parse(&format(millis)), Some(millis as i64));
        }

        #[test]
        fn nothing_makes_it_panic(text in "[0-9TZ:+.\\-ä]{0,70}") {
            let _ = parse(&text);
            let _ = parse_date(&text);
        }
    }
}
