//! The client's side of TLS: any certificate is taken, since the worlds of these tests sign their
//! own, and what channel binding needs can be asked afterwards.

use crate::authority::Leaf;
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, ConfigBuilder, ServerConfig};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls::{SupportedProtocolVersion, version};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// TLS 1.2 and 1.3.
pub static BOTH: &[&SupportedProtocolVersion] = &[&version::TLS12, &version::TLS13];
/// TLS 1.2 alone.
pub static ONLY_12: &[&SupportedProtocolVersion] = &[&version::TLS12];
/// TLS 1.3 alone.
pub static ONLY_13: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// A connection not yet shaken hands on.
pub fn connection(
    domain: &str,
    alpn: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConnection {
    connection_of(&Arc::new(configuration(alpn, versions)), domain)
}

/// The same by a configuration, which remembers tickets.
pub fn connection_of(configuration: &Arc<ClientConfig>, domain: &str) -> ClientConnection {
    let name = ServerName::try_from(domain.to_string()).expect("a domain");
    ClientConnection::new(Arc::clone(configuration), name).expect("client connection")
}

/// A configuration that takes any certificate.
pub fn configuration(
    alpn: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut config = unshown(versions).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    config
}

/// The same of a server, which shows who it is.
pub fn configuration_showing(shown: &Leaf) -> ClientConfig {
    let key = PrivateKeyDer::try_from(shown.key.serialize_der()).expect("a key");
    let config = unshown(BOTH).with_client_auth_cert(shown.chain.clone(), key);
    config.expect("a certificate with its key")
}

/// The other side: a server that shows this, and asks for nothing.
pub fn serving(shown: &Leaf, alpn: &[&str]) -> ServerConfig {
    let key = PrivateKeyDer::try_from(shown.key.serialize_der()).expect("a key");
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(BOTH).expect("versions");
    let config = builder.with_no_client_auth();
    let config = config.with_single_cert(shown.chain.clone(), key);
    let mut config = config.expect("a certificate with its key");
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    config
}

fn unshown(
    versions: &[&'static SupportedProtocolVersion],
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(ring::default_provider());
    ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
}

/// RFC 9266: 32 bytes exported with a zero-length context.
pub fn exporter(connection: &ClientConnection) -> Vec<u8> {
    connection
        .export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", Some(b""))
        .expect("handshake done")
}

/// RFC 5929 §4: the hash of the certificate served, SHA-256 for the signatures used here.
pub fn end_point(connection: &ClientConnection) -> Vec<u8> {
    let chain = connection.peer_certificates().expect("handshake done");
    Sha256::digest(&chain[0]).to_vec()
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
