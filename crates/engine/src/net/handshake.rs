//! Why a TLS handshake failed, in words that the one who has to repair it understands.
//!
//! It is the customer who reads them, beside the attempt that failed, and the server is theirs: so
//! they say what is wrong with the server and not which check of ours said no. There is no setting
//! that would skip a check (reliability §c4).

use std::io;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use turnpike_domain::time::UnixMs;

/// Names of a certificate that are repeated at most: some have hundreds.
const NAMES_SHOWN: usize = 4;

/// What was wrong, as the end of a sentence that begins with "the TLS handshake failed: ".
pub(super) fn problem(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(certificate)) => of_certificate(certificate),
        Some(Error::NoCertificatesPresented) => "the server sent no certificate".to_owned(),
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "what answers there speaks no TLS (is it plain http?)".to_owned()
        }
        Some(Error::PeerIncompatible(_) | Error::AlertReceived(AlertDescription::ProtocolVersion)) => {
            "the server and this gateway have no version or cipher of TLS in common; TLS 1.2 or 1.3 is needed".to_owned()
        }
        Some(Error::AlertReceived(alert)) => format!("the server ended it with the alert {alert:?}"),
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "the server closed the connection in the middle of it".to_owned(),
        None => error.to_string(),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => "the server's certificate has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => format!("the server's certificate has expired on {}", day(*not_after)),
        CertificateError::NotValidYet => "the server's certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the server's certificate is not valid before {}", day(*not_before))
        }
        CertificateError::UnknownIssuer => {
            "no authority that is trusted here has signed the server's certificate: it is self-signed, of a \
             private authority, or sent without the intermediate certificates"
                .to_owned()
        }
        CertificateError::NotValidForName => "the server's certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!("the server's certificate is not for {} but for {}", expected.to_str(), names(presented))
        }
        CertificateError::BadSignature => "the server's certificate is not signed by the authority that it names".to_owned(),
        CertificateError::Revoked => "the server's certificate was revoked".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not meant for servers".to_owned()
        }
        other => format!("the server's certificate cannot be used: {other}"),
    }
}

/// `2026-11-22`: the hour helps nobody.
fn day(at: UnixTime) -> String {
    let ms = Duration::from_secs(at.as_secs()).as_millis();
    UnixMs(i64::try_from(ms).unwrap_or(i64::MAX)).to_rfc3339().chars().take("2026-11-22".len()).collect()
}

/// The names as rustls spells them (`DnsName("a.example")`), bare.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| name.split_once("(\"").and_then(|(_, rest)| rest.strip_suffix("\")")).unwrap_or(name).to_owned();
    let shown: Vec<String> = presented.iter().take(NAMES_SHOWN).map(bare).collect();
    match (shown.is_empty(), presented.len().saturating_sub(NAMES_SHOWN)) {
        (true, _) => "no name at all".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}
