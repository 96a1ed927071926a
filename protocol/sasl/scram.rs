//! SCRAM messages (RFC 5802 §5, §7): what the client's two say, and our two answers.

use subtle::{Choice, ConstantTimeEq};

use super::{ChannelBindings, Failure, Hash, ScramKeys, decode, encode};

/// The client-first-message, parsed.
pub(super) struct ClientFirst {
    /// gs2-header as received: the start of what `c=` must repeat.
    gs2_header: String,
    /// What the client says about channel binding.
    pub binding: Flag,
    /// `a=`, unescaped.
    pub authzid: Option<String>,
    /// `n=`, unescaped but not prepared.
    pub username: String,
    nonce: String,
    /// client-first-message-bare, for the AuthMessage.
    bare: String,
}

/// gs2-cbind-flag (RFC 5802 §7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    /// `n`: the client cannot bind.
    Unsupported,
    /// `y`: the client can bind, and thinks that we cannot.
    Unoffered,
    /// `p=`: bound by this type.
    Bound(String),
}

/// The exchange between our challenge and the client's proof.
pub(super) struct Challenge {
    /// The value that `c=` must have (RFC 5802 §6).
    expected_binding: String,
    /// `r=`: both nonces.
    nonce: String,
    /// "client-first-message-bare , server-first-message ,": the start of the AuthMessage.
    auth_start: String,
}

impl ClientFirst {
    pub(super) fn parse(message: &[u8]) -> Result<ClientFirst, Failure> {
        let text = std::str::from_utf8(message).map_err(|_| Failure::MalformedRequest)?;
        let malformed = || Failure::MalformedRequest;
        let (flag, rest) = text.split_once(',').ok_or_else(malformed)?;
        let (authzid, bare) = rest.split_once(',').ok_or_else(malformed)?;
        let gs2_header = text[..text.len() - bare.len()].to_owned();
        let mut parts = bare.split(',');
        // "m=" here means an extension that we must not ignore, and we know none (§5.1).
        let username = parts
            .next()
            .and_then(|part| part.strip_prefix("n="))
            .ok_or_else(malformed)?;
        let nonce = parts
            .next()
            .and_then(|part| part.strip_prefix("r="))
            .ok_or_else(malformed)?;
        if !is_nonce(nonce) || !parts.all(is_extension) {
            return Err(malformed());
        }
        Ok(ClientFirst {
            binding: Flag::parse(flag)?,
            authzid: match authzid {
                "" => None,
                given => Some(unescape(given.strip_prefix("a=").ok_or_else(malformed)?)?),
            },
            username: unescape(username)?,
            nonce: nonce.to_owned(),
            gs2_header,
            bare: bare.to_owned(),
        })
    }

    /// The server-first-message, and what is to be kept until the proof comes. `bindings` must hold
    /// the type that the client named; `extensions` are further attributes, each with its comma.
    pub(super) fn answer(
        self,
        server_nonce: &str,
        keys: &ScramKeys,
        bindings: &ChannelBindings,
        extensions: &str,
    ) -> Result<(String, Challenge), Failure> {
        let mut bound = self.gs2_header.into_bytes();
        if let Flag::Bound(kind) = &self.binding {
            // §6: a type that we do not have fails the authentication.
            bound.extend_from_slice(bindings.data(kind).ok_or(Failure::NotAuthorized)?);
        }
        let nonce = format!("{}{server_nonce}", self.nonce);
        let salt = encode(&keys.salt);
        let message = format!("r={nonce},s={salt},i={}{extensions}", keys.iterations);
        let challenge = Challenge {
            expected_binding: encode(&bound),
            nonce,
            auth_start: format!("{},{message},", self.bare),
        };
        Ok((message, challenge))
    }
}

impl Flag {
    fn parse(text: &str) -> Result<Flag, Failure> {
        let is_name = |name: &str| {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
            !name.is_empty() && name.bytes().all(is_part)
        };
        match text {
            "n" => Ok(Flag::Unsupported),
            "y" => Ok(Flag::Unoffered),
            bound => match bound.strip_prefix("p=") {
                Some(name) if is_name(name) => Ok(Flag::Bound(name.to_owned())),
                _ => Err(Failure::MalformedRequest),
            },
        }
    }
}

impl Challenge {
    /// Judges the client-final-message. The answer is the server-final-message, and whether the
    /// proof is right; the caller adds what else must be true before it looks at that.
    pub(super) fn verify(
        &self,
        hash: Hash,
        keys: &ScramKeys,
        message: &[u8],
    ) -> Result<(String, Choice), Failure> {
        let text = std::str::from_utf8(message).map_err(|_| Failure::MalformedRequest)?;
        let malformed = || Failure::MalformedRequest;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or_else(malformed)?;
        let mut parts = without_proof.split(',');
        let binding = parts
            .next()
            .and_then(|part| part.strip_prefix("c="))
            .ok_or_else(malformed)?;
        let nonce = parts
            .next()
            .and_then(|part| part.strip_prefix("r="))
            .ok_or_else(malformed)?;
        if !parts.all(is_extension) {
            return Err(malformed());
        }
        let proof = decode(proof).map_err(|_| malformed())?;
        let same = binding.as_bytes().ct_eq(self.expected_binding.as_bytes())
            & nonce.as_bytes().ct_eq(self.nonce.as_bytes());
        if proof.len() != hash.size() {
            return Err(Failure::NotAuthorized);
        }
        let auth_message = format!("{}{without_proof}", self.auth_start);
        let signature = hash.hmac(&keys.stored_key, auth_message.as_bytes());
        let client_key: Vec<u8> = proof
            .iter()
            .zip(signature.iter())
            .map(|(p, s)| p ^ s)
            .collect();
        let right = hash.digest(&client_key).ct_eq(&keys.stored_key);
        let verifier = hash.hmac(&keys.server_key, auth_message.as_bytes());
        Ok((format!("v={}", encode(&verifier)), same & right))
    }
}

/// saslname (§5.1): `=2C` is a comma, `=3D` an equals sign, any other `=` an error.
fn unescape(name: &str) -> Result<String, Failure> {
    let mut parts = name.split('=');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(Failure::MalformedRequest),
        };
        out.push(sign);
        out.push_str(rest);
    }
    match out.is_empty() || out.contains('\0') {
        true => Err(Failure::MalformedRequest),
        false => Ok(out),
    }
}

/// `printable` of §7, at least one.
fn is_nonce(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| matches!(byte, 0x21..=0x2b | 0x2d..=0x7e))
}

/// attr-val of §7. Those that we do not know are ignored, but `m=` may not be.
fn is_extension(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[0] != b'm' && bytes[1] == b'='
}
