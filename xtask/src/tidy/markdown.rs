//! Reading Markdown as far as the checks need it: fenced blocks of code, and the text around them.
//!
//! Only fences of backticks at the beginning of a line, which is what the project's pages use.

/// A fenced block of code.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block<'a> {
    /// The line of its opening fence, from 1.
    pub(super) line: usize,
    /// What follows the opening fence: the language and its attributes.
    pub(super) info: &'a str,
    /// The lines inside.
    pub(super) lines: Vec<&'a str>,
    /// The line before the opening fence.
    pub(super) before: &'a str,
}

/// All fenced blocks of a page, in their order. One that is not closed ends with the page.
pub(super) fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut is_inside = false;
    let mut before = "";
    for (index, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), is_inside) {
            (Some(info), false) => {
                is_inside = true;
                blocks.push(Block {
                    line: index + 1,
                    info: info.trim(),
                    lines: Vec::new(),
                    before,
                });
            }
            (Some(_), true) => is_inside = false,
            (None, true) => {
                if let Some(block) = blocks.last_mut() {
                    block.lines.push(line);
                }
            }
            (None, false) => {}
        }
        before = line;
    }
    blocks
}

/// Where the links and pictures of a page lead, with their lines; not those inside code.
pub(super) fn links(page: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    let mut is_inside = false;
    for (index, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            is_inside = !is_inside;
        }
        if is_inside {
            continue;
        }
        // Every second piece is inside backticks.
        let text = line.split('`').step_by(2);
        for piece in text {
            let targets = piece.split("](").skip(1);
            let targets = targets.filter_map(|rest| rest.split_once(')'));
            links.extend(targets.map(|(target, _)| (index + 1, target)));
        }
    }
    links
}

/// What links to the headings of a page end with, as mdBook and GitHub make it of their text; a
/// heading that there is twice gets a number the second time.
pub(super) fn anchors(page: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            is_inside = !is_inside;
        }
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        if is_inside || !(1..=6).contains(&level) || !title.starts_with(' ') {
            continue;
        }
        let anchor = anchor(title.trim());
        let earlier = |there: &String| {
            let number = there
                .strip_prefix(&anchor)
                .and_then(|rest| rest.strip_prefix('-'));
            *there == anchor || number.is_some_and(|number| number.parse::<u32>().is_ok())
        };
        match anchors.iter().filter(|there| earlier(there)).count() {
            0 => anchors.push(anchor),
            count => anchors.push(format!("{anchor}-{count}")),
        }
    }
    anchors
}

fn anchor(title: &str) -> String {
    let mut anchor = String::new();
    let mut is_target = false;
    for (at, c) in title.char_indices() {
        // Where a link in the heading leads is no part of its text.
        is_target = (is_target && c != ')') || (c == '(' && title[..at].ends_with(']'));
        match c {
            _ if is_target => {}
            ' ' => anchor.push('-'),
            c if c.is_alphanumeric() || c == '_' || c == '-' => anchor.extend(c.to_lowercase()),
            _ => {}
        }
    }
    anchor
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "text
<!-- note -->
```rust,ignore
let a = 1;

```
[a](b.md) `[c](d.md)`
```sh
[e](f.md)
```
![g](h.svg)
";

    #[test]
    fn blocks_have_their_lines_and_what_stands_before() {
        let blocks = blocks(PAGE);
        assert_eq!(blocks.len(), 2);
        assert_eq!(
            blocks[0],
            Block {
                line: 3,
                info: "rust,ignore",
                lines: vec!["let a = 1;", ""],
                before: "<!-- note -->",
            }
        );
        assert_eq!((blocks[1].info, blocks[1].line), ("sh", 8));
    }

    #[test]
    fn links_inside_code_are_none() {
        assert_eq!(links(PAGE), [(7, "b.md"), (11, "h.svg")]);
    }

    #[test]
    fn headings_have_anchors() {
        let page = "# A page, `of_code`\n## S1: 1,000 sessions\n```sh\n# none\n```\n#none\n\
                    ## [Linked](a.md) part\n## S1: 1,000 sessions\n";
        assert_eq!(
            anchors(page),
            [
                "a-page-of_code",
                "s1-1000-sessions",
                "linked-part",
                "s1-1000-sessions-1"
            ]
        );
    }
}
