//! The TLS handshake between servers: it never fails for want of trust, and it never gives any.
//!
//! A peer proves in it that it holds the key of the certificate that it shows, and nothing else.
//! What that is worth a [`Judge`] says afterwards, for each domain that the peer says it is; what
//! follows from that is for the policy to say.
//!
//! No session is resumed, in either direction: a connection between servers lasts for hours, and
//! so no belief can pass from one domain, or one time, to another.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::{Doubt, Judge, Presented, Reference, weakness};

/// The protocol of direct TLS between servers (XEP-0368 §3 (9)).
const ALPN: &[u8] = b"xmpp-server";
/// A record: a slow reader costs no more inside TLS.
const BUFFER: usize = 16 * 1024;
/// RFC 7590 §3, RFC 8996.
const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

/// Which certificate we show.
pub trait OwnCertificates: fmt::Debug + Send + Sync {
    /// The one for a domain of ours, in A-labels; or for somebody who does not say whom he wants.
    /// None: there is none to show.
    fn of(&self, domain: Option<&str>) -> Option<Arc<CertifiedKey>>;
}

/// One certificate for all domains, or none for any.
#[derive(Debug)]
pub struct OneForAll(pub Option<Arc<CertifiedKey>>);

impl OwnCertificates for OneForAll {
    fn of(&self, _: Option<&str>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// With STARTTLS (RFC 6120 §5).
    StartTls,
    /// With TLS itself (XEP-0368).
    Direct,
}

/// TLS with other servers: our certificates, and whom to believe. Changed as a whole when
/// certificates are read again.
pub struct PeerTls {
    starttls: TlsAcceptor,
    direct: TlsAcceptor,
    outbound: ClientConfig,
    own: Arc<dyn OwnCertificates>,
    judge: Arc<Judge>,
}

impl PeerTls {
    /// TLS that shows these certificates and believes this judge.
    pub fn new(own: Arc<dyn OwnCertificates>, judge: Arc<Judge>) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let anyone = Arc::new(Anyone(provider.signature_verification_algorithms));
        let inbound = |alpn: &[&[u8]]| {
            let config = inbound(&provider, &anyone, &own, alpn)?;
            Ok::<_, Error>(TlsAcceptor::from(Arc::new(config)))
        };
        let mut outbound = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&VERSIONS)?
            .dangerous()
            .with_custom_certificate_verifier(anyone.clone())
            .with_no_client_auth();
        outbound.resumption = Resumption::disabled();
        Ok(PeerTls {
            starttls: inbound(&[])?,
            direct: inbound(&[ALPN])?,
            outbound,
            own,
            judge,
        })
    }

    /// Who says what the certificates of a peer are worth.
    pub fn judge(&self) -> &Arc<Judge> {
        &self.judge
    }

    /// What we show for this domain of ours.
    pub fn own_certificate(&self, domain: &Reference) -> Option<Arc<CertifiedKey>> {
        self.own.of(Some(domain.ascii()))
    }

    /// Does the handshake with a server that connected to us: it is asked for a certificate and
    /// need not show one.
    pub async fn accept<S>(
        &self,
        carrier: S,
        beginning: Beginning,
    ) -> io::Result<(server::TlsStream<S>, Presented)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = match beginning {
            Beginning::StartTls => &self.starttls,
            Beginning::Direct => &self.direct,
        };
        let mut stream = acceptor.accept(carrier).await?;
        let connection = stream.get_mut().1;
        connection.set_buffer_limit(Some(BUFFER));
        let shown = Presented::on(connection);
        Ok((stream, shown))
    }

    /// Does the handshake with the server of `peer`, to which we speak as `own`: our certificate
    /// for that domain is there if it asks. It fails if the other side speaks another protocol
    /// than XMPP between servers (attack F41).
    pub async fn connect<S>(
        &self,
        carrier: S,
        beginning: Beginning,
        own: &Reference,
        peer: &Reference,
    ) -> io::Result<(client::TlsStream<S>, Presented)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut config = self.outbound.clone();
        if let Some(key) = self.own.of(Some(own.ascii())) {
            config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(key));
        }
        if beginning == Beginning::Direct {
            config.alpn_protocols = vec![ALPN.to_vec()];
        }
        // XEP-0368 §3 (6): the domain, not the host that was found for it.
        let name = ServerName::try_from(peer.ascii().to_owned()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, carrier).await?;
        let connection = stream.get_mut().1;
        connection.set_buffer_limit(Some(BUFFER));
        let shown = Presented::on(connection);
        Ok((stream, shown))
    }
}

fn inbound(
    provider: &Arc<CryptoProvider>,
    anyone: &Arc<Anyone>,
    own: &Arc<dyn OwnCertificates>,
    alpn: &[&[u8]],
) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&VERSIONS)?
        .with_client_cert_verifier(Arc::clone(anyone) as Arc<dyn ClientCertVerifier>)
        .with_cert_resolver(Arc::new(ByName(Arc::clone(own))));
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// Our certificate by the name that is asked for.
#[derive(Debug)]
struct ByName(Arc<dyn OwnCertificates>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.of(hello.server_name())
    }
}

/// Lets anyone by who holds the key of the certificate that he shows.
#[derive(Debug)]
struct Anyone(WebPkiSupportedAlgorithms);

impl Anyone {
    /// Why a signature could not be checked, if it is for the weakness of its key.
    fn explained(
        outcome: Result<HandshakeSignatureValid, Error>,
        certificate: &CertificateDer<'_>,
    ) -> Result<HandshakeSignatureValid, Error> {
        outcome.map_err(|error| {
            let read = X509Certificate::from_der(certificate).ok();
            match read.and_then(|(_, read)| weakness::of_key(&read)) {
                Some(weakness) => {
                    let doubt = OtherError(Arc::new(Doubt::Weak(weakness)));
                    CertificateError::Other(doubt).into()
                }
                None => error,
            }
        })
    }

    fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let outcome = verify_tls12_signature(message, certificate, signed, &self.0);
        Self::explained(outcome, certificate)
    }

    fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let outcome = verify_tls13_signature(message, certificate, signed, &self.0);
        Self::explained(outcome, certificate)
    }
}

impl ClientCertVerifier for Anyone {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
