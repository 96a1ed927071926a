//! Session ids of commands (XEP-0050 §3.1): each is good for one asker, one host and one command
//! while the server runs. None is remembered; the id itself is signed.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use rookery_actors::site::random;
use sha2::Sha256;

use super::Asker;

/// Bytes that make an id unlike all others.
const NONCE: usize = 12;
/// Bytes of the signature that the id carries.
const SIGNATURE: usize = 16;

/// A new session of the command at `node`.
pub fn begin(asker: &Asker, node: &str) -> String {
    let nonce: [u8; NONCE] = random();
    let signature = signed(&nonce, asker, node).finalize().into_bytes();
    BASE64.encode([&nonce, &signature[..SIGNATURE]].concat())
}

/// Whether `id` was given to this asker, for this command.
pub fn is_ours(id: &str, asker: &Asker, node: &str) -> bool {
    let Ok(bytes) = BASE64.decode(id) else {
        return false;
    };
    let Some((nonce, signature)) = bytes.split_at_checked(NONCE) else {
        return false;
    };
    signature.len() == SIGNATURE
        && signed(nonce, asker, node)
            .verify_truncated_left(signature)
            .is_ok()
}

/// The parts cannot run into each other: no address holds a NUL.
fn signed(nonce: &[u8], asker: &Asker, node: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(&asker.site.key).expect("a key of any length is right");
    for part in [nonce, asker.jid.as_str().as_bytes(), asker.host.as_bytes()] {
        mac.update(part);
        mac.update(&[0]);
    }
    mac.update(node.as_bytes());
    mac
}
