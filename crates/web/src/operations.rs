//! What operators and their machines ask: whether the process lives, whether it is ready, and its
//! metrics (contract §1); the page that explains our errors, which `errors.doc` leads to; and the API's
//! description, from which clients are made.
//!
//! These routes know no keys and say nothing about anybody's messages. They are never shed: a
//! gateway under load that fails its own health check would be restarted in the worst moment.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use turnpike_domain::refusal::Refusal;

use crate::error::{ERRORS_PAGE, errors_page, render};
use crate::openapi::{OPENAPI_PATH, openapi_text};
use crate::server::{Body, Incoming, Response};

const OK: Bytes = Bytes::from_static(b"ok\n");

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What our metrics library writes and Prometheus reads.
const OPEN_METRICS: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Tells whether sends can be taken: the store is there and the gateway is not about to stop.
pub type Readiness = Arc<dyn Fn() -> bool + Send + Sync>;

/// Writes all metrics as OpenMetrics text.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

/// A page's content type and bytes, or why there is none.
type Page = Result<(HeaderValue, Bytes), Refusal>;

/// Makes a page.
type Makes = fn(&Operations, &Incoming) -> Page;

/// Every path there is; each is asked with `GET` or `HEAD`.
static PAGES: [(&str, Makes); 6] = [
    ("/livez", Operations::liveness),
    ("/healthz", Operations::liveness),
    ("/readyz", Operations::readiness),
    ("/metrics", Operations::metrics),
    (ERRORS_PAGE, Operations::errors),
    (OPENAPI_PATH, Operations::openapi),
];

/// The paths of these routes.
pub fn paths() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|(path, _)| *path)
}

/// The operations routes.
#[derive(Clone)]
pub struct Operations {
    ready: Readiness,
    metrics: Metrics,
    metrics_for_all: bool,
}

impl Operations {
    /// The routes, with metrics for callers on this machine only.
    #[must_use]
    pub fn new(ready: Readiness, metrics: Metrics) -> Operations {
        Operations { ready, metrics, metrics_for_all: false }
    }

    /// Shows the metrics to every address; the operator has seen to who can reach the port.
    #[must_use]
    pub fn with_metrics_for_all(mut self) -> Operations {
        self.metrics_for_all = true;
        self
    }

    /// The answer, where the path is one of these routes.
    #[must_use]
    pub fn answer(&self, request: &Incoming) -> Option<Response> {
        let (_, page) = PAGES.iter().find(|(path, _)| *path == request.path())?;
        let answer = match request.head.method {
            Method::GET | Method::HEAD => page(self, request),
            _ => Err(Refusal::MethodNotAllowed { allow: "GET, HEAD" }),
        };
        Some(match answer {
            Ok((content_type, bytes)) => {
                let mut response = http::Response::new(Body::full(bytes));
                response.headers_mut().insert(CONTENT_TYPE, content_type);
                response
            }
            Err(refusal) => render(&refusal, request.error_context()),
        })
    }

    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "it is one of the pages, of which others can have none")]
    fn liveness(&self, _: &Incoming) -> Page {
        Ok((TEXT, OK))
    }

    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "it is one of the pages, of which others can have none")]
    fn errors(&self, _: &Incoming) -> Page {
        Ok((HTML, errors_page().into()))
    }

    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "it is one of the pages, of which others can have none")]
    fn openapi(&self, _: &Incoming) -> Page {
        Ok((JSON, openapi_text()))
    }

    fn readiness(&self, request: &Incoming) -> Page {
        if (self.ready)() {
            return Ok((TEXT, OK));
        }
        Err(Refusal::Overloaded { retry_after_ms: request.error_context().busy_wait_ms() })
    }

    /// To a stranger there are no metrics here, rather than some that he may not see.
    fn metrics(&self, request: &Incoming) -> Page {
        if !self.metrics_for_all && !request.peer.is_on_this_machine() {
            return Err(Refusal::NotFound);
        }
        Ok((OPEN_METRICS, (self.metrics)().into()))
    }
}
