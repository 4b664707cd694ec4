//! Templates, number and account, read from a server that plays Meta.

mod graph_support;

use std::sync::Arc;
use std::time::Duration;

use graph_support::{Road, listen, read_request, short, spawn};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use turnpike_domain::refusal::{MetaRefusalClass, UnknownCause};
use turnpike_engine::graph::{GraphFailure, Link, TEMPLATE_PAGES_MAX, Trace};
use turnpike_engine::transport::Target;

type Asked = Arc<Mutex<Vec<String>>>;

/// A server that answers each GET by its path and query; tells what was asked.
async fn meta(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> (Road, Asked) {
    let (listener, address) = listen().await;
    let asked: Asked = Arc::default();
    let heard = Arc::clone(&asked);
    let answer = Arc::new(answer);
    spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (heard, answer) = (Arc::clone(&heard), Arc::clone(&answer));
            spawn(async move {
                while let Ok(Some((head, _))) = read_request(&mut socket).await {
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    let (status, body) = answer(&path);
                    heard.lock().push(head);
                    let text =
                        format!("HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    socket.write_all(text.as_bytes()).await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    (Road::to(&format!("http://{address}"), short()), asked)
}

fn page(names: &[&str], after: Option<&str>) -> String {
    let data: Vec<String> = names.iter().map(|name| format!(r#"{{"name":"{name}", "components" : []}}"#)).collect();
    let paging = match after {
        Some(after) => format!(
            r#","paging":{{"cursors":{{"before":"b","after":"{after}"}},"next":"https://elsewhere.example/?access_token=x&after={after}"}}"#
        ),
        None => r#","paging":{"cursors":{"before":"b","after":"end"}}"#.to_owned(),
    };
    format!(r#"{{"data":[{}]{paging}}}"#, data.join(","))
}

const WAIT: Option<Duration> = Some(Duration::from_secs(5));

#[tokio::test]
async fn every_page_is_read_on_our_own_host_and_metas_bytes_are_kept() {
    let (road, asked) = meta(|path| match path.split("&after=").nth(1) {
        None => (200, page(&["a", "b"], Some("Q+/="))),
        Some("Q%2B%2F%3D") => (200, page(&["c"], Some("second"))),
        Some("second") => (200, page(&["d"], None)),
        Some(other) => panic!("{other}"),
    })
    .await;
    let templates = road.client.message_templates(&road.link, "1020304050", WAIT, &Trace::default()).await.expect("three pages");
    let texts: Vec<&str> = templates.iter().map(|template| template.get()).collect();
    assert_eq!(texts, ["a", "b", "c", "d"].map(|name| format!(r#"{{"name":"{name}", "components" : []}}"#)));
    let asked = asked.lock();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|head| head.starts_with("GET /v23.0/1020304050/message_templates?fields=")), "{asked:?}");
    assert!(asked.iter().all(|head| !head.to_ascii_lowercase().contains("content-type")), "a GET has no body: {asked:?}");
}

#[tokio::test]
async fn a_list_that_goes_in_a_circle_or_never_ends_is_no_list() {
    let circle = meta(|_| (200, page(&["a"], Some("same")))).await.0;
    let endless = meta(|path| {
        let number = path.split("&after=c").nth(1).and_then(|number| number.parse::<usize>().ok()).unwrap_or(0);
        (200, page(&["a"], Some(&format!("c{}", number + 1))))
    })
    .await;
    for road in [&circle, &endless.0] {
        let failure = road.client.message_templates(&road.link, "1", WAIT, &Trace::default()).await.expect_err("it has no end");
        assert_eq!(failure, GraphFailure::Unknown { cause: UnknownCause::UnreadableAnswer });
    }
    assert_eq!(endless.1.lock().len(), TEMPLATE_PAGES_MAX);
}

#[tokio::test]
async fn a_page_that_fails_fails_the_list() {
    let (road, _) = meta(|path| match path.contains("after=") {
        false => (200, page(&["a"], Some("next"))),
        true => (
            401,
            r#"{"error":{"message":"Error validating access token","type":"OAuthException","code":190,"error_subcode":463}}"#.to_owned(),
        ),
    })
    .await;
    match road.client.message_templates(&road.link, "1", WAIT, &Trace::default()).await {
        Err(GraphFailure::Refused { refusal, http_status: 401 }) => {
            assert_eq!((refusal.class, refusal.code, refusal.subcode), (MetaRefusalClass::Link, 190, Some(463)));
            assert!(refusal.hint.contains("expired"), "{}", refusal.hint);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn number_and_account_are_read_as_far_as_meta_shows_them() {
    let (road, _) = meta(|path| {
        let body = if path.starts_with("/v23.0/106540352242922?") {
            r#"{"id":"106540352242922","display_phone_number":"+1 555-0783881","quality_rating":"GREEN","throughput":{"level":"STANDARD"},"news":1}"#
        } else {
            r#"{"id":"55","name":"Acme","timezone_id":"1","currency":"USD"}"#
        };
        (200, body.to_owned())
    })
    .await;
    let number = road.client.number(&road.link, WAIT, &Trace::default()).await.expect("a number");
    assert_eq!(number.display_phone_number.as_deref(), Some("+1 555-0783881"));
    assert_eq!(number.throughput.and_then(|throughput| throughput.level).as_deref(), Some("STANDARD"));
    assert_eq!(number.status, None);
    let waba = road.client.waba(&road.link, "55", WAIT, &Trace::default()).await.expect("an account");
    assert_eq!((waba.timezone_id.as_deref(), waba.currency.as_deref()), (Some("1"), Some("USD")));
}

#[tokio::test]
async fn an_answer_that_does_not_hold_what_was_asked_for_is_unreadable() {
    let (road, _) = meta(|_| (200, r#"{"data":"nothing"}"#.to_owned())).await;
    let unreadable = GraphFailure::Unknown { cause: UnknownCause::UnreadableAnswer };
    assert_eq!(road.client.message_templates(&road.link, "1", WAIT, &Trace::default()).await.err(), Some(unreadable.clone()));
    assert_eq!(road.client.number(&road.link, WAIT, &Trace::default()).await.err(), Some(unreadable.clone()));
    assert_eq!(road.client.waba(&road.link, "1", WAIT, &Trace::default()).await.err(), Some(unreadable));
}

#[tokio::test]
async fn an_id_that_would_change_the_path_is_never_asked_for() {
    let (road, asked) = meta(|_| (200, page(&[], None))).await;
    assert!(matches!(
        road.client.message_templates(&road.link, "1/../2", WAIT, &Trace::default()).await,
        Err(GraphFailure::NotSent { .. })
    ));
    assert!(asked.lock().is_empty());
}

#[tokio::test]
async fn a_base_url_with_a_path_keeps_it_and_the_proof_goes_along() {
    let (road, asked) = meta(|_| (200, page(&[], None))).await;
    let target = Target::parse(&format!("{}/meta", road.link.target())).expect("a base URL");
    let link = Link::new(Arc::new(target), "v26.0", "1", "token", Some("secret")).expect("a link");
    road.client.message_templates(&link, "7", WAIT, &Trace::default()).await.expect("an empty page");
    let head = asked.lock()[0].clone();
    assert!(head.starts_with("GET /meta/v26.0/7/message_templates?fields="), "{head}");
    let proof = "&appsecret_proof=e941110e3d2bfe82621f0e3e1434730d7305d106c5f68c87165d0b27a4611a4a HTTP/1.1";
    assert!(head.lines().next().is_some_and(|line| line.ends_with(proof)), "{head}");
}

#[tokio::test]
async fn a_reader_that_has_less_time_gives_up_sooner() {
    let (listener, address) = listen().await;
    let road = Road::to(&format!("http://{address}"), short());
    let began = tokio::time::Instant::now();
    let failure = road.client.number(&road.link, Some(Duration::from_millis(100)), &Trace::default()).await.expect_err("nobody answers");
    assert_eq!(failure, GraphFailure::Unknown { cause: UnknownCause::Timeout });
    assert!(began.elapsed() < Duration::from_secs(5), "the hard cap is ten seconds");
    drop(listener);
}
