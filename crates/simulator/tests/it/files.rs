//! Media: up, shown, fetched, deleted, expired.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use turnpike_simulator::{Config, Simulator};

use crate::client::{Answer, call, call_with, read_answer, start};

pub(crate) async fn upload(simulator: &Simulator, number: &str, token: &str, mime_type: &str, file: &[u8]) -> Answer {
    let mut body = format!(
        "--b\r\ncontent-disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n\
         --b\r\ncontent-disposition: form-data; name=\"type\"\r\n\r\n{mime_type}\r\n\
         --b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\ncontent-type: {mime_type}\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n--b--\r\n");
    let head = format!(
        "POST /v23.0/{number}/media HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\
         content-type: multipart/form-data; boundary=b\r\ncontent-length: {}\r\n\r\n",
        simulator.address(),
        body.len()
    );
    let mut connection = TcpStream::connect(simulator.address()).await.expect("the simulator listens");
    connection.write_all(head.as_bytes()).await.expect("the simulator reads");
    connection.write_all(&body).await.expect("the simulator reads");
    read_answer(&mut connection).await
}

#[tokio::test]
async fn a_file_comes_back_as_it_was_uploaded_until_its_times_are_over() {
    let simulator = start(Config::default()).await;
    let file: Vec<u8> = (0..=255).cycle().take(300_000).chain(*b"\r\n--a\r\n").collect();
    let taken = upload(&simulator, "1001", "EAAgood", "image/png", &file).await;
    assert_eq!(taken.status, 200, "{}", taken.json());
    let id = taken.json()["id"].as_str().expect("an id").to_owned();

    let shown = call(simulator.address(), "GET", &format!("/v23.0/{id}"), None).await.json();
    let sum = hex::encode(ring::digest::digest(&ring::digest::SHA256, &file));
    assert_eq!(
        (&shown["messaging_product"], &shown["mime_type"], &shown["file_size"], &shown["sha256"], &shown["id"]),
        (&json!("whatsapp"), &json!("image/png"), &json!(file.len()), &json!(sum), &json!(id))
    );
    let path = |shown: &serde_json::Value| {
        let url = shown["url"].as_str().expect("a URL");
        url[url.find("/whatsapp_business/").expect("Meta's path")..].to_owned()
    };
    let fetched = call(simulator.address(), "GET", &path(&shown), None).await;
    assert_eq!((fetched.status, fetched.header("content-type")), (200, Some("image/png")));
    assert_eq!(fetched.body, file);
    let without = call_with(simulator.address(), "GET", &path(&shown), "", None).await;
    assert_eq!(without.status, 403, "the token is needed here too");
    let forged = call(simulator.address(), "GET", &path(&shown).replace("hash=", "hash=0"), None).await;
    assert_eq!(forged.status, 404);

    simulator.advance(Duration::from_secs(301)).await;
    assert_eq!(call(simulator.address(), "GET", &path(&shown), None).await.status, 404, "the URL is over");
    let again = call(simulator.address(), "GET", &format!("/v23.0/{id}"), None).await.json();
    assert_eq!(call(simulator.address(), "GET", &path(&again), None).await.status, 200, "a new one opens");
    let others = call(simulator.address(), "GET", &format!("/v23.0/{id}?phone_number_id=1002"), None).await;
    assert_eq!((others.code(), &others.json()["error"]["error_subcode"]), (100, &json!(33)));

    simulator.advance(Duration::from_secs(30 * 24 * 3_600)).await;
    assert_eq!(call(simulator.address(), "GET", &format!("/v23.0/{id}"), None).await.code(), 100, "thirty days are over");
    let record = simulator.requests(100);
    assert_eq!(record[0].body["file"]["sha256"], sum.as_str(), "the record has the measures, not the bytes");
}

#[tokio::test]
async fn a_deleted_file_is_gone_and_an_unknown_one_never_was() {
    let simulator = start(Config::default()).await;
    let id = upload(&simulator, "1001", "EAAgood", "application/pdf", b"%PDF-1.4").await.json()["id"].as_str().expect("an id").to_owned();
    let target = format!("/v23.0/{id}?phone_number_id=1001");
    assert_eq!(call(simulator.address(), "DELETE", &target, None).await.json(), json!({"success": true}));
    for (method, target) in
        [("DELETE", target.as_str()), ("GET", target.as_str()), ("GET", &format!("/v23.0/{id}")), ("DELETE", "/v23.0/12345")]
    {
        let gone = call(simulator.address(), method, target, None).await;
        assert_eq!((gone.status, gone.code(), &gone.json()["error"]["error_subcode"]), (400, 100, &json!(33)), "{method} {target}");
    }
}

#[tokio::test]
async fn a_file_must_be_of_a_known_type_and_size() {
    let simulator = start(Config { sandbox_secret: Some("box".to_owned()), ..Config::default() }).await;
    let large = vec![0_u8; 5 * 1024 * 1024 + 1];
    for (mime_type, file, code) in [("image/gif", b"GIF".as_slice(), 100), ("image/png", &large, 131_053), ("image/png", b"", 131_053)] {
        let refused = upload(&simulator, "1001", "EAAgood", mime_type, file).await;
        assert_eq!((refused.status, refused.code()), (400, code), "{mime_type}");
    }
    assert_eq!(upload(&simulator, "1001", "EAAgood", "video/mp4", &large).await.status, 200);
    let no_form = call(simulator.address(), "POST", "/v23.0/1001/media", Some(&json!({"messaging_product": "whatsapp"}))).await;
    assert_eq!(no_form.code(), 100);

    let mine = upload(&simulator, "sandbox-app1", "box", "image/png", b"x").await.json()["id"].as_str().expect("an id").to_owned();
    let target = format!("/v23.0/{mine}");
    let by_other = call(simulator.address(), "GET", &target, None).await;
    assert_eq!(by_other.status, 401, "a sandbox number's file is for the sandbox token");
    let by_mine = call_with(simulator.address(), "GET", &target, "authorization: Bearer box\r\n", None).await;
    assert_eq!(by_mine.status, 200);
}
