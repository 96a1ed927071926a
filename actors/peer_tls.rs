//! Whom to believe over TLS between servers (RFC 6120 §13.7, RFC 7590, XEP-0178, XEP-0368).
//!
//! The [handshake] lets in whoever holds the key of the certificate that he shows, or shows none;
//! it gives what was [`Presented`]. For each domain that the peer says it is, a [`Judge`] says
//! whether that proves it, for this domain alone:
//!
//! ```text
//! let (stream, shown) = peers.accept(tcp, Beginning::StartTls).await?;
//! let domain = Reference::new(from)?;
//! match peers.judge().verdict(&shown, Claim::plain(&domain), now) {
//!     Ok(proof) => // EXTERNAL may be offered to it as this domain, until proof.ends
//!     Err(doubt) => // it is told, and the policy decides: dialback, or nothing
//! }
//! ```
//!
//! By default a proof is a path to an authority that we trust and a name in the certificate. Where
//! DNSSEC vouches for TLSA records, a [`Claim`] holds them, and they say what is needed instead.

mod doubt;
pub mod handshake;
mod judge;
mod names;
mod presented;
mod roots;
mod tlsa;
mod weakness;
#[cfg(test)]
mod workshop;

pub use doubt::Doubt;
pub use handshake::{Beginning, OneForAll, OwnCertificates, PeerTls};
pub use judge::{Claim, Judge, Means, Proof, Verdict};
pub use names::{NAMES_READ, Reference};
pub use presented::{CERTIFICATES, Presented};
pub use roots::Roots;
pub use tlsa::Tlsa;
