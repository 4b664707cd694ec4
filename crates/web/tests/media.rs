//! Files by API key, over real sockets: whole, within their limits, and never with Meta's token.

mod works;

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use turnpike_domain::send::Mode;
use turnpike_web::server::BodyPace;
use works::files::{File, Given, Meta};
use works::{Answer, Plan, TOKEN, Works};

const MIB: usize = 1024 * 1024;

fn picture(bytes: usize, given: Given) -> File {
    let bytes: Vec<u8> = (0..bytes).map(|n| u8::try_from(n % 251).expect("below 251")).collect();
    File { number: "1001", mime_type: "image/jpeg", bytes: Bytes::from(bytes), given }
}

async fn house() -> (Meta, Works) {
    house_of(Plan::default()).await
}

async fn house_of(plan: Plan) -> (Meta, Works) {
    let meta = Meta::open().await;
    let works = Works::open(Plan { graph_url: meta.url(), ..plan }).await;
    (meta, works)
}

fn tells_nothing(answer: &Answer) {
    let whole = format!("{}{}", answer.head, String::from_utf8_lossy(&answer.body));
    assert!(!whole.contains(TOKEN) && !whole.contains("/files/"), "neither the token nor Meta's address leaves: {whole}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_received_file_comes_whole_and_says_what_it_is() {
    let (meta, works) = house().await;
    let key = works.live_key("acme").await;
    let file = picture(7 * MIB, Given::Bytes);
    meta.keep("77001", file.clone());
    let answer = works.get("/v1/wa/media/77001", &key).await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert!(answer.body == file.bytes, "every byte, in order");
    for (name, value) in [
        ("content-type", "image/jpeg"),
        ("content-length", "7340032"),
        ("content-disposition", "attachment; filename=\"77001.jpg\""),
        ("x-content-type-options", "nosniff"),
        ("x-media-sha256", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
        ("cache-control", "no-store"),
        ("x-ratelimit-sec-limit", "80"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}: {}", answer.head);
    }
    assert!(!answer.head.contains(TOKEN) && !answer.head.contains("/files/"));
    let seen = meta.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].path, "/v26.0/77001");
    assert!(seen[0].query.starts_with("phone_number_id=1001&appsecret_proof="), "{}", seen[0].query);
    assert!(seen.iter().all(|seen| seen.authorization.as_deref() == Some(&format!("Bearer {TOKEN}"))), "Meta wants the token on both");
    assert!(works.metrics().contains("turnpike_media_bytes_total{direction=\"download\"} 7340032"), "{}", works.metrics());
    assert!(!works.metrics().contains("77001"), "no id is a label");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_another_number_is_answered_like_one_that_does_not_exist() {
    let (meta, works) = house().await;
    meta.keep("77001", picture(10, Given::Bytes));
    let other = works.live_key("other").await;
    let theirs = works.get("/v1/wa/media/77001", &other).await;
    let unknown = works.get("/v1/wa/media/404404", &other).await;
    assert_eq!(theirs.refusal(), (404, "REQ_005".to_owned(), String::new()));
    assert_eq!(theirs.json(), unknown.json());
    tells_nothing(&theirs);
    let deleted = works.call("DELETE", "/v1/wa/media/77001", &other, "", b"").await;
    assert_eq!(deleted.status, 404);
    let own = works.live_key("acme").await;
    assert_eq!(works.get("/v1/wa/media/77001", &own).await.status, 200, "it is still there");
    let asked = meta.seen().len();
    for odd in ["77001%2f..%2f1001", "..", "77001?x", "a/b", &"7".repeat(65)] {
        let path = format!("/v1/wa/media/{odd}");
        assert!(matches!(works.get(&path, &other).await.status, 404), "{odd}");
    }
    assert_eq!(meta.seen().len(), asked + 1, "Meta is not asked for what cannot be an id; only for 77001?x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_follows_no_address_away_from_meta() {
    let (meta, works) = house().await;
    let key = works.live_key("acme").await;
    let stranger = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let elsewhere = format!("http://{}/files/1", stranger.local_addr().expect("bound"));
    meta.keep("1", picture(10, Given::At(elsewhere.clone())));
    meta.keep("2", picture(10, Given::Redirected(elsewhere)));
    meta.keep("3", picture(10, Given::At("https://example.org/files/1".to_owned())));
    meta.keep("4", picture(10, Given::Redirected(format!("{}/files/4", meta.url()))));
    for id in ["1", "2", "3", "4"] {
        let answer = works.get(&format!("/v1/wa/media/{id}"), &key).await;
        assert_eq!(answer.refusal().1, "GW_002", "{id}");
        tells_nothing(&answer);
    }
    let visited = tokio::time::timeout(Duration::from_millis(300), stranger.accept()).await;
    assert!(visited.is_err(), "nobody even connected to the stranger");
    assert_eq!(meta.seen().iter().filter(|seen| seen.path == "/files/4").count(), 3, "a circle is followed twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_has_expired_is_asked_for_once_more() {
    let (meta, works) = house().await;
    let key = works.live_key("acme").await;
    meta.keep("1", picture(10, Given::AtTheSecondAddress));
    assert_eq!(works.get("/v1/wa/media/1", &key).await.status, 200);
    meta.keep("2", picture(10, Given::Gone));
    let gone = works.get("/v1/wa/media/2", &key).await;
    assert_eq!(gone.status, 404);
    let errors = &gone.json()["errors"];
    assert_eq!((&errors["code"], &errors["params"]["reason"]), (&"REQ_005".into(), &"expired".into()));
    assert!(errors["description"].as_str().is_some_and(|text| text.contains("7 days")), "{errors}");
    assert_eq!(meta.seen().iter().filter(|seen| seen.path == "/files/2").count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_breaks_off_is_not_taken_for_a_whole_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let works = Works::open(Plan { graph_url: format!("http://{address}"), ..Plan::default() }).await;
    let key = works.live_key("acme").await;
    let tasks = tokio_util::task::TaskTracker::new();
    tasks.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let read = socket.read(&mut head).await.unwrap_or(0);
            let asked = String::from_utf8_lossy(&head[..read]).into_owned();
            let answer = if asked.starts_with("GET /files") {
                "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf of it".to_owned()
            } else {
                let body = format!("{{\"url\":\"http://{address}/files\",\"mime_type\":\"image/png\"}}");
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            };
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    let answer = works.get("/v1/wa/media/1", &key).await;
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("1000")));
    assert!(answer.body.len() < 1000, "the connection ends short of the length that was announced");
}

fn form(parts: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (disposition, kind, bytes) in parts {
        body.extend_from_slice(format!("--B\r\nContent-Disposition: form-data; {disposition}\r\n").as_bytes());
        if !kind.is_empty() {
            body.extend_from_slice(format!("Content-Type: {kind}\r\n").as_bytes());
        }
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--B--\r\n");
    body
}

const FORM: &str = "Content-Type: multipart/form-data; boundary=B\r\n";
const FILE: &str = "name=\"file\"; filename=\"a b.jpg\"";

impl Works {
    async fn upload(&self, key: &str, parts: &[(&str, &str, &[u8])]) -> Answer {
        self.call("POST", "/v1/wa/media", key, FORM, &form(parts)).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_reaches_meta_byte_for_byte_and_leaves_nothing_behind() {
    let (meta, works) = house().await;
    let key = works.live_key("acme").await;
    let bytes = picture(5 * MIB, Given::Bytes).bytes;
    let answer = works
        .upload(&key, &[("name=\"messaging_product\"", "", b"whatsapp"), (FILE, "image/jpeg", &bytes), ("name=\"x\"", "", b"y")])
        .await;
    assert_eq!((answer.status, answer.json()), (200, serde_json::json!({"isSuccess": true, "data": {"id": "900100"}})));
    tells_nothing(&answer);
    let uploads = meta.uploads();
    assert_eq!(uploads.len(), 1);
    assert_eq!(uploads[0].path, "/v26.0/1001/media");
    let boundary = uploads[0].content_type.strip_prefix("multipart/form-data; boundary=").expect("a form").to_owned();
    let sent = &uploads[0].body;
    let before = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n--{boundary}\r\nContent-Disposition: \
         form-data; name=\"type\"\r\n\r\nimage/jpeg\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a b.jpg\"\r\n\
         Content-Type: image/jpeg\r\n\r\n"
    );
    let after = format!("\r\n--{boundary}--\r\n");
    assert!(sent.starts_with(before.as_bytes()) && sent.ends_with(after.as_bytes()));
    assert!(sent[before.len()..sent.len() - after.len()] == bytes, "every byte, in order");
    assert_eq!(std::fs::read_dir(works.folder.path().join("spool")).expect("it was made").count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_whatsapp_does_not_take_is_refused_by_field_before_meta_is_asked() {
    let (meta, works) = house().await;
    let key = works.live_key("acme").await;
    let large = vec![0; 5 * MIB + 1];
    let small: &[u8] = b"bytes";
    let with_type = |kind: &'static str| [("name=\"type\"", "", kind.as_bytes()), (FILE, "image/png", small)];
    let refused = |path: &str| (400, "REQ_002".to_owned(), path.to_owned());
    assert_eq!(works.upload(&key, &[(FILE, "image/jpeg", &large)]).await.refusal(), refused("file"));
    assert_eq!(works.upload(&key, &[(FILE, "", &large), ("name=\"type\"", "", b"image/png")]).await.refusal(), refused("file"));
    assert_eq!(works.upload(&key, &[(FILE, "image/png", b"")]).await.refusal(), refused("file"));
    assert_eq!(works.upload(&key, &with_type("image/gif")).await.refusal(), refused("type"));
    assert_eq!(works.upload(&key, &with_type("application/octet-stream")).await.refusal(), refused("type"));
    assert_eq!(works.upload(&key, &[(FILE, "video/x-msvideo", small)]).await.refusal(), refused("file"));
    assert_eq!(works.upload(&key, &[(FILE, "", small)]).await.refusal(), refused("type"));
    assert_eq!(works.upload(&key, &[("name=\"type\"", "", b"image/png")]).await.refusal(), refused("file"));
    assert_eq!(works.upload(&key, &[(FILE, "image/png", small), (FILE, "image/png", small)]).await.refusal(), refused("file"));
    let telegram = [("name=\"messaging_product\"", "", &b"telegram"[..]), (FILE, "image/png", small)];
    assert_eq!(works.upload(&key, &telegram).await.refusal(), refused("messaging_product"));
    let json = works.call("POST", "/v1/wa/media", &key, "Content-Type: application/json\r\n", b"{}").await;
    assert_eq!(json.refusal(), refused("header.Content-Type"));
    let cut = form(&[(FILE, "image/png", small)]);
    let cut = works.call("POST", "/v1/wa/media", &key, FORM, &cut[..cut.len() - 6]).await;
    assert_eq!(cut.refusal(), refused("body"));
    assert!(meta.uploads().is_empty(), "Meta was asked for none of them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_larger_than_any_file_is_refused_by_its_length_alone() {
    let (meta, works) = house().await;
    let key = works.live_key("acme").await;
    let mut socket = TcpStream::connect(works.address).await.expect("it listens");
    let head = format!("POST /v1/wa/media HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {key}\r\n{FORM}Content-Length: 105000000\r\n\r\n");
    socket.write_all(head.as_bytes()).await.expect("it is open");
    let mut answer = vec![0; 2048];
    let read = socket.read(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("REQ_004"), "{answer}");
    assert!(meta.uploads().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_stops_half_way_is_refused_in_time() {
    let pace = BodyPace { total: Duration::from_millis(300), bytes_per_second: 1024 * 1024 };
    let (meta, works) = house_of(Plan { body_pace: pace, ..Plan::default() }).await;
    let key = works.live_key("acme").await;
    let mut socket = TcpStream::connect(works.address).await.expect("it listens");
    let head =
        format!("POST /v1/wa/media HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {key}\r\n{FORM}Content-Length: 100000\r\n\r\n--B\r\n");
    socket.write_all(head.as_bytes()).await.expect("it is open");
    let mut answer = vec![0; 2048];
    let read = tokio::time::timeout(works::PATIENCE, socket.read(&mut answer)).await.expect("in time").expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("REQ_007"), "{answer}");
    assert!(meta.uploads().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_deleted_by_its_owner() {
    let (meta, works) = house().await;
    let key = works.live_key("acme").await;
    meta.keep("1", picture(10, Given::Bytes));
    let answer = works.call("DELETE", "/v1/wa/media/1", &key, "", b"").await;
    assert_eq!((answer.status, answer.json()), (200, serde_json::json!({"isSuccess": true, "data": {"success": true}})));
    assert_eq!(works.get("/v1/wa/media/1", &key).await.status, 404);
    let put = works.call("PUT", "/v1/wa/media/1", &key, "", b"").await;
    assert_eq!((put.status, put.header("allow")), (405, Some("GET, DELETE")));
    assert_eq!(works.call("GET", "/v1/wa/media", &key, "", b"").await.header("allow"), Some("POST"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_needs_scope_number_and_room() {
    let (meta, works) = house().await;
    meta.keep("1", picture(10, Given::Bytes));
    let reason = |answer: &Answer| answer.json()["errors"]["params"]["reason"].as_str().unwrap_or_default().to_owned();
    let (read, _) = works.key("acme", Mode::Live, Some(&["read"])).await;
    assert_eq!(works.get("/v1/wa/media/1", &read).await.status, 200);
    assert_eq!(reason(&works.upload(&read, &[(FILE, "image/png", b"x")]).await), "scope");
    assert_eq!(reason(&works.call("DELETE", "/v1/wa/media/1", &read, "", b"").await), "scope");
    let (send, _) = works.key("acme", Mode::Live, Some(&["send"])).await;
    assert_eq!(reason(&works.get("/v1/wa/media/1", &send).await), "scope");
    works.draft("plan").await;
    let draft = works.live_key("plan").await;
    assert_eq!(reason(&works.get("/v1/wa/media/1", &draft).await), "application_draft");
    let sandbox = works.key("acme", Mode::Sandbox, None).await.0;
    let answer = works.get("/v1/wa/media/1", &sandbox).await;
    assert_eq!((answer.refusal().1.as_str(), answer.header("x-gateway-mode")), ("GW_002", Some("sandbox")), "no simulator runs here");
    assert_eq!(works.get("/v1/wa/media/1", "pk_wrong").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_key_hears_that_the_sandbox_is_off() {
    let works = Works::open(Plan { sandbox_url: None, ..Plan::default() }).await;
    let sandbox = works.key("acme", Mode::Sandbox, None).await.0;
    for answer in [
        works.get("/v1/wa/media/1", &sandbox).await,
        works.call("POST", "/v1/wa/message", &sandbox, "Content-Type: application/json\r\n", b"{}").await,
        works.call("POST", "/v1/wa/message/check", &sandbox, "Content-Type: application/json\r\n", b"{}").await,
    ] {
        assert_eq!((answer.status, answer.refusal().1.as_str()), (403, "AUTH_006"), "{answer:?}");
        assert_eq!(answer.json()["errors"]["params"]["reason"], "sandbox_off");
    }
    assert_eq!(works.get("/v1/wa/me", &sandbox).await.status, 200, "what was sent before is still told");
    let text = br#"{"messaging_product":"whatsapp","to":"905321234567","type":"text","text":{"body":"Hello"}}"#;
    let fake = works.call("POST", "/v1/wa/message?is_fake=true", &sandbox, "Content-Type: application/json\r\n", text).await;
    let met = (fake.refusal().1, fake.header("x-gateway-mode").map(str::to_owned));
    assert_eq!(met, ("BILL_001".to_owned(), Some("fake".to_owned())), "a fake goes nowhere and comes as far as the empty wallet: {fake:?}");
    assert_eq!(works.get("/v1/wa/me", &works.live_key("acme").await).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_never_becomes_one_is_not_gathered_in_memory() {
    let (meta, works) = house().await;
    let key = works.live_key("acme").await;
    let endless = "x".repeat(2 * MIB);
    for begun in [
        // No boundary at all, and headers of a part without an end.
        endless.clone(),
        format!("--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{endless}"),
        format!("--B\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\nimage/jpeg\r\n--B\r\nX: {endless}"),
    ] {
        // Much more is announced than ever comes: whoever gathers it would wait for it.
        let head = format!(
            "POST /v1/wa/media HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: {}\r\n\r\n",
            90 * MIB
        );
        let mut socket = TcpStream::connect(works.address).await.expect("it listens");
        let _ = socket.write_all(format!("{head}{begun}").as_bytes()).await;
        let mut said = Vec::new();
        let _ = socket.read_to_end(&mut said).await;
        let said = String::from_utf8_lossy(&said);
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("REQ_002") && said.contains("half MiB"), "{said}");
    }
    assert_eq!(meta.uploads().len(), 0);
}
