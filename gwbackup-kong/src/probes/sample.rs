//! A text that a simple regular expression matches.

/// A path that fits the pattern from its beginning; nothing for what is beyond literals, classes,
/// groups, alternatives and repetitions.
pub(super) fn sample(pattern: &str) -> Option<String> {
    let mut rest: Vec<char> = pattern.trim_start_matches('^').chars().rev().collect();
    let mut out = String::new();
    alternative(&mut rest, &mut out, 0)?;
    (rest.is_empty() && out.starts_with('/')).then_some(out)
}

/// The first of alternatives, up to the end or the end of the group.
fn alternative(rest: &mut Vec<char>, out: &mut String, depth: u8) -> Option<()> {
    sequence(rest, out, depth)?;
    while rest.last() == Some(&'|') {
        rest.pop();
        sequence(rest, &mut String::new(), depth)?;
    }
    Some(())
}

fn sequence(rest: &mut Vec<char>, out: &mut String, depth: u8) -> Option<()> {
    if depth > 16 {
        return None;
    }
    while let Some(c) = rest.last().copied() {
        let mut one = String::new();
        match c {
            '|' | ')' => return Some(()),
            '(' => {
                rest.pop();
                group(rest, &mut one, depth)?;
            }
            '[' => {
                rest.pop();
                one.push(class(rest)?);
            }
            '\\' => {
                rest.pop();
                one.push(escaped(rest.pop()?)?);
            }
            '$' => {
                rest.pop();
                continue;
            }
            '^' | '*' | '+' | '?' | '{' => return None,
            '.' => {
                rest.pop();
                one.push('x');
            }
            c => {
                rest.pop();
                one.push(c);
            }
        }
        out.push_str(&one.repeat(times(rest)?));
    }
    Some(())
}

fn group(rest: &mut Vec<char>, out: &mut String, depth: u8) -> Option<()> {
    if rest.last() == Some(&'?') {
        rest.pop();
        match rest.pop()? {
            ':' => {}
            // A name; a look ahead or back is more than a sample can do.
            '<' if !matches!(rest.last()?, '=' | '!') => while rest.pop()? != '>' {},
            'P' => while rest.pop()? != '>' {},
            _ => return None,
        }
    }
    alternative(rest, out, depth + 1)?;
    (rest.pop()? == ')').then_some(())
}

/// A member of a class that is not negated; of a negated one a letter, digit or dash not in it.
fn class(rest: &mut Vec<char>) -> Option<char> {
    let negated = rest.last() == Some(&'^');
    if negated {
        rest.pop();
    }
    let mut ranges = Vec::new();
    loop {
        let first = match rest.pop()? {
            ']' => break,
            '\\' => match rest.pop()? {
                'd' => {
                    ranges.push(('0', '9'));
                    continue;
                }
                'w' => {
                    ranges.push(('a', 'z'));
                    ranges.push(('0', '9'));
                    continue;
                }
                c if c.is_ascii_alphanumeric() => return None,
                c => c,
            },
            c => c,
        };
        if rest.last() == Some(&'-') && rest.get(rest.len().checked_sub(2)?) != Some(&']') {
            rest.pop();
            ranges.push((first, rest.pop()?));
        } else {
            ranges.push((first, first));
        }
    }
    if !negated {
        return ranges.first().map(|(first, _)| *first);
    }
    "x1-".chars().find(|c| !ranges.iter().any(|(a, b)| (a..=b).contains(&c)))
}

fn escaped(c: char) -> Option<char> {
    match c {
        'd' => Some('1'),
        'w' => Some('x'),
        c if c.is_ascii_alphanumeric() => None,
        c => Some(c),
    }
}

/// How often what came before is repeated, at least.
fn times(rest: &mut Vec<char>) -> Option<usize> {
    let times = match rest.last() {
        Some('+') => 1,
        Some('*' | '?') => 0,
        Some('{') => {
            let mut number = String::new();
            rest.pop();
            while let Some(digit) = rest.last().filter(|c| c.is_ascii_digit()) {
                number.push(*digit);
                rest.pop();
            }
            while *rest.last()? != '}' {
                rest.pop();
            }
            number.parse().ok().filter(|n| *n <= 64)?
        }
        _ => return Some(1),
    };
    rest.pop();
    // Lazy or possessive: the sample is the same.
    if matches!(rest.last(), Some('?' | '+')) {
        rest.pop();
    }
    Some(times)
}

#[cfg(test)]
mod tests {
    use super::sample;

    #[test]
    fn simple_patterns_have_a_path() {
        for (pattern, path) in [
            ("/orders", "/orders"),
            (r"^/orders/\d+$", "/orders/1"),
            (r"/v[12]/(?<id>[a-z0-9-]{3})/x?y*z+", "/v1/aaa/z"),
            ("/(?:a|b)/.+", "/a/x"),
            (r"/file\.json", "/file.json"),
            ("/[^/]+/end", "/x/end"),
            ("/a|/b", "/a"),
        ] {
            assert_eq!(sample(pattern).as_deref(), Some(path), "{pattern}");
        }
        for beyond in [r"/(?=x)x", r"/\bword", "/a{99}", "/open(", "/[open", "+", "x"] {
            assert_eq!(sample(beyond), None, "{beyond}");
        }
    }
}
