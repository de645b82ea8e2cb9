//! Rust source with comments and literals blanked, so that rules see code alone.
//!
//! Every character keeps its place and every line its end: a position found in the blanked text is
//! the position in the file. It is a lexer for well-formed source, not a parser; the compiler
//! judges the rest.

/// The source with comments, strings and character literals replaced by spaces.
pub(super) fn blank_comments_and_literals(source: &str) -> String {
    let text: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < text.len() {
        match skipped_from(&text, at) {
            Some(end) => {
                let skipped = &text[at..end];
                code.extend(skipped.iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
                at = end;
            }
            None => {
                code.push(text[at]);
                at += 1;
            }
        }
    }
    code
}

/// Whether a character may stand in an identifier.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where the comment or literal that starts at `at` ends, if one starts there.
fn skipped_from(text: &[char], at: usize) -> Option<usize> {
    match text[at] {
        '/' if text.get(at + 1) == Some(&'/') => Some(line_end(text, at)),
        '/' if text.get(at + 1) == Some(&'*') => Some(block_comment_end(text, at)),
        '"' => Some(string_end(text, at)),
        'r' => raw_string_end(text, at),
        '\'' => character_end(text, at),
        _ => None,
    }
}

fn line_end(text: &[char], at: usize) -> usize {
    find(text, at, '\n').unwrap_or(text.len())
}

/// Block comments nest.
fn block_comment_end(text: &[char], at: usize) -> usize {
    let mut depth = 0usize;
    let mut here = at;
    while here < text.len() {
        match (text[here], text.get(here + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                here += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                here += 2;
                if depth == 0 {
                    return here;
                }
            }
            _ => here += 1,
        }
    }
    text.len()
}

fn string_end(text: &[char], at: usize) -> usize {
    let mut here = at + 1;
    while here < text.len() {
        match text[here] {
            '\\' => here += 2,
            '"' => return here + 1,
            _ => here += 1,
        }
    }
    text.len()
}

/// `r"..."`, `r#"..."#` and so on; an `r` at the end of a longer word opens nothing, `br` and `cr`
/// do.
fn raw_string_end(text: &[char], at: usize) -> Option<usize> {
    let prefix = at.checked_sub(1).map(|before| text[before]);
    let before_prefix = at.checked_sub(2).map(|before| text[before]);
    let starts = match prefix {
        Some('b' | 'c') => !before_prefix.is_some_and(is_word),
        Some(other) => !is_word(other),
        None => true,
    };
    let hashes = text[at + 1..].iter().take_while(|c| **c == '#').count();
    if !starts || text.get(at + 1 + hashes) != Some(&'"') {
        return None;
    }
    let mut here = at + 2 + hashes;
    while let Some(quote) = find(text, here, '"') {
        here = quote + 1;
        let closing = text[here..].iter().take(hashes);
        if closing.filter(|c| **c == '#').count() == hashes {
            return Some(here + hashes);
        }
    }
    Some(text.len())
}

/// `'x'` and `'\n'` are literals, `'a` is a lifetime.
fn character_end(text: &[char], at: usize) -> Option<usize> {
    match text.get(at + 1)? {
        '\\' => find(text, at + 3, '\'').map(|quote| quote + 1),
        _ if text.get(at + 2) == Some(&'\'') => Some(at + 3),
        _ => None,
    }
}

fn find(text: &[char], from: usize, wanted: char) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.iter().position(|c| *c == wanted).map(|n| from + n)
}

#[cfg(test)]
mod tests {
    use super::blank_comments_and_literals;

    fn blanked(source: &str) -> String {
        let code = blank_comments_and_literals(source);
        assert_eq!(code.chars().count(), source.chars().count());
        assert_eq!(code.lines().count(), source.lines().count());
        code
    }

    #[test]
    fn comments_vanish_and_code_stays() {
        assert_eq!(blanked("a // b\nc").trim_end(), "a     \nc");
        assert_eq!(blanked("a /* b /* c */ d */ e"), "a                   e");
    }

    #[test]
    fn strings_vanish_with_what_looks_like_code_in_them() {
        assert_eq!(blanked(r#"f("} // \" {") + 1"#), "f(           ) + 1");
        assert_eq!(blanked(r###"f(r#"a"b"#) + 1"###), "f(        ) + 1");
        assert_eq!(blanked(r#"f(br"\") + 1"#), "f(b    ) + 1");
    }

    #[test]
    fn a_word_that_ends_in_r_opens_no_raw_string() {
        assert_eq!(blanked("var(\"x\")"), "var(   )");
    }

    #[test]
    fn characters_vanish_and_lifetimes_stay() {
        assert_eq!(blanked("x('{') '\\'' &'a str"), "x(   )      &'a str");
    }

    #[test]
    fn an_unfinished_string_ends_with_the_file() {
        assert_eq!(blanked("a \"b\\"), "a    ");
    }
}
