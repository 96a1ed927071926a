//! The certificate that is served, exchanged while the server runs; with it, whom else to believe.
//!
//! A stream takes [`Certificates::served`] when it begins and keeps it: so it knows which
//! certificate *it* showed, which is what channel binding is about (RFC 5929 §4), even when
//! another has come since. Each generation has its own ticket keys; a session resumed after an
//! exchange would otherwise be bound to a certificate that the client never saw.

mod facts;
mod made;
mod roots;

use crate::folder::Folder;
use arc_swap::ArcSwap;
use facts::Facts;
use rookery_actors::peer_tls::{Judge, OneForAll, PeerTls, Roots};
use rookery_actors::transport::Tls;
use rookery_config::settings;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The certificate in use, and where its successor comes from.
pub struct Certificates {
    /// `tls` in the data folder, for a certificate of our own making.
    folder: PathBuf,
    served: ArcSwap<Served>,
}

/// One certificate, ready to serve.
pub struct Served {
    /// For a connection that asked for STARTTLS (RFC 6120 §5).
    pub starttls: Arc<ServerConfig>,
    /// For a connection that begins with TLS: ALPN `xmpp-client` or none (XEP-0368 §2).
    pub direct: Arc<ServerConfig>,
    /// TLS with other servers, and whom to believe there.
    pub peers: Arc<PeerTls>,
    /// The `tls-server-end-point` channel binding (RFC 5929 §4.1); none where it is undefined.
    pub end_point: Option<Vec<u8>>,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// When it ends, in seconds since 1970.
    pub expires: i64,
    /// Whether we made it, so that nobody else vouches for it.
    pub self_signed: bool,
    facts: Facts,
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not PEM.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key is not the certificate's.
    #[error("{key} is not the key of {certificate}")]
    Pair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// No certificate could be made.
    #[error("no self-signed certificate could be made: {0}")]
    Made(String),
    /// TLS itself cannot be set up.
    #[error("TLS: {0}")]
    Setup(#[from] rustls::Error),
}

impl Certificates {
    /// The configured pair, or one of our own making for `hosts`, kept in the data folder; and the
    /// authorities of this system, and of these PEM files. `now` is in seconds since 1970.
    pub fn open(
        choice: &settings::Tls,
        authorities: &[PathBuf],
        hosts: &[String],
        folder: &Folder,
        now: i64,
    ) -> Result<Arc<Self>, TlsError> {
        let folder = folder.path().join("tls");
        let judge = Judge::new(roots::read(authorities)?);
        let served = read(choice, Arc::new(judge), hosts, &folder, now)?;
        Ok(Arc::new(Certificates {
            folder,
            served: ArcSwap::from_pointee(served),
        }))
    }

    /// Reads the pair and the authorities again, for those who connect from now on. What is
    /// broken changes nothing.
    pub fn reload(
        &self,
        choice: &settings::Tls,
        authorities: &[PathBuf],
        hosts: &[String],
        now: i64,
    ) -> Result<(), TlsError> {
        let judge = Judge::new(roots::read(authorities)?);
        let served = read(choice, Arc::new(judge), hosts, &self.folder, now)?;
        self.served.store(Arc::new(served));
        Ok(())
    }

    /// Makes our own certificate anew when it nears its end, and tells whether it did; leaves
    /// every other alone.
    pub fn tend(&self, hosts: &[String], now: i64) -> Result<bool, TlsError> {
        let served = self.served();
        let due = served.self_signed && served.expires - now <= made::RENEWAL;
        if due {
            let judge = Arc::clone(served.peers.judge());
            let fresh = read(&settings::Tls::default(), judge, hosts, &self.folder, now)?;
            self.served.store(Arc::new(fresh));
        }
        Ok(due)
    }

