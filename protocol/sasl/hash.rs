//! The two hash functions of our SCRAM family and what RFC 5802 §2.2 builds from them.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Bytes that a client could log in with if it had them: wiped when dropped.
pub(crate) type SecretBytes = Zeroizing<Vec<u8>>;

/// `H()` of RFC 5802 §2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// RFC 5802.
    Sha1,
    /// RFC 7677.
    Sha256,
}

impl Hash {
    /// Bytes of one digest.
    pub fn size(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
        }
    }

    /// `H(str)`.
    pub fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha1 => Sha1::digest(data).to_vec(),
            Hash::Sha256 => Sha256::digest(data).to_vec(),
        }
    }

    /// `HMAC(key, str)`.
    pub(crate) fn hmac(self, key: &[u8], data: &[u8]) -> SecretBytes {
        match self {
            Hash::Sha1 => keyed::<Hmac<Sha1>>(key, data),
            Hash::Sha256 => keyed::<Hmac<Sha256>>(key, data),
        }
    }

    /// `Hi(str, salt, i)`, which is PBKDF2 with one block of output.
    pub(super) fn stretch(self, password: &[u8], salt: &[u8], iterations: u32) -> SecretBytes {
        let mut out = Zeroizing::new(vec![0; self.size()]);
        // HMAC takes a key of any length, so the only error there could be does not happen.
        let done = match self {
            Hash::Sha1 => pbkdf2::pbkdf2::<Hmac<Sha1>>(password, salt, iterations, &mut out),
            Hash::Sha256 => pbkdf2::pbkdf2::<Hmac<Sha256>>(password, salt, iterations, &mut out),
        };
        done.expect("HMAC accepts every key length");
        out
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> SecretBytes {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC accepts every key length");
    mac.update(data);
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6070, the cases with small iteration counts.
    #[test]
    fn stretch_is_pbkdf2() {
        let rows: [(u32, [u8; 4]); 3] = [
            (1, [0x0c, 0x60, 0xc8, 0x0f]),
            (2, [0xea, 0x6c, 0x01, 0x4d]),
            (4096, [0x4b, 0x00, 0x79, 0x01]),
        ];
        for (iterations, start) in rows {
            let key = Hash::Sha1.stretch(b"password", b"salt", iterations);
            assert_eq!(key[..4], start, "{iterations}");
            assert_eq!(key.len(), Hash::Sha1.size());
        }
    }
}
