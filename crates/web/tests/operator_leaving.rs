//! An operator who hangs up: what he asked for goes on to its end all the same. A commit whose caller
//! has left must still reach the memory that sends go by, or a revoked key would let callers in until
//! the next start.

mod works;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Method as Verb, Request};
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;
use turnpike_domain::send::Mode;
use turnpike_store::applications::ApplicationStatus;
use turnpike_store::faults::{Fault, Method};
use turnpike_web::operator::{BASE, Check, Machine, Operator};
use turnpike_web::server::Peer;
use works::{PATIENCE, Plan, Works};

struct NoMachine;

impl Machine for NoMachine {
    fn checks(&self) -> Vec<Check> {
        Vec::new()
    }
}

/// Asks for something on the folder's own socket, and hangs up while the answer of its commit is
/// still on the way.
async fn ask_and_leave(works: &Works, verb: Verb, path: &str, slow: Method) {
    works.store.fail_next(slow, Fault::LateAnswer(Duration::from_millis(300)));
    let routes = Operator { engine: Arc::clone(&works.engine), token: None, machine: Arc::new(NoMachine) }.router();
    let mut request = Request::builder().method(verb).uri(format!("{BASE}{path}")).body(Body::empty()).expect("a request");
    request.extensions_mut().insert(Peer::Local);
    // A machine so slow that the answer has come by then proves nothing, and fails nothing.
    let _left = timeout(Duration::from_millis(50), routes.oneshot(request)).await;
}

#[tokio::test]
async fn a_key_that_was_revoked_by_one_who_hung_up_lets_nobody_in() {
    let works = Works::open(Plan::default()).await;
    let (key, id) = works.key("acme", Mode::Live, None).await;
    assert_eq!(works.get("/v1/wa/me", &key).await.status, 200);
    ask_and_leave(&works, Verb::DELETE, &format!("/api-keys/{id}"), Method::EndKey).await;
    let refused = async {
        while works.get("/v1/wa/me", &key).await.status != 401 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, refused).await.expect("the revocation that was committed holds");
}

#[tokio::test]
async fn an_application_that_was_suspended_by_one_who_hung_up_sends_nothing() {
    let works = Works::open(Plan::default()).await;
    ask_and_leave(&works, Verb::POST, "/applications/acme/suspend?org=acme", Method::UpdateApplication).await;
    let suspended = async {
        while works.app("acme").row.status != ApplicationStatus::Suspended {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, suspended).await.expect("the suspension that was committed holds");
}
