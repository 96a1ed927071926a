//! A certificate of our own making, kept in the data folder.
//!
//! It is made anew when it does not name a host that is served, or when it nears its end; the key
//! stays, so that those who trusted the key go on trusting.

use super::facts::Facts;
use super::{TlsError, pair};
use crate::folder::write_private;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::sign::CertifiedKey;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

const DAY: i64 = 86_400;
/// How long a certificate lasts.
const LIFE: i64 = 3_650 * DAY;
/// How long before its end it is made anew, earlier than any warning.
pub(super) const RENEWAL: i64 = 30 * DAY;

/// The certificate in `folder`, if it serves `hosts` and lasts; else a new one, of the same key
/// where there is one.
pub(super) fn own(
    hosts: &[String],
    folder: &Path,
    now: i64,
) -> Result<(CertifiedKey, Facts), TlsError> {
    let (certificate, key) = (
        folder.join("self-signed.pem"),
        folder.join("self-signed.key"),
    );
    // A damaged certificate is made anew; a damaged key is told of below, since it is trusted.
    if let Ok((pair, facts)) = pair(&certificate, &key) {
        let names_all = hosts.iter().all(|host| facts.covers(host));
        if names_all && facts.expires - now > RENEWAL {
            return Ok((pair, facts));
        }
    }
    let fault = |path: &Path, reason: String| TlsError::File {
        path: path.to_owned(),
        reason,
    };
    let write = |path: &Path, pem: &str| {
        write_private(path, pem.as_bytes()).map_err(|error| fault(path, error.to_string()))
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| fault(folder, error.to_string()))?;
    let secret = match key.exists() {
        true => {
            let pem = fs::read_to_string(&key).map(Zeroizing::new);
            let pem = pem.map_err(|error| fault(&key, error.to_string()))?;
            let advice = "remove it, and another is made that clients must trust anew";
            KeyPair::from_pem(&pem).map_err(|error| fault(&key, format!("{error}\n  {advice}")))?
        }
        false => {
            let secret = KeyPair::generate().map_err(|error| TlsError::Made(error.to_string()))?;
            write(&key, &Zeroizing::new(secret.serialize_pem()))?;
            secret
        }
    };
    write(&certificate, &signed(hosts, &secret, now)?)?;
    pair(&certificate, &key)
}

/// A certificate for `hosts`, in PEM.
fn signed(hosts: &[String], key: &KeyPair, now: i64) -> Result<String, TlsError> {
    let fault = |error: rcgen::Error| TlsError::Made(error.to_string());
    let ascii = |host: &String| {
        let host = host.trim_matches(['[', ']']);
        let ascii = idna::domain_to_ascii(host);
        ascii.map_err(|_| TlsError::Made(format!("{host} is not a host's name")))
    };
    let names = hosts.iter().map(ascii).collect::<Result<Vec<_>, _>>()?;
    let mut params = CertificateParams::new(names).map_err(fault)?;
    let time = |seconds: i64| {
        date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    };
    // A day earlier, for clients whose clocks are slow.
    params.not_before = time(now - DAY);
    params.not_after = time(now + LIFE);
    params
        .distinguished_name
        .push(DnType::CommonName, "Rookery, self-signed");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params.self_signed(key).map_err(fault)?.pem())
}
