//! Files by API key against the simulator, which keeps them as Meta does: up, down, away; live and
//! sandbox; and only for the number that they belong to.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Ask};
use crate::house::{House, Plan, connection, key_text};

const MEDIA: &str = "/v1/wa/media";

/// A form with one file.
fn form(kind: &str, bytes: &[u8]) -> Bytes {
    let mut body = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\n{kind}\r\n\
         --edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\nContent-Type: {kind}\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n--edge--\r\n");
    Bytes::from(body)
}

async fn upload(house: &House, key: &str, kind: &str, bytes: &[u8]) -> Answer {
    let asked = Ask::post(MEDIA).bearer(key).bytes(form(kind, bytes)).header("content-type", "multipart/form-data; boundary=edge");
    house.api.call(asked).await
}

async fn fetch(house: &House, key: &str, id: &str) -> Answer {
    house.api.call(Ask::get(&format!("{MEDIA}/{id}")).bearer(key)).await
}

fn id_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.summary());
    answer.json()["data"]["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_goes_up_comes_back_and_is_deleted_live_and_in_the_sandbox() {
    let house = House::open(Plan::default()).await;
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
    for key in [&house.live, &house.sandbox] {
        let id = id_of(&upload(&house, key, "image/png", &bytes).await);
        let got = fetch(&house, key, &id).await;
        assert_eq!(got.status, 200, "{}", got.summary());
        assert!(got.body == bytes, "every byte");
        let name = format!("attachment; filename=\"{id}.png\"");
        assert_eq!((got.header("content-type"), got.header("content-disposition")), (Some("image/png"), Some(name.as_str())));
        assert_eq!(got.header("x-media-sha256").map(str::len), Some(64));
        assert_eq!(got.header("x-gateway-mode"), (key == &house.sandbox).then_some("sandbox"));
        let other = if key == &house.live { &house.sandbox } else { &house.live };
        assert_eq!(fetch(&house, other, &id).await.status, 404, "a sandbox file is not a live one");
        let gone = house.api.call(Ask::new(Method::DELETE, &format!("{MEDIA}/{id}")).bearer(key)).await;
        assert_eq!((gone.status, &gone.json()["data"]), (200, &json!({"success": true})));
        let after = fetch(&house, key, &id).await;
        assert_eq!((after.status, after.code().as_str()), (404, "REQ_005"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tenants_file_is_not_there() {
    let house = House::open(Plan::default()).await;
    house.order("/organizations", json!({"name": "Other"})).await;
    let connect = connection("100000000000002", "200000000000002");
    house.order("/applications", json!({"org": "Other", "displayName": "Rival", "appId": "rival", "connect": connect})).await;
    let rival = key_text(&house.new_key("rival", json!({})).await);
    let id = id_of(&upload(&house, &house.live, "application/pdf", b"%PDF-1.7 ours").await);
    let (theirs, unknown) = (fetch(&house, &rival, &id).await, fetch(&house, &rival, "999999999999").await);
    assert_eq!((theirs.status, theirs.json()), (404, unknown.json()));
    let deleted = house.api.call(Ask::new(Method::DELETE, &format!("{MEDIA}/{id}")).bearer(&rival)).await;
    assert_eq!(deleted.status, 404);
    assert_eq!(fetch(&house, &house.live, &id).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_by_us_never_reaches_meta() {
    let house = House::open(Plan::default()).await;
    for (kind, bytes, path) in
        [("image/png", vec![0; 5 * 1024 * 1024 + 1], "file"), ("image/gif", vec![1], "type"), ("image/png", Vec::new(), "file")]
    {
        let refused = upload(&house, &house.live, kind, &bytes).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "REQ_002"), "{kind}");
        assert_eq!(refused.param("fields")[0]["path"], path, "{kind}");
    }
    let all: Vec<Value> = house.witness.call(Ask::get("/_sim/requests?limit=1000000")).await.json().as_array().cloned().unwrap_or_default();
    let uploads = all.iter().filter(|request| request["path"].as_str().is_some_and(|path| path.ends_with("/media"))).count();
    assert_eq!(uploads, 0);
}
