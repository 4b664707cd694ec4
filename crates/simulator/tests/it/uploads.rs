//! Files that are uploaded in steps: what comes of it is a handle for a template's example.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use turnpike_simulator::{Config, Simulator};

use crate::client::{Answer, call, read_answer, start};

async fn begin(simulator: &Simulator, query: &str) -> Answer {
    call(simulator.address(), "POST", &format!("/v23.0/77/uploads?{query}"), None).await
}

/// Sends bytes of the file from this offset on.
async fn go_on(simulator: &Simulator, id: &str, offset: usize, bytes: &[u8]) -> Answer {
    let head = format!(
        "POST /v23.0/{id} HTTP/1.1\r\nhost: graph.test\r\nauthorization: OAuth EAAgood\r\nfile_offset: {offset}\r\ncontent-length: {}\r\n\r\n",
        bytes.len()
    );
    let mut connection = TcpStream::connect(simulator.address()).await.expect("the simulator listens");
    connection.write_all(&[head.as_bytes(), bytes].concat()).await.expect("the simulator reads");
    read_answer(&mut connection).await
}

async fn progress(simulator: &Simulator, id: &str) -> Value {
    call(simulator.address(), "GET", &format!("/v23.0/{id}"), None).await.json()
}

#[tokio::test]
async fn an_upload_that_was_broken_off_goes_on_where_it_was_and_gives_the_same_handle() {
    let simulator = start(Config::default()).await;
    let file: Vec<u8> = (0..=255).cycle().take(2_000_000).collect();
    let mut handles = Vec::new();
    for pieces in [vec![file.len()], vec![700_000, file.len()]] {
        let begun = begin(&simulator, &format!("file_name=a.png&file_length={}&file_type=image%2Fpng", file.len())).await;
        assert_eq!(begun.status, 200, "{}", begun.json());
        let id = begun.json()["id"].as_str().expect("an id").to_owned();
        assert!(id.starts_with("upload:"), "{id}");
        let mut from = 0;
        for to in pieces {
            assert_eq!(progress(&simulator, &id).await, json!({"id": id, "file_offset": from}));
            let answer = go_on(&simulator, &id, from, &file[from..to]).await;
            if to == file.len() {
                assert_eq!(answer.status, 200, "{}", answer.json());
                handles.push(answer.json()["h"].as_str().expect("a handle").to_owned());
            } else {
                assert_eq!((answer.status, answer.code()), (400, 100), "the file is not whole");
                assert_eq!(go_on(&simulator, &id, 0, &file[..to]).await.status, 400, "these bytes have come");
            }
            from = to;
        }
    }
    assert!(handles[0].starts_with("4::"), "{handles:?}");
    assert_eq!(handles[0], handles[1]);
    let recorded = &simulator.requests(1)[0];
    assert_eq!(recorded.body["bytes"], 1_300_000, "of a file the record keeps its measures");

    let header = json!({"type": "HEADER", "format": "IMAGE", "example": {"header_handle": [handles[0]]}});
    let template = json!({"name": "with_picture", "language": "en_US", "category": "MARKETING",
        "components": [header, {"type": "BODY", "text": "Look at this"}]});
    let made = call(simulator.address(), "POST", "/v23.0/102290129340398/message_templates", Some(&template)).await;
    assert_eq!(made.status, 200, "{}", made.json());
}

#[tokio::test]
async fn an_upload_that_cannot_be_is_refused_by_its_parameter() {
    let simulator = start(Config::default()).await;
    for (query, named) in [
        ("file_type=image/png", "file_length"),
        ("file_length=0&file_type=image/png", "file_length"),
        ("file_length=104857601&file_type=image/png", "file_length"),
        ("file_length=5", "file_type"),
        ("file_length=5&file_type=text/plain", "file_type"),
    ] {
        let answer = begin(&simulator, query).await;
        assert_eq!((answer.status, answer.code()), (400, 100), "{query}");
        assert!(answer.json().to_string().contains(named), "{query}: {}", answer.json());
    }
    let begun = begin(&simulator, "file_length=5&file_type=image/png").await.json();
    let id = begun["id"].as_str().expect("an id");
    assert_eq!(go_on(&simulator, id, 0, b"longer than five").await.status, 400);
    assert_eq!(go_on(&simulator, id, 1, b"1234").await.status, 400, "the first byte is missing");
    assert_eq!(go_on(&simulator, "upload:nobody", 0, b"12345").await.status, 400);
    assert_eq!(go_on(&simulator, id, 0, b"12345").await.status, 200);
}
