//! Who may: the token, those who guess it, and the names by which this machine is called.

use crate::{AdminAddress, AdminError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// A secret that requests must know. It is never shown.
#[derive(Clone)]
pub struct Token(Vec<u8>);

impl Token {
    /// Characters that a token has at least.
    pub const LENGTH_MIN: usize = 16;

    /// Takes a token; white space around it does not count.
    ///
    /// # Errors
    /// When it is shorter than [`Token::LENGTH_MIN`].
    pub fn new(text: &str) -> Result<Self, AdminError> {
        let text = text.trim();
        if text.len() < Self::LENGTH_MIN {
            return Err(AdminError::TokenShort {
                length: text.len(),
                least: Self::LENGTH_MIN,
            });
        }
        Ok(Self(text.into()))
    }

    /// Reads a token from a file. Blocks.
    ///
    /// # Errors
    /// When the file can not be read, or its text is no token.
    pub fn from_file(path: &Path) -> Result<Self, AdminError> {
        let text = std::fs::read_to_string(path).map_err(|source| AdminError::File {
            what: "cannot read the admin token",
            path: path.display().to_string(),
            source,
        })?;
        Self::new(&text)
    }

    /// Whether `guess` is the token. Takes as long however much of it is right.
    fn is(&self, guess: &[u8]) -> bool {
        constant_time_eq::constant_time_eq(&self.0, guess)
    }

    /// The text, for a request's header.
    pub(crate) fn reveal(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What whoever knows a token may do.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// Read: metrics, status, sessions, bans.
    Viewer,
    /// And act: kick, message, ban, drain, reload, log.
    Operator,
}

impl Role {
    /// The role's name, as the audit log has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a request is from.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// The owner of the Unix socket.
    Owner,
    /// An address.
    Peer(IpAddr),
    /// A session of the game port.
    InBand(IpAddr),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner => f.write_str("unix socket"),
            Self::Peer(address) => write!(f, "{address}"),
            Self::InBand(address) => write!(f, "{address} (game port)"),
        }
    }
}

/// Why a request is not served.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Denied {
    /// No token, or the wrong one.
    Token,
    /// Too many wrong ones from there: not even looked at.
    Guessing,
}

/// Decides who may.
pub(crate) struct Access {
    operator: Option<Token>,
    viewer: Option<Token>,
    hosts: Vec<String>,
    guesses: Mutex<HashMap<IpAddr, Guesses>>,
}

#[derive(Copy, Clone)]
struct Guesses {
    wrong: u32,
    last: Instant,
}

/// So many wrong tokens from an address shut it out for [`SHUT_OUT`] after the last.
const WRONG_MAX: u32 = 5;
const SHUT_OUT: Duration = Duration::from_secs(30);
/// Addresses that are remembered. When it is full, all are forgotten that may try again.
const REMEMBERED_MAX: usize = 1024;

impl Access {
    /// `hosts` are further names of this machine, for `Host`.
    ///
    /// # Errors
    /// When both tokens are the same.
    pub(crate) fn new(
        operator: Option<Token>,
        viewer: Option<Token>,
        hosts: Vec<String>,
    ) -> Result<Self, AdminError> {
        if let (Some(operator), Some(viewer)) = (&operator, &viewer)
            && operator.is(&viewer.0)
        {
            return Err(AdminError::TokensAlike);
        }
        Ok(Self {
            operator,
            viewer,
            hosts,
            guesses: Mutex::default(),
        })
    }

    /// Whether there is any token: then all who are not the owner must know one.
    fn wants_token(&self) -> bool {
        self.operator.is_some() || self.viewer.is_some()
    }

    /// Whose token `guess` is. Both are compared in any case, so that the time does not tell whose
    /// it is nearly.
    fn role_of(&self, guess: &[u8]) -> Option<Role> {
        let is = |token: &Option<Token>| token.as_ref().is_some_and(|token| token.is(guess));
        match (is(&self.operator), is(&self.viewer)) {
            (true, _) => Some(Role::Operator),
            (false, true) => Some(Role::Viewer),
            (false, false) => None,
        }
    }

    /// Whether an address may be listened on.
    pub(crate) fn check_address(&self, address: &AdminAddress) -> Result<(), AdminError> {
        if address.is_local() || self.wants_token() {
            return Ok(());
        }
        Err(AdminError::TokenNeeded {
            address: address.to_string(),
        })
    }

    /// What a request from `origin` that says `guess` may do.
    pub(crate) fn check(
        &self,
        origin: Origin,
        guess: Option<&[u8]>,
        now: Instant,
    ) -> Result<Role, Denied> {
        let address = match origin {
            Origin::Owner => return Ok(Role::Operator),
            Origin::Peer(address) | Origin::InBand(address) => address,
        };
        if !self.wants_token() {
            // Only local addresses are listened on without one; the game port never has none.
            return match origin {
                Origin::InBand(_) => Err(Denied::Token),
                _ => Ok(Role::Operator),
            };
        }
        let mut guesses = self.guesses.lock();
        if guesses.len() >= REMEMBERED_MAX {
            guesses.retain(|_, guesses| now.duration_since(guesses.last) < SHUT_OUT);
        }
        let known = guesses.get(&address).copied();
        let known = known.filter(|known| now.duration_since(known.last) < SHUT_OUT);
        if known.is_some_and(|known| known.wrong >= WRONG_MAX) {
            return Err(Denied::Guessing);
        }
        if let Some(role) = guess.and_then(|guess| self.role_of(guess)) {
            guesses.remove(&address);
            return Ok(role);
        }
        // Who says nothing is not guessing: a browser asks for the page first.
        if guess.is_some() && guesses.len() < REMEMBERED_MAX * 2 {
            let wrong = known.map_or(0, |known| known.wrong) + 1;
            guesses.insert(address, Guesses { wrong, last: now });
        }
        Err(Denied::Token)
    }

