//! The Hashed Token mechanisms (draft-schmaus-kitten-sasl-ht-09), by which XEP-0484 logs a client
//! in with a token that we gave it: one message each way.
//!
//! ```text
//! client   authcid NUL HMAC(token, "Initiator" channel-binding-data)
//! server   HMAC(token, "Responder" channel-binding-data)
//! ```

use std::fmt;

use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::{ChannelBindings, Failure, Hash};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// One of the family: what binds the exchange to its TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenMechanism {
    /// HT-SHA-256-EXPR: `tls-exporter`.
    Exporter,
    /// HT-SHA-256-ENDP: `tls-server-end-point`.
    EndPoint,
    /// HT-SHA-256-NONE: nothing.
    Unbound,
}

/// A token as its client has it. Who has it can log in.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

/// Names a token of a client; says nothing about the token itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenId(pub [u8; 16]);

/// A token that a client may hold, as the store has it.
#[derive(Clone, Debug)]
pub struct HeldToken {
    /// Which it is.
    pub id: TokenId,
    /// What the client presents a hash of.
    pub token: Token,
    /// The only mechanism that it is good for (XEP-0484 §3.4).
    pub mechanism: TokenMechanism,
    /// Expired or revoked: its holder is told so, and must log in otherwise.
    pub void: bool,
    /// The highest `count` that came with it.
    pub count: Option<u32>,
}

/// The most tokens that one client holds: one in use, one it may not have seen yet (XEP-0484 §6.1).
pub const HELD: usize = 2;

impl TokenMechanism {
    /// All of them, the strongest first.
    pub const ALL: [TokenMechanism; 3] = [
        TokenMechanism::Exporter,
        TokenMechanism::EndPoint,
        TokenMechanism::Unbound,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            TokenMechanism::Exporter => "HT-SHA-256-EXPR",
            TokenMechanism::EndPoint => "HT-SHA-256-ENDP",
            TokenMechanism::Unbound => "HT-SHA-256-NONE",
        }
    }

    /// The mechanism of that name, written exactly so.
    pub fn from_name(name: &str) -> Option<TokenMechanism> {
        TokenMechanism::ALL
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }

    /// What it binds to on this connection; none where the connection does not have it.
    pub fn binding(self, bindings: &ChannelBindings) -> Option<&[u8]> {
        match self {
            TokenMechanism::Exporter => bindings.tls_exporter.as_deref(),
            TokenMechanism::EndPoint => bindings.tls_server_end_point.as_deref(),
            TokenMechanism::Unbound => Some(&[]),
        }
    }
}

impl Token {
    /// The token that belongs to `label` (whose it is, and an id that is never used twice). It is
    /// derived from the server's secret, so that the store need not hold it.
    pub fn derive(secret: &[u8], label: &[&[u8]]) -> Token {
        let bytes = keyed(secret, b"rookery fast token", label);
        // RFC 8959: lets scanners find a token that was published by mistake.
        let text = format!("secret-token:{}", URL_SAFE_NO_PAD.encode(&*bytes));
        Token(Zeroizing::new(text))
    }

    /// The text, for the client that it is made for.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn hash(&self, role: &str, binding: &[u8]) -> Zeroizing<Vec<u8>> {
        let message = [role.as_bytes(), binding].concat();
        Hash::Sha256.hmac(self.0.as_bytes(), &message)
    }
}

/// A name for what the parts say, which does not give them away: 72 bits, as text.
pub fn pseudonym(secret: &[u8], parts: &[&[u8]]) -> String {
    let bytes = keyed(secret, b"rookery pseudonym", parts);
    URL_SAFE_NO_PAD.encode(&bytes[..9])
}

