//! Nothing is believed that was not signed byte for byte by a secret of ours.

use bytes::Bytes;
use turnpike_domain::webhook::hub_signature;
use turnpike_engine::entropy::{Entropy as _, SeededEntropy};
use turnpike_engine::intake::{NotSigned, TakenIn};

use crate::posts::*;

const FORGED: u64 = 100_000;

#[test]
fn of_a_hundred_thousand_forged_and_altered_signatures_none_is_accepted() {
    let house = house();
    house.run(async {
        let body = as_meta_writes(&text_from(NUMBER, WABA, "905551112233", "wamid.HBgM/1==", NOON_S));
        let right = hub_signature(SECRET.as_bytes(), &body);
        let chance = SeededEntropy::new(29);
        for number in 0..FORGED {
            let mut bytes = body.to_vec();
            let mut signatures = vec![right.clone().into_bytes()];
            let bit = |of: &mut Vec<u8>, from: usize| {
                let at = from + usize::try_from(chance.below((of.len() - from) as u64)).expect("small");
                of[at] ^= 1 << chance.below(8);
            };
            match number % 10 {
                0 | 1 => bit(&mut bytes, 0),
                2 | 3 => bit(&mut signatures[0], 0),
                4 => signatures = vec![hub_signature(format!("secret {number}").as_bytes(), &bytes).into_bytes()],
                5 => signatures[0].truncate(usize::try_from(chance.below(right.len() as u64)).expect("small")),
                6 => {
                    let upper = right.to_ascii_uppercase().replace("SHA256", "sha256");
                    signatures = vec![if upper == right { b"sha256=".to_vec() } else { upper.into_bytes() }];
                }
                7 => signatures = vec![right.replace("sha256=", "sha1=").into_bytes()],
                8 => signatures.push(right.clone().into_bytes()),
                _ => {
                    let end = usize::try_from(chance.below(bytes.len() as u64)).expect("small");
                    bytes.truncate(end);
                }
            }
            let taken = house.engine().take_in(signatures.iter().map(Vec::as_slice), Bytes::from(bytes)).await;
            assert_eq!(taken, TakenIn::NotSigned(NotSigned::WrongSignature), "forgery {number}");
        }
        let none: [&[u8]; 0] = [];
        assert_eq!(house.engine().take_in(none, body.clone()).await, TakenIn::NotSigned(NotSigned::NoSignature));
        house.quiet().await;
        assert!(events_of(&house, &house.app("acme-main")).await.is_empty(), "nothing was recorded");
        assert_eq!(quarantined(&house).await, 0, "nothing was kept");
        assert_eq!(house.engine().take_in([right.as_bytes()], body).await, TakenIn::Durable, "the right one is taken");
        assert_eq!(events_of(&house, &house.app("acme-main")).await.len(), 1);
    });
    house.finish();
}

#[test]
fn both_secrets_of_a_rotation_sign() {
    let house = house();
    house.run(async {
        for (number, secret) in [SECRET, OLD_SECRET].into_iter().enumerate() {
            let payload = text_from(NUMBER, WABA, "905551112233", &format!("wamid.{number}"), NOON_S);
            assert_eq!(post_by(&house, secret, &payload).await, TakenIn::Durable);
        }
        assert_eq!(events_of(&house, &house.app("acme-main")).await.len(), 2);
    });
    house.finish();
}

#[test]
fn what_is_signed_and_unreadable_is_kept_once_and_seen() {
    let house = house();
    house.run(async {
        for body in ["not json", "[]", "{\"object\":\"whatsapp_business_account\"}", "not json"] {
            assert_eq!(post_bytes(&house, SECRET, Bytes::from_static(body.as_bytes())).await, TakenIn::Durable, "{body}");
        }
        let kept = house.engine().quarantined(None, 50).await.expect("the store answers");
        assert_eq!(kept.len(), 3, "a repeat is kept once");
        assert!(kept.iter().all(|record| record.meta_app_id.as_deref() == Some("42")));
        let text = house.engine().metrics.render();
        assert!(text.contains("turnpike_events_quarantined_total{reason=\"unreadable\"} 4"), "{text}");
    });
    house.finish();
}
