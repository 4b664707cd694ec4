//! One file on a connection of its own.
//!
//! Beside the pools of sends, and past their breakers: a download that takes a minute must not hold a
//! send's connection, and a host of files that is down says nothing of the host that takes messages.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use tokio::time::timeout;
use turnpike_domain::refusal::{NotSentCause, UnknownCause};

use super::TRACEPARENT;
use super::answer::chain;
use super::dial::Dialler;
use crate::media::{StreamError, Transfer, Transferred};
use crate::transport::TransportError;

/// Meta's media host refuses the names of some programs, and takes curl's (meta-cloud-api §7).
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("curl/8 turnpike/", env!("CARGO_PKG_VERSION")));

/// Headers that an answer may have.
const HEADERS_MAX: usize = 100;

/// An answer's head, and what is read ahead of whoever reads the file.
const BUFFER_MAX_BYTES: usize = 128 * 1024;

/// Sends `transfer` and waits for the head of its answer.
pub(super) async fn carry(dialler: &Dialler, transfer: Transfer) -> Result<Transferred, TransportError> {
    let within = transfer.head_within;
    timeout(within, begin(dialler, transfer)).await.unwrap_or_else(|_| Err(late(within)))
}

async fn begin(dialler: &Dialler, transfer: Transfer) -> Result<Transferred, TransportError> {
    let stream = dialler.dial_for_transfer(&transfer.target).await?;
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_MAX_BYTES)
        .handshake(stream)
        .await
        .map_err(|error| TransportError::not_sent(NotSentCause::Connect, format!("starting HTTP/1.1: {error}")))?;
    // It ends with the answer's body, or when that is dropped: nothing else keeps it.
    dialler.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("a transfer's connection ended early: {}", chain(&error));
        }
    });
    let answer = sender
        .send_request(on_the_wire(transfer))
        .await
        .map_err(|error| TransportError::maybe(UnknownCause::ConnectionLost, format!("HTTP/1.1: {}", chain(&error))))?;
    let (head, body) = answer.into_parts();
    Ok(Transferred { status: head.status, headers: head.headers, body: UnsyncBoxBody::new(body.map_err(StreamError::from)) })
}

fn on_the_wire(transfer: Transfer) -> Request<UnsyncBoxBody<Bytes, StreamError>> {
    let (kind, body) = match transfer.body {
        Some((kind, outgoing)) => (Some(kind), UnsyncBoxBody::new(outgoing.map_err(StreamError::from))),
        None => (None, UnsyncBoxBody::new(Empty::new().map_err(|never| match never {}))),
    };
    let mut wired = Request::new(body);
    *wired.method_mut() = transfer.method;
    *wired.uri_mut() = transfer.path_and_query.wire().clone().into();
    let headers = wired.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_str(transfer.target.authority()).expect("a target's authority was parsed as one"));
    headers.insert(header::USER_AGENT, USER_AGENT);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if let Some(authorization) = transfer.authorization {
        headers.insert(header::AUTHORIZATION, authorization.header().clone());
    }
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    if let Some(traceparent) = transfer.traceparent {
        headers.insert(TRACEPARENT, traceparent);
    }
    wired
}

fn late(within: Duration) -> TransportError {
    TransportError::maybe(UnknownCause::Timeout, format!("HTTP/1.1: no answer to a transfer within {} s", within.as_secs()))
}
