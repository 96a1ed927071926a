//! How much a peer may send, before and after it has said who it is.

/// How much one element of a stream may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one element of the stream, its tags included.
    pub bytes: u32,
    /// Elements in it, itself included.
    pub elements: u32,
    /// How deep they may lie; 1 is the element itself.
    pub depth: u16,
    /// Attributes of each, namespace declarations not counted.
    pub attributes: u16,
    /// Namespace declarations of each.
    pub namespaces: u16,
    /// Bytes of the name of an element or attribute, prefix included.
    pub name_len: u16,
    /// Bytes of white space between two elements.
    pub whitespace: u32,
    /// A stanza over `bytes` is read to its end without being kept, up to this many bytes; zero
    /// ends the stream at `bytes`.
    pub skip_up_to: u32,
}

impl Limits {
    /// For a peer that has not authenticated.
    pub const fn before_login() -> Limits {
        Limits {
            bytes: 10_240,
            elements: 64,
            depth: 8,
            attributes: 32,
            namespaces: 16,
            name_len: 256,
            whitespace: 10_240,
            skip_up_to: 0,
        }
    }

    /// For an authenticated client. White space is then a matter of the byte rate.
    pub const fn after_login() -> Limits {
        Limits {
            bytes: 262_144,
            elements: 4_096,
            depth: 64,
            attributes: 64,
            namespaces: 16,
            name_len: 256,
            whitespace: u32::MAX,
            skip_up_to: 4 << 20,
        }
    }

    /// For an authenticated server.
    pub const fn between_servers() -> Limits {
        Limits {
            bytes: 524_288,
            ..Limits::after_login()
        }
    }
}
