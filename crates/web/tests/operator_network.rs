//! The operator's routes from another machine: shut without a token of the operator's, open with it, and
//! nothing for whoever guesses. The list of routes is the router's own, so that one that is added is
//! asked here too.

mod works;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use tower::ServiceExt as _;
use turnpike_domain::api_key::OperatorToken;
use turnpike_web::operator::{BASE, Check, Machine, Operator};
use turnpike_web::server::Peer;
use works::{Plan, Works};

struct NoMachine;

impl Machine for NoMachine {
    fn checks(&self) -> Vec<Check> {
        Vec::new()
    }
}

fn operator(works: &Works, token: Option<&OperatorToken>) -> axum::Router {
    let token = token.map(|token| Arc::new(OperatorToken::parse(token.reveal()).expect("it was one")));
    Operator { engine: Arc::clone(&works.engine), token, machine: Arc::new(NoMachine) }.router()
}

/// Every route with every method that it has, as somebody could ask it.
fn routes() -> Vec<(Method, String)> {
    let asked = |path: &str| {
        let parts: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
        parts.join("/")
    };
    turnpike_web::operator::routes().into_iter().map(|(method, path)| (method, asked(&path[BASE.len()..]))).collect()
}

/// Status and code.
async fn ask(routes: &axum::Router, method: &Method, path: &str, from: u32, authorization: Option<&str>) -> (StatusCode, String) {
    let mut request = Request::builder().method(method).uri(format!("{BASE}{path}"));
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let mut request = request.body(Body::empty()).expect("a request");
    request.extensions_mut().insert(Peer::Network { address: IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + from)), proxy: None });
    let answer = routes.clone().oneshot(request).await.expect("it never fails");
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("a whole body");
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    (status, body["errors"]["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn no_route_of_the_operators_opens_to_anything_but_his_token() {
    let works = Works::open(Plan::default()).await;
    let live = works.live_key("acme").await;
    let sandbox = works.key("acme", turnpike_domain::send::Mode::Sandbox, None).await.0;
    let (token, other) = (OperatorToken::generate([1; 32]), OperatorToken::generate([2; 32]));
    let (shut, open) = (operator(&works, None), operator(&works, Some(&token)));
    let all = routes();
    let has = |method: Method, path: &str| all.contains(&(method, path.to_owned()));
    assert!(all.len() > 50, "{all:?}");
    assert!(has(Method::DELETE, "/api-keys/x") && has(Method::PATCH, "/applications/x") && has(Method::POST, "/backup"), "{all:?}");
    let bearer = |secret: &str| format!("Bearer {secret}");
    let cut_short = bearer(&token.reveal()[..token.reveal().len() - 1]);
    let mut from = 0;
    for (method, path) in &all {
        let refusals = [
            (&shut, Some(bearer(token.reveal())), StatusCode::NOT_FOUND, "REQ_005"),
            (&shut, None, StatusCode::NOT_FOUND, "REQ_005"),
            (&open, None, StatusCode::UNAUTHORIZED, "AUTH_002"),
            (&open, Some("Basic b3A6eA==".to_owned()), StatusCode::UNAUTHORIZED, "AUTH_003"),
            (&open, Some(bearer(&live)), StatusCode::UNAUTHORIZED, "AUTH_001"),
            (&open, Some(bearer(&sandbox)), StatusCode::UNAUTHORIZED, "AUTH_001"),
            (&shut, Some(bearer(&live)), StatusCode::NOT_FOUND, "REQ_005"),
            (&open, Some(bearer(other.reveal())), StatusCode::UNAUTHORIZED, "AUTH_001"),
            (&open, Some(cut_short.clone()), StatusCode::UNAUTHORIZED, "AUTH_001"),
        ];
        for (routes, authorization, status, code) in refusals {
            // Each from an address of its own: how often one may guess is another promise.
            from += 1;
            let refused = ask(routes, method, path, from, authorization.as_deref()).await;
            assert_eq!(refused, (status, code.to_owned()), "{method} {path} with {authorization:?}");
        }
    }
    assert_eq!(works.get("/v1/wa/me", &live).await.status, 200, "and nothing was done");
    assert_eq!(works.get("/v1/wa/me", token.reveal()).await.refusal().1, "AUTH_001", "nor is his token a customer's key");
}

#[tokio::test]
async fn whoever_guesses_tokens_is_told_to_wait_and_the_operator_is_not() {
    let works = Works::open(Plan::default()).await;
    let (token, other) = (OperatorToken::generate([1; 32]), OperatorToken::generate([2; 32]));
    let open = operator(&works, Some(&token));
    let (wrong, right) = (format!("Bearer {}", other.reveal()), format!("Bearer {}", token.reveal()));
    let mut guesses = 0;
    loop {
        let (status, code) = ask(&open, &Method::GET, "/organizations", 1, Some(&wrong)).await;
        guesses += 1;
        if status == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(code, "RATE_001");
            break;
        }
        assert_eq!((status, code.as_str()), (StatusCode::UNAUTHORIZED, "AUTH_001"));
        // Twenty a second are let guess; a machine that needs minutes for so many has proved nothing.
        assert!(guesses < 5_000, "nobody stops who guesses");
    }
    assert!(guesses > 20, "{guesses}");
    assert_eq!(ask(&open, &Method::GET, "/organizations", 1, Some(&right)).await.0, StatusCode::OK, "from the same address");
    assert_eq!(ask(&open, &Method::GET, "/organizations", 2, Some(&wrong)).await.1, "AUTH_001", "another address");
}
