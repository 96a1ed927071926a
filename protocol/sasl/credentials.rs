//! What the server keeps of a password: the keys of RFC 5802 §3, and the decoy it shows for an
//! account that does not exist.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Hash, Password, Token};

/// Iterations for new credentials. RFC 7677 §4 wants at least [`MIN_ITERATIONS`].
pub const DEFAULT_ITERATIONS: u32 = 10_000;

/// The smallest count that a server should announce (RFC 7677 §4).
pub const MIN_ITERATIONS: u32 = 4096;

/// What SCRAM needs to know of one password under one hash (RFC 5802 §3). With `stored_key` and
/// one overheard exchange one can log in, so it is a secret, though less of one than the password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct ScramKeys {
    /// Sent to anyone who asks to log in under the name.
    pub salt: Vec<u8>,
    /// PBKDF2 rounds.
    pub iterations: u32,
    /// `H(ClientKey)`.
    pub stored_key: Vec<u8>,
    /// `HMAC(SaltedPassword, "Server Key")`.
    pub server_key: Vec<u8>,
}

/// All that is stored of an account's password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// For SCRAM-SHA-1 and its -PLUS.
    pub sha1: Option<ScramKeys>,
    /// For SCRAM-SHA-256 and its -PLUS, and the one that PLAIN is checked against.
    pub sha256: Option<ScramKeys>,
}

/// Makes credentials for names without an account. They are the same for a name each time, so
/// that the salt tells nothing, and nobody knows a password for them.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Decoy {
    secret: Vec<u8>,
    #[zeroize(skip)]
    iterations: u32,
}

impl ScramKeys {
    /// RFC 5802 §3: SaltedPassword, StoredKey and ServerKey.
    pub fn derive(hash: Hash, password: &Password, salt: &[u8], iterations: u32) -> ScramKeys {
        let salted = hash.stretch(password.as_bytes(), salt, iterations);
        ScramKeys::from_salted(hash, &salted, salt, iterations)
    }

    /// The same from the SaltedPassword, where somebody else did the work (XEP-0480 §3).
    pub fn from_salted(hash: Hash, salted: &[u8], salt: &[u8], iterations: u32) -> ScramKeys {
        let client_key = hash.hmac(salted, b"Client Key");
        ScramKeys {
            salt: salt.to_vec(),
            iterations,
            stored_key: hash.digest(&client_key),
            server_key: hash.hmac(salted, b"Server Key").to_vec(),
        }
    }

    fn verify(&self, hash: Hash, password: &Password) -> bool {
        let derived = ScramKeys::derive(hash, password, &self.salt, self.iterations);
        derived.stored_key.ct_eq(&self.stored_key).into()
    }
}

impl Credentials {
    /// Costs two PBKDF2 runs (about 2.5 ms at 10,000): not for a thread that serves others.
    pub fn derive(password: &Password, salt: [u8; 16], iterations: u32) -> Credentials {
        let keys = |hash| Some(ScramKeys::derive(hash, password, &salt, iterations));
        Credentials {
            sha1: keys(Hash::Sha1),
            sha256: keys(Hash::Sha256),
        }
    }

    /// Whether this is the password; constant time in the comparison, one PBKDF2 run (about 1 ms).
    /// Credentials without any keys match nothing.
    pub fn verify(&self, password: &Password) -> bool {
        match (&self.sha256, &self.sha1) {
            (Some(keys), _) => keys.verify(Hash::Sha256, password),
            (None, Some(keys)) => keys.verify(Hash::Sha1, password),
            (None, None) => false,
        }
    }

    /// Credentials of the usual shape for `user`, whom nobody can be. See [`Decoy`].
    pub fn decoy(secret: &[u8], user: &str) -> Credentials {
        Decoy::new(secret, DEFAULT_ITERATIONS).credentials(user)
    }

    /// Sets the keys for one hash.
    pub fn set_keys(&mut self, hash: Hash, keys: ScramKeys) {
        match hash {
            Hash::Sha1 => self.sha1 = Some(keys),
            Hash::Sha256 => self.sha256 = Some(keys),
        }
    }

