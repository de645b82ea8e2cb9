//! A listing of an API, what changed between two, and whether a version allows it. No I/O.

use std::collections::BTreeSet;
use std::fmt::Write;

/// A version, without what may follow its three numbers.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Version(u64, u64, u64);

impl Version {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let numbers = text.split(['-', '+']).next()?;
        let mut numbers = numbers.split('.').map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        Some(Self(next()?, next()?, next()?))
    }

    /// Whether cargo takes this one for `other`, if it is later.
    fn is_compatible_with(self, other: Self) -> bool {
        match (self, other) {
            (Self(0, 0, patch), Self(0, 0, theirs)) => patch == theirs,
            (Self(0, minor, _), Self(0, theirs, _)) => minor == theirs,
            (Self(major, ..), Self(theirs, ..)) => major == theirs,
        }
    }

    /// The first that is not compatible.
    const fn next_breaking(self) -> Self {
        match self {
            Self(0, 0, patch) => Self(0, 0, patch + 1),
            Self(0, minor, _) => Self(0, minor + 1, 0),
            Self(major, ..) => Self(major + 1, 0, 0),
        }
    }

    fn to_text(self) -> String {
        format!("{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The last version that a changelog has a heading for.
pub(super) fn released(changelog: &str) -> Option<Version> {
    let headings = changelog
        .lines()
        .filter_map(|line| line.strip_prefix("## ["));
    headings
        .filter_map(|rest| Version::parse(rest.split(']').next()?))
        .max()
}

/// What a library offered at one time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Listing {
    pub(super) library: String,
    pub(super) version: Version,
    /// One item a line, in an order that stays.
    pub(super) items: Vec<String>,
}

impl Listing {
    /// What was written; nothing of what is no listing.
    pub(super) fn parse(text: &str) -> Self {
        let head = text.lines().next().and_then(|line| line.strip_prefix("# "));
        let mut words = head.unwrap_or_default().split(' ');
        let library = words.next().unwrap_or_default().to_owned();
        let version = words.next().map(|word| word.trim_end_matches(':'));
        let version = version.and_then(Version::parse).unwrap_or_default();
        let items = text.lines().filter(|line| !line.starts_with("# "));
        Self {
            library,
            version,
            items: items.map(str::to_owned).collect(),
        }
    }

    pub(super) fn to_text(&self) -> String {
        let (library, version) = (&self.library, self.version.to_text());
        let mut text = format!("# {library} {version}: its public API, by `cargo xtask api`\n");
        for item in &self.items {
            text.push_str(item);
            text.push('\n');
        }
        text
    }
}

/// What one listing has and the other has not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Change {
    added: Vec<String>,
    removed: Vec<String>,
}

impl Change {
    pub(super) fn between(before: &Listing, now: &Listing) -> Self {
        let difference = |of: &Listing, without: &Listing| {
            let without: BTreeSet<_> = without.items.iter().collect();
            let of = of.items.iter().filter(|item| !without.contains(item));
            of.cloned().collect()
        };
        Self {
            added: difference(now, before),
            removed: difference(before, now),
        }
    }

    /// What changed, in words, then line by line.
    pub(super) fn to_text(&self, library: &str) -> String {
        let what = match (self.removed.len(), self.added.len()) {
            (0, 0) => "the same items, the version is another".to_owned(),
            (0, added) => format!("a minor change: {added} items were added"),
            (removed, added) => {
                format!("a major change: {removed} items were removed or changed, {added} added")
            }
        };
        let mut text = format!("{library}: {what}\n");
        let signs = [("-", &self.removed), ("+", &self.added)];
        for (sign, items) in signs {
            for item in items {
                // Writing to a String does not fail.
                let _ = writeln!(text, "  {sign} {item}");
            }
        }
        text
    }

    /// Why it must not be in `version` after what was `released`; before the first release
    /// everything may change.
    pub(super) fn refusal(&self, version: Version, released: Option<Version>) -> Option<String> {
        let released = released?;
        if self.removed.is_empty() || !version.is_compatible_with(released) {
            return None;
        }
        Some(format!(
            "{} was released, and cargo gives {} to whoever wants that: keep what was removed \
             (deprecated, for example), or make the version in Cargo.toml {}",
            released.to_text(),
            version.to_text(),
            released.next_breaking().to_text(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(version: &str, items: &[&str]) -> Listing {
        Listing {
            library: "fastport".into(),
            version: Version::parse(version).unwrap(),
            items: items.iter().map(|item| (*item).to_owned()).collect(),
        }
    }

    const BEFORE: [&str; 2] = ["pub fn fastport::a() -> u8", "pub mod fastport"];

    #[test]
    fn a_listing_is_read_as_it_was_written() {
        let written = listing("0.1.0", &BEFORE);
        assert_eq!(Listing::parse(&written.to_text()), written);
        assert_eq!(Listing::parse(""), Listing::default());
    }

    #[test]
    fn a_planted_removal_is_refused_until_the_version_is_another() {
        let before = listing("0.1.0", &BEFORE);
        let released = Version::parse("0.1.0");
        // A result that is another type, and a module that is gone.
        for planted in [
            &["pub fn fastport::a() -> u16", "pub mod fastport"][..],
            &BEFORE[..1],
        ] {
            let refusal = |version: &str, released| {
                let now = listing(version, planted);
                Change::between(&before, &now).refusal(now.version, released)
            };
            let said = refusal("0.1.0", released).expect("a refusal");
            assert!(
                said.contains("make the version in Cargo.toml 0.2.0"),
                "{said}"
            );
            assert!(
                refusal("0.1.1", released).is_some(),
                "0.1.1 is for users of 0.1.0"
            );
            assert_eq!(refusal("0.2.0", released), None);
            assert_eq!(refusal("0.1.0", None), None, "nothing was released");
        }
    }

    #[test]
    fn an_addition_is_told_from_a_removal() {
        let before = listing("1.0.0", &BEFORE);
        let more = [&BEFORE[..], &["pub struct fastport::B"]].concat();
        let change = Change::between(&before, &listing("1.0.0", &more));
        let text = change.to_text("fastport");
        assert_eq!(
            text,
            "fastport: a minor change: 1 items were added\n  + pub struct fastport::B\n"
        );
        assert_eq!(change.refusal(before.version, Some(before.version)), None);
        let change = Change::between(&before, &listing("1.0.0", &BEFORE[1..]));
        assert!(
            change
                .to_text("fastport")
                .contains("a major change: 1 items were removed")
        );
        assert!(
            change
                .to_text("fastport")
                .contains("  - pub fn fastport::a() -> u8\n")
        );
    }

    #[test]
    fn what_cargo_takes_for_the_same() {
        let compatible = |a, b| {
            let [a, b] = [a, b].map(|text| Version::parse(text).unwrap());
            a.is_compatible_with(b)
        };
        assert!(compatible("1.2.3", "1.0.0") && compatible("0.1.9", "0.1.0"));
        assert!(!compatible("2.0.0", "1.9.0") && !compatible("0.2.0", "0.1.0"));
        assert!(!compatible("0.0.2", "0.0.1") && !compatible("1.0.0", "0.9.0"));
    }

    #[test]
    fn releases_have_headings() {
        let changelog = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2027-01-01\n## [0.1.0]\n";
        assert_eq!(released(changelog), Version::parse("0.2.0"));
        assert_eq!(released("## [Unreleased]\n"), None);
    }
}