fn keyed(secret: &[u8], purpose: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut text = purpose.to_vec();
    for part in parts {
        text.extend_from_slice(&(part.len() as u32).to_be_bytes());
        text.extend_from_slice(part);
    }
    Hash::Sha256.hmac(secret, &text)
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The client's message, split but not prepared.
pub(super) struct Message {
    pub authcid: String,
    hash: Vec<u8>,
}

/// What the message proves.
pub(super) struct Proof {
    /// Whether the hash is right, by a token that is good for this mechanism.
    pub right: Choice,
    /// Whether that token is void.
    pub void: bool,
    pub id: TokenId,
    pub count: Option<u32>,
    /// Our message.
    pub answer: Vec<u8>,
}

impl Message {
    pub(super) fn parse(data: &[u8]) -> Result<Message, Failure> {
        let malformed = || Failure::MalformedRequest;
        let end = data
            .iter()
            .position(|byte| *byte == 0)
            .ok_or_else(malformed)?;
        let (name, hash) = (&data[..end], &data[end + 1..]);
        let authcid = std::str::from_utf8(name).map_err(|_| malformed())?;
        if authcid.is_empty() || hash.len() != Hash::Sha256.size() {
            return Err(malformed());
        }
        Ok(Message {
            authcid: authcid.to_owned(),
            hash: hash.to_vec(),
        })
    }

    /// Compares with what the client may hold. As many tokens are tried for a client that holds
    /// none, with `decoy`, so that the time tells nothing.
    pub(super) fn prove(
        &self,
        mechanism: TokenMechanism,
        held: &[HeldToken],
        decoy: &Token,
        binding: &[u8],
    ) -> Proof {
        let nobody = HeldToken {
            id: TokenId([0; 16]),
            token: decoy.clone(),
            mechanism,
            void: false,
            count: None,
        };
        let mut proof = Proof {
            right: Choice::from(0),
            void: false,
            id: nobody.id,
            count: None,
            answer: Vec::new(),
        };
        for place in 0..HELD {
            let (one, genuine) = match held.get(place) {
                Some(one) => (one, Choice::from(1)),
                None => (&nobody, Choice::from(0)),
            };
            let expected = one.token.hash("Initiator", binding);
            let answer = one.token.hash("Responder", binding);
            let fits = Choice::from(u8::from(one.mechanism == mechanism));
            let right = expected.as_slice().ct_eq(&self.hash) & genuine & fits;
            if bool::from(right) {
                proof = Proof {
                    right,
                    void: one.void,
                    id: one.id,
                    count: one.count,
                    answer: answer.to_vec(),
                };
            }
        }
        proof
    }
}

#[cfg(test)]
pub(crate) fn client_message(authcid: &str, token: &str, binding: &[u8]) -> Vec<u8> {
    let token = Token(Zeroizing::new(token.to_owned()));
    let hash = token.hash("Initiator", binding);
    [authcid.as_bytes(), &[0], &hash[..]].concat()
}

#[cfg(test)]
pub(crate) fn server_message(token: &str, binding: &[u8]) -> Vec<u8> {
    let token = Token(Zeroizing::new(token.to_owned()));
    token.hash("Responder", binding).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_name_and_a_hash() {
        let good = client_message("alice", "secret", b"");
        assert!(Message::parse(&good).is_ok());
        let rows: [&[u8]; 5] = [
            b"",
            b"alice",
            b"alice\0short",
            &good[5..],
            &good[..good.len() - 1],
        ];
        for row in rows {
            let found = Message::parse(row).err();
            assert_eq!(found, Some(Failure::MalformedRequest), "{row:?}");
        }
    }

    /// The two messages by another implementation (Python's hmac).
    #[test]
    fn known_hashes() {
        let hex = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|it| format!("{it:02x}"))
                .collect::<String>()
        };
        let token = Token(Zeroizing::new("secret-token:x".to_owned()));
        assert_eq!(
            hex(&token.hash("Initiator", &[1, 2])),
            "945da1ef8ffc2a022cf03b93687655f9df43423b67c9c5c14cf1e3fe0aa0f910"
        );
        assert_eq!(
            hex(&token.hash("Responder", b"")),
            "265b5b3b897d208d2798c8aa110bb414a25335ede9b73f891b7c296ee7fdd7ce"
        );
    }

    #[test]
    fn a_token_is_one_client_s_and_shown_by_nothing() {
        let token = |parts: &[&[u8]]| Token::derive(b"secret", parts).reveal().to_owned();
        assert_eq!(token(&[b"a", b"b"]), token(&[b"a", b"b"]));
        assert_ne!(token(&[b"a", b"b"]), token(&[b"ab", b""]));
        assert_ne!(
            token(&[b"a"]),
            Token::derive(b"other", &[b"a"]).reveal(),
            "another server's"
        );
        let shown = format!("{:?}", Token::derive(b"secret", &[b"a"]));
        assert_eq!(shown, "Token(…)");
    }
}
