//! Money over HTTP: never more admitted than the wallet covers, every price that of the card, every
//! correction once and with a reason.

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::{Value, json};

use crate::client::{Answer, Ask};
use crate::house::{House, Plan, Wallet, micros, post, recipient, text};

/// Sends at once, twice as many as the wallet covers.
const AT_ONCE: usize = 1_000;

/// A text to Turkey costs this much: 0.001 base fee and 0.0009 of Meta's (the card of 2026-10-01).
const PRICE: i64 = 1_900;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_sends_at_once_a_wallet_for_five_hundred_admits_five_hundred() {
    a_wallet_for_half(Vec::new()).await;
}

/// The promise itself; `environment` may plant a bug.
pub(crate) async fn a_wallet_for_half(environment: Vec<(&'static str, String)>) {
    // 500 × 0.0019, and not a millionth more.
    let house = House::open(Plan { top_up: "0.95", environment, ..Plan::default() }).await;
    let bodies: Vec<Value> = (0..AT_ONCE).map(|n| text(&recipient(n))).collect();
    let answers: Vec<Answer> =
        bodies.iter().map(|body| house.api.call(post(&house.live, body))).collect::<FuturesUnordered<_>>().collect().await;
    let accepted = answers.iter().filter(|answer| answer.status == 200).count();
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.code_or_none() == Some("BILL_001".to_owned())).collect();
    assert_eq!(accepted + refused.len(), AT_ONCE, "nothing else was answered: {:?}", answers.iter().map(|answer| answer.status).max());
    assert_eq!(accepted, AT_ONCE / 2, "admitted");
    for answer in refused {
        assert_eq!((answer.status, answer.param("required"), answer.param("currency")), (402, json!("0.0019"), json!("USD")));
        assert_eq!(answer.header("retry-after"), None);
    }
    let wallet = house.wallet().await;
    assert_eq!(wallet, Wallet { posted: 450_000, held: 450_000, available: 0 }, "the base fees are taken, Meta's are held");
    assert_eq!(house.posts().await.len(), AT_ONCE / 2, "POSTs");
    assert_eq!(house.messages("accepted").await.len(), AT_ONCE / 2, "messages");
    house.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_corrects_refunds_and_resolves_once_each() {
    corrections(Vec::new()).await;
}

/// The promise itself; `environment` may plant a bug.
pub(crate) async fn corrections(environment: Vec<(&'static str, String)>) {
    let house = House::open(Plan { top_up: "1.00", environment, ..crate::idempotency::quick() }).await;
    let sent = house.send(&text(&recipient(1))).await;
    assert_eq!(sent.status, 200, "{}", sent.summary());
    assert_eq!(house.wallet().await, Wallet { posted: 999_000, held: 900, available: 998_100 });

    // A refund returns what was captured, once, and wants a reason.
    let refund = |body: Value| house.try_order("/messages/refund", body);
    let id = sent.message_id();
    let unexplained = refund(json!({"message": id})).await;
    assert_eq!((unexplained.status, unexplained.param("fields")[0]["path"].clone()), (400, json!("reason")), "{}", unexplained.summary());
    let refunded = refund(json!({"message": id, "reason": "sent twice by the shop"})).await;
    assert_eq!(refunded.status, 200, "{}", refunded.summary());
    assert_eq!(refunded.json()["data"], json!([{"leg": "base", "state": "refunded", "amount": "0.001"}]));
    assert_eq!(house.wallet().await, Wallet { posted: 1_000_000, held: 900, available: 999_100 });
    let again = refund(json!({"message": id, "reason": "sent twice by the shop"})).await;
    assert_eq!(again.status, 422, "{}", again.summary());
    let held = refund(json!({"message": id, "leg": "meta", "reason": "as well"})).await;
    assert_eq!(held.status, 422, "what is only held cannot be refunded: {}", held.summary());

    // An adjustment goes either way, but never below what is available.
    let adjust =
        |amount: &str| house.try_order("/organizations/-/wallet/adjust", json!({"amount": amount, "reason": "a slip of the hand"}));
    assert_eq!(adjust("-0.9991").await.status, 200);
    assert_eq!(house.wallet().await, Wallet { posted: 900, held: 900, available: 0 });
    let below = adjust("-0.000001").await;
    assert_eq!((below.status, below.code().as_str()), (422, "MGMT_422"), "{}", below.summary());
    assert_eq!(adjust("0.5").await.status, 200);

    // The same top-up twice is one.
    let top_up = json!({"amount": "0.25", "reason": "invoice 7", "id": "01940000-0000-7000-8000-0000000000aa"});
    house.order("/organizations/-/wallet/top-up", top_up.clone()).await;
    house.order("/organizations/-/wallet/top-up", top_up).await;
    assert_eq!(house.wallet().await.available, 750_000);
    // Another one is not taken for it.
    let other = json!({"amount": "2.50", "reason": "invoice 8", "id": "01940000-0000-7000-8000-0000000000aa"});
    for (path, body) in
        [("top-up", other), ("adjust", json!({"amount": "0.25", "reason": "invoice 7", "id": "01940000-0000-7000-8000-0000000000aa"}))]
    {
        let taken = house.try_order(&format!("/organizations/-/wallet/{path}"), body).await;
        assert_eq!((taken.status, taken.code().as_str()), (422, "MGMT_422"), "{}", taken.summary());
    }
    assert_eq!(house.wallet().await.available, 750_000);

    // An unknown outcome holds its price until an operator says what it was.
    for (n, as_what, posted, held) in [(1, "accepted", 1_000, 900), (2, "not-sent", 0, 0), (3, "failed", 1_000, 0)] {
        let to = format!("9053100000{n:02}");
        let rule = house.script(json!({"match": {"to": to}, "behaviour": "close_after_body_fin"})).await;
        let before = house.wallet().await;
        let lost = house.send(&text(&to)).await;
        assert_eq!((lost.status, lost.code().as_str()), (504, "GW_003"), "{}", lost.summary());
        assert_eq!(lost.param("message_id"), json!(lost.message_id()));
        let between = house.wallet().await;
        assert_eq!((between.posted, between.held), (before.posted, before.held + PRICE), "an unknown holds its whole price");
        let order = json!({"message": lost.message_id(), "as": as_what, "reason": "asked the recipient"});
        let resolved = house.try_order("/messages/resolve", order.clone()).await;
        assert_eq!(resolved.status, 200, "{}", resolved.summary());
        let after = house.wallet().await;
        assert_eq!((before.posted - after.posted, after.held - before.held), (posted, held), "resolved as {as_what}");
        let twice = house.try_order("/messages/resolve", order).await;
        assert_eq!(twice.status, 422, "an outcome is resolved once: {}", twice.summary());
        assert!(rule > 0);
    }
    let known = house.try_order("/messages/resolve", json!({"message": id, "as": "not-sent", "reason": "to get the money back"})).await;
    assert_eq!(known.status, 422, "what Meta accepted cannot be resolved away: {}", known.summary());
    house.verify().await;

    let statement = house.ask("/organizations/-/wallet/statement?limit=500").await;
    let lines = statement.as_array().expect("a list");
    for kind in ["top_up", "adjust", "hold", "capture", "release", "refund"] {
        assert!(lines.iter().any(|line| line["kind"] == kind), "the statement shows a {kind}");
    }
    let net: i64 = lines
        .iter()
        .map(|line| {
            let amount = micros(&line["amount"]);
            assert!(amount > 0, "{line}");
            i64::from(line["credit"] == "wallet") * amount - i64::from(line["debit"] == "wallet") * amount
        })
        .sum();
    assert_eq!(net, house.wallet().await.available, "the statement adds up to what is available");
}

/// Recipients of many markets, by country.
const MARKETS: [(&str, &str); 8] = [
    ("905321234567", "turkey"),
    ("4915112345678", "germany"),
    ("5511912345678", "brazil"),
    ("919812345678", "india"),
    ("6281212345678", "indonesia"),
    ("14155552671", "north_america"),
    ("77012345678", "other"),
    ("447700900123", "united_kingdom"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_price_is_that_of_the_card() {
    let house = House::open(Plan::default()).await;
    let cards = house.ask("/rates?currency=USD").await;
    for category in ["service", "utility", "marketing", "authentication"] {
        for (to, _) in MARKETS {
            let body = match category {
                "utility" => template(to, "order_confirmation", json!([])),
                "marketing" => {
                    template(to, "weekly_newsletter", json!([{"type": "body", "parameters": [{"type": "text", "text": "Deniz"}]}]))
                }
                "authentication" => template(
                    to,
                    "otp_verification",
                    json!([
                        {"type": "body", "parameters": [{"type": "text", "text": "302718"}]},
                        {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "302718"}]},
                    ]),
                ),
                _ => text(to),
            };
            let before = house.wallet().await;
            let checked = house.api.call(Ask::post("/v1/wa/message/check").bearer(&house.live).json(&body)).await;
            assert_eq!(checked.status, 200, "{category} {to}: {}", checked.summary());
            assert_eq!(house.wallet().await, before, "a check moves nothing");
            let sent = house.send(&body).await;
            assert_eq!(sent.status, 200, "{category} {to}: {}", sent.summary());
            let billing = sent.json()["billing"].clone();
            assert_eq!(billing, checked.json()["data"]["billing"], "the check says what the send costs");
            assert_eq!(billing["category"], category, "{to}");
            let card = house.ask(&format!("/rates?card={}", billing["rateCard"].as_str().unwrap_or(""))).await;
            let line = card[0]["prices"]
                .as_array()
                .and_then(|lines| lines.iter().find(|line| line["market"] == billing["market"] && line["category"] == category))
                .unwrap_or_else(|| panic!("{category} in {}: not in the card; cards: {cards}", billing["market"]));
            assert_eq!(micros(&billing["metaFeeHeld"]), micros(&line["amount"]), "{category} {to}: {billing} {line}");
            assert_eq!(billing["baseFee"], "0.001");
            let after = house.wallet().await;
            assert_eq!(
                (before.posted - after.posted, after.held - before.held),
                (1_000, micros(&billing["metaFeeHeld"])),
                "{category} {to}"
            );
        }
    }
    // Prices differ by market: the table is not one number.
    let quotes: std::collections::BTreeSet<i64> = {
        let mut quotes = std::collections::BTreeSet::new();
        for (to, _) in MARKETS {
            quotes.insert(micros(&house.ask(&format!("/rates/price?to={to}&category=marketing")).await["metaFee"]));
        }
        quotes
    };
    assert!(quotes.len() >= 5, "{quotes:?}");
    house.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markup_and_who_pays_meta_decide_the_price() {
    let house = House::open(Plan::default()).await;
    let path = "/api/v1/operator/organizations/-";
    let prices = json!({"baseFee": "0.002", "factor": "1.5", "fixed": "0.0001"});
    let changed = house.operator.call(Ask::new(http::Method::PATCH, path).json(&prices)).await;
    assert_eq!(changed.status, 200, "{}", changed.summary());
    let sent = house.send(&text(&recipient(1))).await.json();
    assert_eq!(
        (&sent["billing"]["baseFee"], &sent["billing"]["metaFeeHeld"]),
        (&json!("0.002"), &json!("0.00145")),
        "0.0009 × 1.5 + 0.0001"
    );
    house.change_app("shop", json!({"metaBilling": "customer"})).await;
    let sent = house.send(&text(&recipient(2))).await;
    assert_eq!(sent.json()["billing"]["metaFeeHeld"], "0.00", "{}", sent.summary());
    let view = house.look_up(&sent.message_id()).await.json();
    assert_eq!(view["data"]["money"]["metaReported"], "0.0009", "what Meta itself will bill, without our markup: {view}");
    house.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sandbox_and_fake_never_touch_the_live_wallet() {
    let house = House::open(Plan { top_up: "0.01", ..Plan::default() }).await;
    let before = house.wallet().await;
    for n in 0..20 {
        let sent = house.api.call(post(&house.sandbox, &text(&recipient(n)))).await;
        assert_eq!((sent.status, sent.header("x-gateway-mode")), (200, Some("sandbox")), "{}", sent.summary());
        let fake = house.api.call(Ask::post("/v1/wa/message?is_fake=1").bearer(&house.live).json(&text(&recipient(n)))).await;
        assert_eq!((fake.status, fake.header("x-gateway-mode")), (200, Some("fake")), "{}", fake.summary());
    }
    assert_eq!(house.wallet().await, before);
    assert_eq!(house.posts().await.len(), 0, "neither reaches the real Meta");
    let play = house.wallet_of(true).await;
    assert!(play.posted > 0 && play.held > 0, "the play wallet was refilled and charged: {play:?}");
    // A fake looks at the balance all the same.
    house.try_order("/organizations/-/wallet/adjust", json!({"amount": "-0.009", "reason": "empty it"})).await;
    let poor = house.api.call(Ask::post("/v1/wa/message?is_fake=1").bearer(&house.live).json(&text(&recipient(99)))).await;
    assert_eq!((poor.status, poor.code().as_str()), (402, "BILL_001"), "{}", poor.summary());
    house.verify().await;
}

fn template(to: &str, name: &str, components: Value) -> Value {
    let mut template = json!({"name": name, "language": {"code": "en_US"}});
    if components.as_array().is_some_and(|components| !components.is_empty()) {
        template["components"] = components;
    }
    json!({"messaging_product": "whatsapp", "to": to, "type": "template", "template": template})
}
