//! Lua's patterns, as far as schemas use them: classes, sets, repetitions, anchors.

/// Whether `pattern` matches somewhere in `text`.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (anchored, pattern) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    if anchored {
        return here(pattern, text);
    }
    (0..=text.len()).any(|from| here(pattern, &text[from..]))
}

fn here(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => return true,
        [b'$'] => return text.is_empty(),
        _ => {}
    }
    let item = item_len(pattern);
    let (one, rest) = pattern.split_at(item);
    let is = |byte: u8| single(one, byte);
    match rest.first() {
        Some(b'*') => greedy(&is, &rest[1..], text, 0),
        Some(b'+') => greedy(&is, &rest[1..], text, 1),
        Some(b'-') => {
            let mut n = 0;
            loop {
                if here(&rest[1..], &text[n..]) {
                    return true;
                }
                if !text.get(n).is_some_and(|byte| is(*byte)) {
                    return false;
                }
                n += 1;
            }
        }
        Some(b'?') => {
            (text.first().is_some_and(|byte| is(*byte)) && here(&rest[1..], &text[1..]))
                || here(&rest[1..], text)
        }
        _ => text.first().is_some_and(|byte| is(*byte)) && here(rest, &text[1..]),
    }
}

fn greedy(is: &dyn Fn(u8) -> bool, rest: &[u8], text: &[u8], least: usize) -> bool {
    let most = text.iter().take_while(|byte| is(**byte)).count();
    (least..=most).rev().any(|n| here(rest, &text[n..]))
}

/// The length of the first item of a pattern.
fn item_len(pattern: &[u8]) -> usize {
    match pattern.first() {
        Some(b'%') => 2.min(pattern.len()),
        Some(b'[') => {
            let from = if pattern.get(1) == Some(&b'^') { 2 } else { 1 };
            // A bracket that stands first is a member of the set.
            let end = pattern.iter().skip(from + 1).position(|byte| *byte == b']');
            end.map_or(pattern.len(), |end| from + end + 2)
        }
        _ => 1,
    }
}

fn single(item: &[u8], byte: u8) -> bool {
    match item {
        [b'.'] => true,
        [b'%', class] => in_class(*class, byte),
        [b'[', b'^', set @ .., b']'] => !in_set(set, byte),
        [b'[', set @ .., b']'] => in_set(set, byte),
        [own] => *own == byte,
        _ => false,
    }
}

fn in_set(mut set: &[u8], byte: u8) -> bool {
    loop {
        set = match set {
            [] => return false,
            [b'%', class, rest @ ..] => {
                if in_class(*class, byte) {
                    return true;
                }
                rest
            }
            [from, b'-', to, rest @ ..] => {
                if (*from..=*to).contains(&byte) {
                    return true;
                }
                rest
            }
            [own, rest @ ..] => {
                if *own == byte {
                    return true;
                }
                rest
            }
        };
    }
}

fn in_class(class: u8, byte: u8) -> bool {
    let is = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace(),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        _ => return class == byte,
    };
    is != class.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_of_the_schemas_match_as_in_lua() {
        let prefix = "^[a-z][a-z%d-]-[a-z%d]+$";
        assert!(matches(prefix, "plant-env") && !matches(prefix, "Plant") && !matches(prefix, "a"));
        assert!(matches("^%u+$", "GET") && !matches("^%u+$", "Get"));
        assert!(matches("//", "/a//b") && !matches("//", "/a/b"));
        let one_star = "^[^*]*%*?[^*]*$";
        assert!(matches(one_star, "*.a.b") && !matches(one_star, "*.a.*"));
        assert!(matches("^%*%.", "*.a") && matches("%.%*$", "a.*") && !matches("^%*%.", "a.*"));
        assert!(matches("%w*%p*@+%w*%.?%w*", "me@example.com"));
        assert!(!matches("%w*%p*@+%w*%.?%w*", "me"));
    }
}
