//! The server's certificate: from files, or made at the start with an authority
//! of its own that a client can be told to trust.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file could not be read or holds no such thing.
    #[error("reading {path}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// A certificate could not be made.
    #[error("making a certificate")]
    Made(#[from] rcgen::Error),
    /// The authority's certificate could not be written.
    #[error("writing {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Certificate and key do not fit together.
    #[error("setting up TLS")]
    Setup(#[from] rustls::Error),
}

/// What accepts TLS, and the made authority's certificate as PEM.
pub(super) struct Tls {
    pub(super) acceptor: TlsAcceptor,
    pub(super) ca_pem: Option<String>,
}

/// Sets TLS up; `h2` is offered by ALPN where wanted.
pub(super) fn set_up(files: &TlsFiles, http2: bool) -> Result<Tls, TlsError> {
    let (chain, key, ca_pem) = match files {
        TlsFiles::Pem { cert, key } => {
            let (chain, key) = read_pem(cert, key)?;
            (chain, key, None)
        }
        TlsFiles::SelfSigned { names, write_ca_to } => {
            let (chain, key, ca_pem) = make(names)?;
            if let Some(path) = write_ca_to {
                let written = match path.parent() {
                    Some(folder) => std::fs::create_dir_all(folder).and_then(|()| std::fs::write(path, &ca_pem)),
                    None => std::fs::write(path, &ca_pem),
                };
                written.map_err(|source| TlsError::Write { path: path.clone(), source })?;
            }
            (chain, key, Some(ca_pem))
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem })
}

type ChainAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read_pem(cert: &Path, key: &Path) -> Result<ChainAndKey, TlsError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, source }
    };
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(failed(cert))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(failed(key))?;
    Ok((chain, key))
}

fn make(names: &[String]) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, String), TlsError> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name.push(DnType::CommonName, "Turnpike simulator test authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_cert = ca.self_signed(&ca_key)?;

    let mut all_names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    all_names.extend(names.iter().filter(|name| !["localhost", "127.0.0.1", "::1"].contains(&name.as_str())).cloned());
    let key = KeyPair::generate()?;
    // `new` sorts names into DNS names and addresses.
    let mut leaf = CertificateParams::new(all_names.clone())?;
    let common = all_names.iter().find(|name| name.parse::<IpAddr>().is_err()).map_or("localhost", String::as_str);
    leaf.distinguished_name.push(DnType::CommonName, common);
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let leaf_cert = leaf.signed_by(&key, &Issuer::from_params(&ca, &ca_key))?;

    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok((vec![leaf_cert.der().clone(), ca_cert.der().clone()], private, ca_cert.pem()))
}
