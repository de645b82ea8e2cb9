//! Authorities and certificates for tests of TLS, made on the spot: none is in the repository, and
//! none expires there.
//!
//! Keys are Ed25519, whose private form is any 32 bytes, and signing is left to the test's own
//! cryptography: so nothing here needs any of its own.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyIdMethod, PKCS_ED25519,
    PublicKeyData, SerialNumber, SignatureAlgorithm, SigningKey,
};
use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2E, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// How much of an Ed25519 public key's SubjectPublicKeyInfo comes before the key.
const SPKI_PREFIX_BYTES: usize = 12;

/// Each certificate has a number of its own.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

/// Somebody who vouches for certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, Key>,
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate alone: an [`Authority`] here has nobody above it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
}

impl Authority {
    /// An authority with a new key.
    ///
    /// # Panics
    /// When the cryptography has no Ed25519.
    #[must_use]
    pub fn new(name: &str, provider: Arc<CryptoProvider>) -> Self {
        let key = Key::new(&provider);
        let mut of = parameters(name, &[]);
        of.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = of.self_signed(&key).expect("a certificate of its own");
        Self {
            certificate: certificate.der().clone(),
            issuer: Issuer::new(of, key),
            provider,
        }
    }

    /// The authority's own certificate, for those who trust it.
    #[must_use]
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// A certificate for DNS names and addresses, valid now.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.sign(parameters("a server or a client", names))
    }

    /// A certificate that was valid once.
    #[must_use]
    pub fn issue_expired(&self, names: &[&str]) -> Identity {
        let mut of = parameters("too late", names);
        of.not_before = rcgen::date_time_ymd(2001, 1, 1);
        of.not_after = rcgen::date_time_ymd(2002, 1, 1);
        self.sign(of)
    }

    fn sign(&self, of: CertificateParams) -> Identity {
        let key = Key::new(&self.provider);
        let certificate = of.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            chain: vec![certificate.der().clone()],
            key: key.private,
        }
    }

    /// Writes the authority's certificate as `NAME.pem` in `folder`. Where it is.
    ///
    /// # Panics
    /// When it can not be written.
    #[must_use]
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(format!("{name}.pem"));
        write_pem(&path, "CERTIFICATE", &self.certificate);
        path
    }
}

impl Identity {
    /// Writes certificate and key as `NAME.pem` and `NAME.key` in `folder`. Where they are.
    ///
    /// # Panics
    /// When they can not be written.
    #[must_use]
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (
            folder.join(format!("{name}.pem")),
            folder.join(format!("{name}.key")),
        );
        write_pem(&certificate, "CERTIFICATE", &self.chain[0]);
        write_pem(&key, "PRIVATE KEY", self.key.secret_der());
        (certificate, key)
    }
}

fn parameters(subject: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut of = CertificateParams::new(names).expect("names");
    of.distinguished_name.push(DnType::CommonName, subject);
    let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
    of.serial_number = Some(SerialNumber::from(number));
    of.key_identifier_method = KeyIdMethod::PreSpecified(number.to_be_bytes().to_vec());
    of
}

/// A key pair that signs by the test's cryptography.
#[derive(Debug)]
struct Key {
    private: PrivateKeyDer<'static>,
    public: Vec<u8>,
    signs: Arc<dyn rustls::sign::SigningKey>,
}

impl Key {
    fn new(provider: &CryptoProvider) -> Self {
        let mut private = PKCS8_PREFIX.to_vec();
        private.resize(PKCS8_PREFIX.len() + 32, 0);
        let secret = &mut private[PKCS8_PREFIX.len()..];
        provider.secure_random.fill(secret).expect("random bytes");
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(private));
        let signs = provider
            .key_provider
            .load_private_key(private.clone_key())
            .expect("an Ed25519 key");
        let public = signs.public_key().expect("a public key").as_ref()[SPKI_PREFIX_BYTES..].into();
        Self {
            private,
            public,
            signs,
        }
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signer = self.signs.choose_scheme(&[SignatureScheme::ED25519]);
        let signed = signer.and_then(|signer| signer.sign(message).ok());
        signed.ok_or(rcgen::Error::RemoteKeyError)
    }
}

fn write_pem(path: &Path, label: &str, der: &[u8]) {
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in base64(der).as_bytes().chunks(64) {
        let _ = writeln!(pem, "{}", String::from_utf8_lossy(line));
    }
    let _ = writeln!(pem, "-----END {label}-----");
    std::fs::write(path, pem).expect("a file that can be written");
}

/// RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let padded = [
            group[0],
            group.get(1).copied().unwrap_or(0),
            group.get(2).copied().unwrap_or(0),
        ];
        let bits = padded
            .iter()
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for at in 0..4 {
            if at <= group.len() {
                let index = bits >> (18 - 6 * at) & 63;
                text.push(char::from(ALPHABET[index as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_as_the_rfc_has_it() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
