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
}
