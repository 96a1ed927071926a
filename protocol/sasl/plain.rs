//! The one message of PLAIN (RFC 4616 §2).

use zeroize::Zeroizing;

use super::Failure;

/// `[authzid] NUL authcid NUL passwd`, split but not prepared.
pub(super) struct Message {
    pub authzid: Option<String>,
    pub authcid: String,
    pub password: Zeroizing<String>,
}

impl Message {
    pub(super) fn parse(data: &[u8]) -> Result<Message, Failure> {
        let text = std::str::from_utf8(data).map_err(|_| Failure::MalformedRequest)?;
        let mut parts = text.split('\0');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(authzid), Some(authcid), Some(password), None)
                if !authcid.is_empty() && !password.is_empty() =>
            {
                Ok(Message {
                    authzid: (!authzid.is_empty()).then(|| authzid.to_owned()),
                    authcid: authcid.to_owned(),
                    password: Zeroizing::new(password.to_owned()),
                })
            }
            _ => Err(Failure::MalformedRequest),
        }
    }
}