    /// The keys for one hash.
    pub fn keys(&self, hash: Hash) -> Option<&ScramKeys> {
        match hash {
            Hash::Sha1 => self.sha1.as_ref(),
            Hash::Sha256 => self.sha256.as_ref(),
        }
    }
}

impl Decoy {
    /// `secret` is the server's own and stays the same over restarts; `iterations` are those of
    /// new accounts, since an unusual count would give the decoy away.
    pub fn new(secret: &[u8], iterations: u32) -> Decoy {
        Decoy {
            secret: secret.to_vec(),
            iterations,
        }
    }

    /// The decoy for `user` (a bare JID, prepared). As in real credentials one salt serves both
    /// hashes.
    pub fn credentials(&self, user: &str) -> Credentials {
        let salt = self.bytes("salt", user);
        let keys = |hash: Hash, label: &str| {
            Some(ScramKeys {
                salt: salt[..16].to_vec(),
                iterations: self.iterations,
                stored_key: self.bytes(label, user)[..hash.size()].to_vec(),
                server_key: self.bytes("server key", user)[..hash.size()].to_vec(),
            })
        };
        Credentials {
            sha1: keys(Hash::Sha1, "sha1"),
            sha256: keys(Hash::Sha256, "sha256"),
        }
    }

    /// A token that nobody was given.
    pub(super) fn token(&self) -> Token {
        Token::derive(&self.secret, &[b"decoy"])
    }

    fn bytes(&self, label: &str, user: &str) -> Zeroizing<Vec<u8>> {
        let text = [
            b"rookery sasl decoy/",
            label.as_bytes(),
            b"/",
            user.as_bytes(),
        ]
        .concat();
        Hash::Sha256.hmac(&self.secret, &text)
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramKeys({} iterations, …)", self.iterations)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl fmt::Debug for Decoy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoy(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::prepare(text).unwrap()
    }

    #[test]
    fn only_the_password_verifies() {
        let kept = Credentials::derive(&password("pencil"), [7; 16], MIN_ITERATIONS);
        assert!(kept.verify(&password("pencil")));
        assert!(!kept.verify(&password("pencils")));
        let sha1_only = Credentials {
            sha256: None,
            ..kept.clone()
        };
        assert!(sha1_only.verify(&password("pencil")));
        assert!(!sha1_only.verify(&password("Pencil")));
        let nothing = Credentials {
            sha1: None,
            sha256: None,
        };
        assert!(!nothing.verify(&password("pencil")));
    }

    #[test]
    fn decoys_are_stable_and_look_like_the_real_thing() {
        let decoy = Decoy::new(b"secret", DEFAULT_ITERATIONS);
        let first = decoy.credentials("ghost@a.test");
        assert_eq!(first, decoy.credentials("ghost@a.test"));
        assert_eq!(first, Credentials::decoy(b"secret", "ghost@a.test"));
        assert_ne!(first, decoy.credentials("ghost@b.test"));
        assert_ne!(first, Credentials::decoy(b"other", "ghost@a.test"));
        let real = Credentials::derive(&password("x"), [1; 16], DEFAULT_ITERATIONS);
        for hash in [Hash::Sha1, Hash::Sha256] {
            let (real, fake) = (real.keys(hash).unwrap(), first.keys(hash).unwrap());
            assert_eq!(real.salt.len(), fake.salt.len());
            assert_eq!(real.iterations, fake.iterations);
            assert_eq!(real.stored_key.len(), fake.stored_key.len());
            assert_eq!(real.server_key.len(), fake.server_key.len());
        }
        assert_eq!(real.sha1.unwrap().salt, real.sha256.as_ref().unwrap().salt);
        assert_eq!(
            first.sha1.unwrap().salt,
            first.sha256.as_ref().unwrap().salt
        );
    }

    #[test]
    fn debug_shows_nothing() {
        let kept = Credentials::derive(&password("pencil"), [0xab; 16], 1);
        let shown = format!("{kept:?} {:?} {:?}", kept.sha1, Decoy::new(b"hush", 1));
        assert!(
            !shown.contains("171") && !shown.contains("ab") && !shown.contains("hush"),
            "{shown}"
        );
    }
}
