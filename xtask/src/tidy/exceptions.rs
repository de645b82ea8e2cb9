//! The list of places that may break a rule, each with how much: it may only shrink.

use super::Finding;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What xtask/tidy-exceptions.txt says.
#[derive(Debug)]
pub(super) struct Exceptions {
    /// The comment lines at the top, kept when the list is written again.
    preface: Vec<String>,
    /// By rule and path: the amount allowed.
    allowed: BTreeMap<(String, String), usize>,
}

impl Exceptions {
    /// Reads `rule path amount` lines; `#` starts a comment line. The line that makes no sense is
    /// the error.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut preface = Vec::new();
        let mut allowed = BTreeMap::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if line.starts_with('#') {
                preface.push(line.to_owned());
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let [rule, path, amount] = words[..] else {
                return Err(line.to_owned());
            };
            let amount: usize = amount.parse().map_err(|_| line.to_owned())?;
            let key = (rule.to_owned(), path.to_owned());
            if allowed.insert(key, amount).is_some() {
                return Err(line.to_owned());
            }
        }
        Ok(Self { preface, allowed })
    }

    /// Every complaint that remains: findings beyond what is allowed, and entries that allow too
    /// much.
    pub(super) fn judge(&self, findings: &[Finding]) -> Vec<String> {
        let totals = totals(findings);
        let mut complaints = Vec::new();
        for finding in findings {
            let key = key(finding);
            let allowed = self.allowed.get(&key).copied().unwrap_or(0);
            if totals.get(&key).copied().unwrap_or(0) > allowed {
                let Finding {
                    rule,
                    path,
                    line,
                    message,
                    ..
                } = finding;
                complaints.push(format!("{path}:{line}: {rule}: {message}"));
            }
        }
        for ((rule, path), allowed) in &self.allowed {
            let key = (rule.clone(), path.clone());
            let actual = totals.get(&key).copied().unwrap_or(0);
            if actual < *allowed {
                complaints.push(format!(
                    "{path}: {rule}: {allowed} allowed, {actual} there: cargo xtask tidy --shrink"
                ));
            }
        }
        complaints
    }

    /// The list with every entry lowered to what is there; nothing is added or raised.
    pub(super) fn shrunk_to(&self, findings: &[Finding]) -> Self {
        let totals = totals(findings);
        let mut allowed = self.allowed.clone();
        for (key, amount) in &mut allowed {
            *amount = (*amount).min(totals.get(key).copied().unwrap_or(0));
        }
        allowed.retain(|_, amount| *amount > 0);
        Self {
            preface: self.preface.clone(),
            allowed,
        }
    }

    /// The list as a file.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        for line in &self.preface {
            text.push_str(line);
            text.push('\n');
        }
        for ((rule, path), amount) in &self.allowed {
            // Writing to a String can not fail.
            let _ = writeln!(text, "{rule} {path} {amount}");
        }
        text
    }
}

fn key(finding: &Finding) -> (String, String) {
    (finding.rule.to_owned(), finding.path.clone())
}

fn totals(findings: &[Finding]) -> BTreeMap<(String, String), usize> {
    let mut totals = BTreeMap::new();
    for finding in findings {
        *totals.entry(key(finding)).or_insert(0) += finding.amount;
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::{Exceptions, Finding};

    fn finding(amount: usize) -> Finding {
        Finding {
            rule: "clock",
            path: "a.rs".to_owned(),
            line: 3,
            amount,
            message: "why".to_owned(),
        }
    }

    fn list(text: &str) -> Exceptions {
        Exceptions::parse(text).expect("a well-formed list")
    }

    #[test]
    fn a_finding_without_an_entry_is_a_complaint() {
        let complaints = list("# nothing\n").judge(&[finding(1)]);
        assert_eq!(complaints, ["a.rs:3: clock: why"]);
    }

    #[test]
    fn an_entry_of_the_same_amount_allows() {
        assert!(
            list("clock a.rs 2\n")
                .judge(&[finding(1), finding(1)])
                .is_empty()
        );
    }

    #[test]
    fn one_finding_more_than_allowed_shows_all_of_them() {
        assert_eq!(
            list("clock a.rs 1\n")
                .judge(&[finding(1), finding(1)])
                .len(),
            2
        );
    }

    #[test]
    fn an_entry_that_allows_more_than_there_is_is_a_complaint() {
        assert_eq!(list("clock a.rs 2\n").judge(&[finding(1)]).len(), 1);
        assert_eq!(list("clock gone.rs 1\n").judge(&[]).len(), 1);
    }

    #[test]
    fn shrinking_lowers_drops_and_never_raises() {
        let before = list("# why\nclock a.rs 9\nclock gone.rs 1\n");
        assert_eq!(
            before.shrunk_to(&[finding(4)]).to_text(),
            "# why\nclock a.rs 4\n"
        );
        let before = list("clock a.rs 2\n");
        assert_eq!(before.shrunk_to(&[finding(4)]).to_text(), "clock a.rs 2\n");
    }

    #[test]
    fn lines_that_make_no_sense_are_errors() {
        for bad in [
            "clock a.rs",
            "clock a.rs x",
            "clock a.rs 1 2",
            "a b 1\na b 2",
        ] {
            assert!(Exceptions::parse(bad).is_err(), "{bad:?}");
        }
    }
}
