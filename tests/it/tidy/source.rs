//! Just enough reading of Rust to measure it: literals and comments blanked out, functions found
//! by their braces.

/// The text with the insides of strings, characters and comments blanked; lines stay lines.
pub fn strip(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => comment_end(&chars, at),
            '"' => string_end(&chars, at + 1),
            'r' if starts_word(&chars, at) => raw_end(&chars, at).unwrap_or(at),
            '\'' => character_end(&chars, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(
                chars[at..end]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    out
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..]
        .iter()
        .position(|c| *c == '\n')
        .map_or(chars.len(), |n| at + n)
}

fn comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut i = at;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    i
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn starts_word(chars: &[char], at: usize) -> bool {
    // `br"…"` is a raw string too.
    let before = match at.checked_sub(1).map(|i| chars[i]) {
        Some('b') => at.checked_sub(2).map(|i| chars[i]),
        other => other,
    };
    before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
}

fn raw_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes = |i: usize| {
        chars[i] == '"' && chars[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes
    };
    let end = (open + 1..chars.len()).find(|i| closes(*i))?;
    Some(end + 1 + hashes)
}

/// The end of a character literal; None for a lifetime.
fn character_end(chars: &[char], at: usize) -> Option<usize> {
    match (chars.get(at + 1)?, chars.get(at + 2)?) {
        ('\\', _) => {
            let end = chars[at + 3..].iter().position(|c| *c == '\'')?;
            Some(at + 3 + end + 1)
        }
        (_, '\'') => Some(at + 3),
        _ => None,
    }
}

/// Lines outside `#[cfg(test)] mod tests { … }`, and lines of it.
pub fn without_tests(text: &str) -> (usize, usize) {
    let lines: Vec<&str> = text.lines().collect();
    let start = lines
        .windows(2)
        .position(|pair| pair[0].starts_with("#[cfg(test)]") && pair[1].starts_with("mod tests {"));
    match start {
        Some(start) => (start, lines.len() - start),
        None => (lines.len(), 0),
    }
}

/// One function of a file.
pub struct Function {
    pub name: String,
    /// The line its signature begins on, from 1.
    pub line: usize,
    /// From there to the closing brace.
    pub length: usize,
    /// It is a table: nine of ten lines inside are rows of a `match` or of a list.
    pub rows: bool,
}

/// The functions with a body in code that went through `strip`.
pub fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(n) = code[from..].find("fn ") {
        let at = from + n;
        from = at + 3;
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let name: String = code[at + 3..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        let Some((open, close)) = body(code, at) else {
            continue;
        };
        if name.is_empty() {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let length = code[at..close].matches('\n').count() + 1;
        found.push(Function {
            name,
            line,
            length,
            rows: is_table(&code[open..close]),
        });
    }
    found
}

/// Where the braces of the function at `at` open and close; None without a body.
fn body(code: &str, at: usize) -> Option<(usize, usize)> {
    let mut brackets = 0i32;
    let mut braces = 0;
    let mut open = None;
    for (i, c) in code[at..].char_indices() {
        match c {
            '(' | '[' if open.is_none() => brackets += 1,
            ')' | ']' if open.is_none() => brackets -= 1,
            ';' if open.is_none() && brackets == 0 => return None,
            '{' => {
                open = open.or(Some(at + i));
                braces += 1;
            }
            '}' => {
                braces -= 1;
                if braces == 0 {
                    return open.map(|open| (open, at + i + 1));
                }
            }
            _ => {}
        }
    }
    None
}

fn is_table(body: &str) -> bool {
    let lines: Vec<&str> = body
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let row = |line: &&&str| line.ends_with(',') && (line.contains("=>") || line.starts_with('('));
    lines.iter().filter(row).count() * 10 >= lines.len() * 9
}
