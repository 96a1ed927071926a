//! The authorities that other servers' certificates may come from: those that the system trusts,
//! and those of the settings.

use super::{TlsError, said};
use rookery_actors::peer_tls::Roots;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use std::fs;
use std::path::{Path, PathBuf};

/// The system's authorities, or Mozilla's where it has none; and those in these PEM files.
pub(super) fn read(files: &[PathBuf]) -> Result<Roots, TlsError> {
    let mut roots = Roots::default();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "an authority of this system cannot be read");
    }
    for certificate in &system.certs {
        if let Err(error) = roots.trust(certificate) {
            tracing::debug!(%error, "an authority of this system cannot be used");
        }
    }
    if roots.is_empty() {
        tracing::info!("this system trusts no authority: those of Mozilla are trusted instead");
        roots.trust_anchors(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for file in files {
        add(&mut roots, file)?;
    }
    Ok(roots)
}

/// Adds the authorities in a file, and the lists of what they took back.
fn add(roots: &mut Roots, file: &Path) -> Result<(), TlsError> {
    let fault = |reason: String| TlsError::File {
        path: file.to_owned(),
        reason,
    };
    let pem = fs::read(file).map_err(|error| fault(error.to_string()))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| fault(said(error)))?;
    let lists = CertificateRevocationListDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let lists = lists.map_err(|error| fault(said(error)))?;
    if certificates.is_empty() && lists.is_empty() {
        return Err(fault("there is no certificate in this file".into()));
    }
    for certificate in &certificates {
        let trusted = roots.trust(certificate);
        trusted.map_err(|error| fault(format!("a certificate in it cannot be read: {error}")))?;
    }
    for list in &lists {
        let heeded = roots.heed(list);
        heeded.map_err(|error| fault(format!("a revocation list cannot be read: {error}")))?;
    }
    Ok(())
}