    /// Whether `host`, as a request over TCP has it, names this machine: an IP address or a name
    /// that was allowed. A page whose own name was made to lead here (DNS rebinding) sends that
    /// name.
    pub(crate) fn names_us(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map_or(rest, |(name, _)| name),
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        name.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self
                .hosts
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const RIGHT: &str = "a-token-of-some-length";

    const READS: &str = "another-token-that-reads";

    fn token(text: &str) -> Option<Token> {
        Some(Token::new(text).unwrap())
    }

    fn access(operator: Option<&str>) -> Access {
        let operator = operator.and_then(token);
        Access::new(operator, None, vec!["game.example".into()]).unwrap()
    }

    #[test]
    fn each_token_has_its_role_and_no_two_are_alike() {
        let now = clock::now();
        let peer = Origin::Peer([127, 0, 0, 1].into());
        let says = |access: &Access, text: &str| access.check(peer, Some(text.as_bytes()), now);
        let both = Access::new(token(RIGHT), token(READS), Vec::new()).unwrap();
        assert_eq!(says(&both, RIGHT), Ok(Role::Operator));
        assert_eq!(says(&both, READS), Ok(Role::Viewer));
        assert_eq!(says(&both, &READS[1..]), Err(Denied::Token));
        // Nobody over TCP is an operator without a token, once there is one for viewers.
        let reads = Access::new(None, token(READS), Vec::new()).unwrap();
        assert_eq!(says(&reads, READS), Ok(Role::Viewer));
        assert_eq!(says(&reads, RIGHT), Err(Denied::Token));
        assert_eq!(reads.check(peer, None, now), Err(Denied::Token));
        assert_eq!(reads.check(Origin::Owner, None, now), Ok(Role::Operator));
        let alike = Access::new(token(RIGHT), token(RIGHT), Vec::new());
        assert!(matches!(alike, Err(AdminError::TokensAlike)));
    }

    #[test]
    fn a_short_token_is_refused_and_none_is_shown() {
        assert!(matches!(
            Token::new(" short \n"),
            Err(AdminError::TokenShort { length: 5, .. })
        ));
        assert!(!format!("{:?}", Token::new(RIGHT).unwrap()).contains("token-of"));
    }

    #[test]
    fn an_address_that_others_reach_needs_a_token() {
        let outside: AdminAddress = "0.0.0.0:1".parse().unwrap();
        let loopback: AdminAddress = "127.0.0.1:1".parse().unwrap();
        assert!(access(None).check_address(&outside).is_err());
        assert!(access(None).check_address(&loopback).is_ok());
        assert!(access(Some(RIGHT)).check_address(&outside).is_ok());
    }

    #[test]
    fn only_the_right_token_passes() {
        let access = access(Some(RIGHT));
        let peer = Origin::Peer([192, 0, 2, 1].into());
        let now = clock::now();
        let may = access.check(peer, Some(RIGHT.as_bytes()), now);
        assert_eq!(may, Ok(Role::Operator));
        assert_eq!(access.check(peer, None, now), Err(Denied::Token));
        let longer = format!("{RIGHT}x");
        for wrong in ["", &RIGHT[1..], &RIGHT[..5], longer.as_str()] {
            let wrong = Some(wrong.as_bytes());
            assert_eq!(access.check(peer, wrong, now), Err(Denied::Token));
        }
        assert_eq!(access.check(Origin::Owner, None, now), Ok(Role::Operator));
    }

    #[test]
    fn who_guesses_is_shut_out_for_a_while_and_nobody_else() {
        let access = access(Some(RIGHT));
        let peer = Origin::Peer([192, 0, 2, 1].into());
        let other = Origin::Peer([192, 0, 2, 2].into());
        let now = clock::now();
        for _ in 0..WRONG_MAX {
            assert_eq!(access.check(peer, Some(b"guess"), now), Err(Denied::Token));
        }
        let right = Some(RIGHT.as_bytes());
        assert_eq!(access.check(peer, right, now), Err(Denied::Guessing));
        assert_eq!(access.check(other, right, now), Ok(Role::Operator));
        let later = access.check(peer, right, now + SHUT_OUT);
        assert_eq!(later, Ok(Role::Operator));
    }

    /// A flood of addresses that guess does not grow the table without end.
    #[test]
    fn so_many_who_guess_are_remembered() {
        let access = access(Some(RIGHT));
        let now = clock::now();
        for number in 0..10_000u32 {
            let peer = Origin::Peer(std::net::Ipv4Addr::from_bits(number).into());
            assert_eq!(access.check(peer, Some(b"guess"), now), Err(Denied::Token));
        }
        assert!(access.guesses.lock().len() <= 2 * REMEMBERED_MAX);
    }

    #[test]
    fn the_game_port_never_passes_without_a_token() {
        let in_band = Origin::InBand([127, 0, 0, 1].into());
        let denied = access(None).check(in_band, Some(b"anything"), clock::now());
        assert_eq!(denied, Err(Denied::Token));
    }

    #[test]
    fn a_name_that_was_not_allowed_is_not_us() {
        let access = access(None);
        for host in [
            "127.0.0.1:6629",
            "localhost:6629",
            "LOCALHOST",
            "[::1]:6629",
            "[::1]",
        ] {
            assert!(access.names_us(host), "{host}");
        }
        assert!(access.names_us("game.example:6629") && access.names_us("192.0.2.7"));
        for host in [
            "evil.example",
            "evil.example:6629",
            "localhost.evil.example",
            "",
        ] {
            assert!(!access.names_us(host), "{host}");
        }
    }
}
