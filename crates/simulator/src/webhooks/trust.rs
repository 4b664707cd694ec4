//! Whose signature a callback's certificate must bear.
//!
//! Meta trusts the public authorities and nobody else. A gateway under test often has a certificate
//! of its own, so more roots can be named, by [`crate::Config::webhook_roots_pem`], by
//! [`crate::Simulator::trust`] or by `--webhook-ca`. Nothing switches the check off.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_rustls::TlsConnector;

/// The roots that are trusted now.
pub(crate) struct Trust {
    roots: RwLock<RootCertStore>,
}

impl Trust {
    /// The public authorities.
    pub(crate) fn new() -> Trust {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Trust { roots: RwLock::new(roots) }
    }

    /// Trusts these certificates too, in subscriptions that are made from now on; all of them or
    /// none. The sentence says what is wrong.
    pub(crate) fn add(&self, pem: &[u8]) -> Result<(), String> {
        let mut roots = self.roots.write().unwrap_or_else(PoisonError::into_inner);
        let mut more = roots.clone();
        let before = more.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| format!("is no certificate in PEM: {error}"))?;
            more.add(certificate).map_err(|error| format!("holds a certificate that cannot be trusted: {error}"))?;
        }
        if more.len() == before {
            return Err("holds no certificate in PEM".to_owned());
        }
        *roots = more;
        Ok(())
    }

    /// What shakes hands with who bears such a signature.
    pub(crate) fn connector(&self) -> Result<TlsConnector, String> {
        let roots = self.roots.read().unwrap_or_else(PoisonError::into_inner).clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("setting up TLS: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused_and_changes_nothing() {
        let trust = Trust::new();
        for bad in [&b""[..], b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(trust.add(bad).is_err());
        }
        assert_eq!(trust.roots.read().expect("nobody panicked").len(), webpki_roots::TLS_SERVER_ROOTS.len());
    }
}
