//! The client's side of SCRAM (RFC 5802, RFC 7677), with every part open to be falsified.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Base64 as SASL writes it.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// Base64 as SASL reads it.
pub fn unb64(text: &str) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(text)
        .map_err(|e| format!("base64 of the server: {e}"))
}

/// The hash of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha1 => Sha1::digest(data).to_vec(),
            Hash::Sha256 => Sha256::digest(data).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha1 => sign(Hmac::<Sha1>::new_from_slice(key).expect("any length"), data),
            Hash::Sha256 => sign(
                Hmac::<Sha256>::new_from_slice(key).expect("any length"),
                data,
            ),
        }
    }

    fn salted(self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            Hash::Sha1 => {
                let mut out = vec![0; 20];
                pbkdf2::pbkdf2_hmac::<Sha1>(password.as_bytes(), salt, iterations, &mut out);
                out
            }
            Hash::Sha256 => {
                let mut out = vec![0; 32];
                pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut out);
                out
            }
        }
    }
}

fn sign(mut mac: impl Mac, data: &[u8]) -> Vec<u8> {
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// One SCRAM conversation; change the fields before a message is made to falsify it.
pub struct Scram {
    pub hash: Hash,
    /// `n,,`, `y,,`, `p=tls-exporter,,`, with an authzid between the commas.
    pub gs2: String,
    /// What the client believes the channel to be; empty without binding.
    pub binding: Vec<u8>,
    pub user: String,
    pub password: String,
    pub nonce: String,
    /// Overrides of the client-final message: `c=` before encoding, `r=`, and the proof.
    pub fake_binding: Option<Vec<u8>>,
    pub fake_nonce: Option<String>,
    pub without_proof: bool,
    server_signature: Vec<u8>,
}

impl Scram {
    pub fn new(hash: Hash, user: &str, password: &str) -> Scram {
        Scram {
            hash,
            gs2: "n,,".into(),
            binding: Vec::new(),
            user: user.replace('=', "=3D").replace(',', "=2C"),
            password: password.into(),
            nonce: fresh_nonce(),
            fake_binding: None,
            fake_nonce: None,
            without_proof: false,
            server_signature: Vec::new(),
        }
    }

    fn first_bare(&self) -> String {
        format!("n={},r={}", self.user, self.nonce)
    }

    /// The client-first message, in base64.
    pub fn first(&self) -> String {
        b64(format!("{}{}", self.gs2, self.first_bare()))
    }

    /// The client-final message for the server's first one, both in base64.
    pub fn last(&mut self, server_first: &str) -> Result<String, String> {
        let text = String::from_utf8(unb64(server_first)?).map_err(|e| e.to_string())?;
        let nonce = field(&text, "r=")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() < self.nonce.len() + 22 {
            return Err(format!(
                "the server's nonce is too short or not ours: {text}"
            ));
        }
        let salt = unb64(field(&text, "s=")?)?;
        let iterations: u32 = field(&text, "i=")?.parse().map_err(|_| "iterations")?;
        if iterations < 4096 {
            return Err(format!("RFC 7677 §4 wants 4096 iterations: {text}"));
        }
        let mut channel = self.gs2.clone().into_bytes();
        channel.extend(&self.binding);
        let channel = self.fake_binding.clone().unwrap_or(channel);
        let nonce = self.fake_nonce.clone().unwrap_or(nonce.into());
        let without_proof = format!("c={},r={nonce}", b64(channel));
        let auth = format!("{},{text},{without_proof}", self.first_bare());
        let salted = self.hash.salted(&self.password, &salt, iterations);
        let client_key = self.hash.hmac(&salted, b"Client Key");
        let stored_key = self.hash.digest(&client_key);
        let signature = self.hash.hmac(&stored_key, auth.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(signature)
            .map(|(a, b)| a ^ b)
            .collect();
        let server_key = self.hash.hmac(&salted, b"Server Key");
        self.server_signature = self.hash.hmac(&server_key, auth.as_bytes());
        match self.without_proof {
            true => Ok(b64(without_proof)),
            false => Ok(b64(format!("{without_proof},p={}", b64(proof)))),
        }
    }

    /// Checks the server-final message, in base64: the server too knows the password.
    pub fn check(&self, server_final: &str) -> Result<(), String> {
        let text = String::from_utf8(unb64(server_final)?).map_err(|e| e.to_string())?;
        match unb64(field(&text, "v=")?)? == self.server_signature {
            true => Ok(()),
            false => Err("the server's signature is wrong".into()),
        }
    }
}

/// A nonce no other conversation of this run uses.
pub fn fresh_nonce() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock")
        .as_nanos();
    format!(
        "{now:x}.{}.{:x}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

fn field<'a>(text: &'a str, key: &str) -> Result<&'a str, String> {
    let found = text.split(',').find_map(|part| part.strip_prefix(key));
    found.ok_or_else(|| format!("no {key} in {text}"))
}
