//! Regular expressions of routes, as far as they are used: literals, classes, groups, alternatives,
//! repetitions. Matched from the beginning of a path, as Kong does.

#[derive(Debug)]
enum Item {
    /// One character of these ranges, or of all others.
    Set {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
    Group(Vec<Vec<Piece>>),
    End,
}

#[derive(Debug)]
struct Piece {
    item: Item,
    least: usize,
    most: usize,
}

/// Whether the expression matches from the beginning of the text. One that is not understood matches
/// nothing.
pub(super) fn starts(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.trim_start_matches('^').chars().collect();
    let mut at = 0;
    let Some(all) = alternatives(&pattern, &mut at).filter(|_| at == pattern.len()) else {
        return false;
    };
    let text: Vec<char> = text.chars().collect();
    all.iter().any(|one| sequence(one, &text, 0, &mut |_| true))
}

fn alternatives(pattern: &[char], at: &mut usize) -> Option<Vec<Vec<Piece>>> {
    let mut all = vec![Vec::new()];
    while let Some(c) = pattern.get(*at) {
        match c {
            ')' => break,
            '|' => {
                *at += 1;
                all.push(Vec::new());
            }
            _ => {
                let item = item(pattern, at)?;
                let (least, most) = repeats(pattern, at)?;
                all.last_mut()?.push(Piece { item, least, most });
            }
        }
    }
    Some(all)
}

fn item(pattern: &[char], at: &mut usize) -> Option<Item> {
    let c = *pattern.get(*at)?;
    *at += 1;
    let set = |ranges: Vec<(char, char)>| Item::Set { ranges, negated: false };
    Some(match c {
        '.' => Item::Set { ranges: Vec::new(), negated: true },
        '$' => Item::End,
        '\\' => {
            let c = *pattern.get(*at)?;
            *at += 1;
            set(escape(c))
        }
        '[' => {
            let negated = pattern.get(*at) == Some(&'^');
            *at += usize::from(negated);
            let mut ranges = Vec::new();
            loop {
                let c = *pattern.get(*at)?;
                *at += 1;
                match c {
                    ']' => break,
                    '\\' => {
                        ranges.extend(escape(*pattern.get(*at)?));
                        *at += 1;
                    }
                    first => {
                        let dash = pattern.get(*at) == Some(&'-');
                        match pattern.get(*at + 1).filter(|last| dash && **last != ']') {
                            Some(last) => {
                                ranges.push((first, *last));
                                *at += 2;
                            }
                            None => ranges.push((first, first)),
                        }
                    }
                }
            }
            Item::Set { ranges, negated }
        }
        '(' => {
            if pattern.get(*at) == Some(&'?') {
                let ends = |c: &char| matches!(c, ':' | '>');
                *at += pattern[*at..].iter().position(ends)? + 1;
            }
            let all = alternatives(pattern, at)?;
            *at += 1;
            (pattern.get(*at - 1) == Some(&')')).then_some(Item::Group(all))?
        }
        '*' | '+' | '?' | '{' | ')' => return None,
        c => set(vec![(c, c)]),
    })
}

fn escape(c: char) -> Vec<(char, char)> {
    match c {
        'd' => vec![('0', '9')],
        'w' => vec![('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')],
        's' => vec![(' ', ' '), ('\t', '\t')],
        c => vec![(c, c)],
    }
}

fn repeats(pattern: &[char], at: &mut usize) -> Option<(usize, usize)> {
    let found = match pattern.get(*at) {
        Some('*') => (0, usize::MAX),
        Some('+') => (1, usize::MAX),
        Some('?') => (0, 1),
        Some('{') => {
            let end = *at + pattern[*at..].iter().position(|c| *c == '}')?;
            let text: String = pattern[*at + 1..end].iter().collect();
            *at = end;
            match text.split_once(',') {
                None => (text.parse().ok()?, text.parse().ok()?),
                Some((least, "")) => (least.parse().ok()?, usize::MAX),
                Some((least, most)) => (least.parse().ok()?, most.parse().ok()?),
            }
        }
        _ => return Some((1, 1)),
    };
    *at += 1;
    *at += usize::from(matches!(pattern.get(*at), Some('?' | '+')));
    Some(found)
}

type Then<'a> = &'a mut dyn FnMut(usize) -> bool;

fn sequence(pieces: &[Piece], text: &[char], at: usize, then: Then<'_>) -> bool {
    let Some((piece, rest)) = pieces.split_first() else { return then(at) };
    repeat(piece, 0, text, at, &mut |at| sequence(rest, text, at, then))
}

/// As often as it goes, then less.
fn repeat(piece: &Piece, done: usize, text: &[char], at: usize, then: Then<'_>) -> bool {
    let more = done < piece.most
        && once(&piece.item, text, at, &mut |next| {
            (next > at || done < piece.least) && repeat(piece, done + 1, text, next, then)
        });
    more || done >= piece.least && then(at)
}

fn once(item: &Item, text: &[char], at: usize, then: Then<'_>) -> bool {
    match item {
        Item::End => at == text.len() && then(at),
        Item::Set { ranges, negated } => {
            let fits = |c: &char| ranges.iter().any(|(a, b)| (a..=b).contains(&c)) != *negated;
            text.get(at).is_some_and(fits) && then(at + 1)
        }
        Item::Group(all) => all.iter().any(|one| sequence(one, text, at, then)),
    }
}

#[cfg(test)]
mod tests {
    use super::starts;

    #[test]
    fn paths_match_as_people_read_them() {
        for (pattern, text) in [
            (r"/orders/\d+$", "/orders/17"),
            ("/v[12]/(?<id>[a-z-]{3})", "/v2/a-b/more"),
            ("/(?:a|bc)+/x?", "/abca/"),
            ("/.*/end$", "/1/2/end"),
            ("^/a", "/a"),
        ] {
            assert!(starts(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            (r"/orders/\d+$", "/orders/x"),
            ("/v[12]/(?<id>[a-z-]{3})", "/v3/a-b"),
            ("/[^x]", "/x"),
            ("/a$", "/ab"),
            ("/b", "/a/b"),
            ("/(", "/"),
        ] {
            assert!(!starts(pattern, text), "{pattern} {text}");
        }
    }
}
