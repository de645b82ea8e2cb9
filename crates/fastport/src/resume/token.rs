//! The secret that names a session: random, and compared in a time that says nothing about it.

use std::fmt;

/// Half of it finds the session, the other half proves that the peer knows it.
#[derive(Copy, Clone)]
pub(crate) struct Token {
    pub(crate) name: [u8; HALF],
    proof: [u8; HALF],
}

const HALF: usize = 16;

impl Token {
    /// A new one from the system's random source.
    ///
    /// # Errors
    /// When the system has none to give.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let (mut name, mut proof) = ([0; HALF], [0; HALF]);
        getrandom::fill(&mut name)?;
        getrandom::fill(&mut proof)?;
        Ok(Self { name, proof })
    }

    /// What a peer says that its token is, if it has the form of one.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (name, proof) = bytes.split_at_checked(HALF)?;
        Some(Self {
            name: name.try_into().ok()?,
            proof: proof.try_into().ok()?,
        })
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [self.name, self.proof].concat()
    }

    /// Whether `other` proves the same, in a time that does not depend on where they differ.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let differs = |one: &[u8; HALF], two: &[u8; HALF]| {
            let pairs = one.iter().zip(two);
            pairs.fold(0, |differs, (a, b)| differs | std::hint::black_box(a ^ b))
        };
        differs(&self.name, &other.name) | differs(&self.proof, &other.proof) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_makes_another_token() {
        let token = Token::random().unwrap();
        let bytes = token.to_bytes();
        assert!(token.is(&Token::from_bytes(&bytes).unwrap()));
        for at in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            assert!(!token.is(&Token::from_bytes(&forged).unwrap()));
        }
        assert!(Token::from_bytes(&bytes[..31]).is_none());
        assert!(Token::from_bytes(&[0; 33]).is_none());
        assert!(!token.is(&Token::random().unwrap()));
        assert!(!format!("{token:?}").contains(|c: char| c.is_ascii_digit()));
    }
}