    /// The certificate for a connection that begins now.
    pub fn served(&self) -> Arc<Served> {
        self.served.load_full()
    }
}

impl Served {
    /// Hosts that the certificate does not name, which clients will refuse.
    pub fn missing<'a>(&self, hosts: &'a [String]) -> Vec<&'a str> {
        let missing = hosts.iter().filter(|host| !self.facts.covers(host));
        missing.map(String::as_str).collect()
    }

    fn new(
        key: CertifiedKey,
        self_signed: bool,
        facts: Facts,
        judge: Arc<Judge>,
    ) -> Result<Self, TlsError> {
        let leaf = key.end_entity_cert()?.as_ref();
        let (end_point, fingerprint) = (facts.end_point(leaf), facts::sha256(leaf));
        let key = Arc::new(key);
        let tickets = rustls::crypto::ring::Ticketer::new()?;
        let config = |alpn: &[&[u8]]| -> Result<_, rustls::Error> {
            let mut config = ServerConfig::builder_with_provider(provider())
                .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&key))));
            config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.ticketer = Arc::clone(&tickets);
            // One suffices, and carries the acknowledgement of the handshake.
            config.send_tls13_tickets = 1;
            // XEP-0388 §5: nothing that can be replayed.
            config.max_early_data_size = 0;
            Ok(Arc::new(config))
        };
        Ok(Served {
            starttls: config(&[])?,
            direct: config(&[b"xmpp-client"])?,
            peers: Arc::new(PeerTls::new(Arc::new(OneForAll(Some(key))), judge)?),
            end_point,
            fingerprint,
            expires: facts.expires,
            self_signed,
            facts,
        })
    }
}

/// Tells when the certificate is about to end: once at 21, 7 and 1 days, and once it has.
#[derive(Debug, Default)]
pub struct ExpiryWatch {
    /// How many of the marks were passed, and of which certificate.
    passed: usize,
    fingerprint: [u8; 32],
}

impl ExpiryWatch {
    /// What to tell the operator now, if it was not told before. `now` is in seconds since 1970.
    pub fn check(&mut self, served: &Served, now: i64) -> Option<String> {
        const DAY: i64 = 86_400;
        if self.fingerprint != served.fingerprint {
            *self = ExpiryWatch {
                passed: 0,
                fingerprint: served.fingerprint,
            };
        }
        let left = served.expires - now;
        let passed = [21 * DAY, 7 * DAY, DAY, 0]
            .iter()
            .filter(|mark| left <= **mark)
            .count();
        if passed <= std::mem::replace(&mut self.passed, passed) {
            return None;
        }
        Some(match left {
            i64::MIN..=0 => "the certificate has expired: clients refuse to connect".into(),
            1..=DAY => "the certificate expires within a day".into(),
            _ => format!("the certificate expires in {} days", left / DAY),
        })
    }
}

/// TLS that nobody can speak: for a server without listeners.
pub fn mute() -> Result<Tls, TlsError> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
    let config = Arc::new(config);
    let nobody = Arc::new(Judge::new(Roots::default()));
    Ok(Tls {
        starttls: Arc::clone(&config),
        direct: config,
        end_point: None,
        peers: Arc::new(PeerTls::new(Arc::new(OneForAll(None)), nobody)?),
    })
}

/// The one provider of cryptography.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn read(
    choice: &settings::Tls,
    judge: Arc<Judge>,
    hosts: &[String],
    folder: &Path,
    now: i64,
) -> Result<Served, TlsError> {
    match (&choice.certificate, &choice.key) {
        (Some(certificate), Some(key)) => {
            let (key, facts) = pair(certificate, key)?;
            Served::new(key, false, facts, judge)
        }
        _ => {
            let (key, facts) = made::own(hosts, folder, now)?;
            Served::new(key, true, facts, judge)
        }
    }
}

/// A certificate with its issuers, and its key, from two PEM files.
fn pair(certificate: &Path, key: &Path) -> Result<(CertifiedKey, Facts), TlsError> {
    let fault = |path: &Path, reason: String| TlsError::File {
        path: path.to_owned(),
        reason,
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fault(certificate, said(error)))?;
    let Some(leaf) = chain.first() else {
        return Err(fault(
            certificate,
            "there is no certificate in this file".into(),
        ));
    };
    let facts = Facts::read(leaf).map_err(|reason| fault(certificate, reason))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| fault(key, said(error)))?;
    match CertifiedKey::from_der(chain, secret, &provider()) {
        Ok(pair) => Ok((pair, facts)),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        }),
        Err(error) => Err(fault(key, error.to_string())),
    }
}

fn said(error: rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(error) => error.to_string(),
        Error::NoItemsFound => "there is nothing of the kind in this file".into(),
        other => format!("this is not PEM: {other}"),
    }
}

#[cfg(test)]
mod tests;
