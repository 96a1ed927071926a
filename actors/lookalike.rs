//! Names that are easily taken for each other (attacks H16).
//!
//! Newcomers have names of ASCII only; other scripts come from administrators, so the table holds
//! the letters that pass for Latin ones and not all of UTS 39.

/// Letters of other scripts, and digits, that pass for a Latin letter.
const DOUBLES: &[(char, &str)] = &[
    ('a', "4àáâãäåāăąαа"),
    ('b', "8ьвβ"),
    ('c', "çćĉċčсϲ"),
    ('d', "ďđԁ"),
    ('e', "3èéêëēĕėęěеёєε"),
    ('f', "ƒ"),
    ('g', "9ğĝġģɡԍ"),
    ('h', "ĥħһн"),
    ('j', "ĵјϳ"),
    ('k', "ķкκ"),
    ('l', "1iìíîïĩīĭįıĺļľłіїιӏ|"),
    ('m', "мμ"),
    ('n', "ñńņňпη"),
    ('o', "0òóôõöøōŏőоοσө"),
    ('p', "рρ"),
    ('q', "ԛ"),
    ('r', "ŕŗřгѓ"),
    ('s', "5śŝşšѕ"),
    ('t', "7ţťŧтτ"),
    ('u', "ùúûüũūŭůűųυ"),
    ('v', "ѵν"),
    ('w', "ŵԝшωѡ"),
    ('x', "хχ"),
    ('y', "ýÿŷуүγ"),
    ('z', "2źżžζ"),
];

/// A name without what the eye passes over: case, marks between and above letters, and characters
/// drawn like others. Two names with one skeleton look alike.
pub fn skeleton(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '.' | '-' | '_'));
    letters
        .flat_map(char::to_lowercase)
        .map(|c| {
            let double = DOUBLES.iter().find(|(_, doubles)| doubles.contains(c));
            double.map_or(c, |(letter, _)| *letter)
        })
        .collect::<String>()
        .replace("rn", "m")
        .replace("vv", "w")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_alike_has_one_skeleton() {
        for (one, other) in [
            ("bill", "b1ll"),
            ("bill", "BiIl"),
            ("bob", "b.o-b_"),
            ("bob", "bоb"),
            ("bob", "8o8"),
            ("modern", "modem"),
            ("vvendy", "wendy"),
            ("josé", "jose"),
            ("аnnа", "anna"),
        ] {
            assert_eq!(skeleton(one), skeleton(other), "{one} {other}");
        }
    }

    #[test]
    fn what_does_not_look_alike_has_not() {
        for (one, other) in [
            ("ann", "anna"),
            ("bob", "rob"),
            ("tim", "tom"),
            ("анна", "ольга"),
        ] {
            assert_ne!(skeleton(one), skeleton(other), "{one} {other}");
        }
    }

    #[test]
    fn every_character_has_one_double() {
        let all: Vec<char> = DOUBLES
            .iter()
            .flat_map(|(_, doubles)| doubles.chars())
            .collect();
        let mut single = all.clone();
        single.sort_unstable();
        single.dedup();
        assert_eq!(single.len(), all.len());
        // No chain: a double is no Latin letter that stands for others, but for `i`.
        let is_letter = |c: &char| DOUBLES.iter().any(|(letter, _)| letter == c);
        assert!(!all.iter().any(is_letter));
    }
}
