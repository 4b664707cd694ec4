//! A certificate authority of a test's own, and endpoints' certificates, right and wrong ones.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Signs what it is asked to.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Valid {
    Now,
    Until2020,
    From2120,
}

impl Authority {
    /// An authority of that name: two of one name differ in their keys.
    pub(crate) fn new(name: &str) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut itself = CertificateParams::new(Vec::new()).expect("no names");
        itself.distinguished_name.push(DnType::CommonName, name);
        itself.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = itself.self_signed(&key).expect("a certificate").pem();
        Authority { issuer: Issuer::new(itself, key), pem }
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A server's side of TLS for these names or addresses.
    pub(crate) fn signs(&self, names: &[&str], valid: Valid) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let certificate = asked(names, valid).signed_by(&key, &self.issuer).expect("a certificate");
        acceptor(certificate.der().clone(), &key)
    }
}

/// A server's side of TLS by which nobody but itself swears.
pub(crate) fn self_signed(names: &[&str]) -> TlsAcceptor {
    let key = KeyPair::generate().expect("a key");
    let certificate = asked(names, Valid::Now).self_signed(&key).expect("a certificate");
    acceptor(certificate.der().clone(), &key)
}

fn asked(names: &[&str], valid: Valid) -> CertificateParams {
    let mut asked = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names");
    match valid {
        Valid::Now => {}
        Valid::Until2020 => asked.not_after = date_time_ymd(2020, 3, 1),
        Valid::From2120 => asked.not_before = date_time_ymd(2120, 3, 1),
    }
    asked
}

fn acceptor(certificate: CertificateDer<'static>, key: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate and its key");
    Arc::new(config).into()
}
