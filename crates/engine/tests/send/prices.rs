//! What a message costs: market, category, card, zone, markup, and who pays Meta.

use serde_json::json;
use turnpike_domain::ledger::LegState;
use turnpike_domain::money::Micros;
use turnpike_domain::send::{Category, MetaBilling};
use turnpike_domain::time::UnixMs;
use turnpike_engine::control::applications::Change;

use crate::house::*;

#[test]
fn a_reaction_costs_the_base_fee_alone() {
    let house = House::new();
    house.run(async {
        let reaction = body(&json!({"messaging_product": "whatsapp", "to": TO, "type": "reaction",
            "reaction": {"message_id": "wamid.X", "emoji": "👍"}}));
        let answer = sent(house.send(reaction).await);
        assert_eq!((answer.billing.base_fee, answer.billing.meta_fee_held), (BASE, Micros::ZERO));
        assert_eq!(house.balance().await, wallet(Micros(TEN.0 - BASE.0), Micros::ZERO, Micros::ZERO));
    });
    house.finish();
}

#[test]
fn a_direct_send_is_priced_by_the_category_that_it_names() {
    let house = House::new();
    house.run(async {
        for (category, expected) in [("utility", Category::Utility), ("authentication", Category::Authentication)] {
            let direct = body(&json!({"messaging_product": "whatsapp", "to": "4915112345678", "type": "text",
                "text": {"body": "Your parcel moved."}, "category": category}));
            let answer = sent(house.send(direct).await);
            assert_eq!((answer.billing.category, answer.billing.market.as_str()), (expected, "germany"));
            assert_eq!(answer.billing.meta_fee_held, Micros(55_000));
        }
    });
    house.finish();
}

#[test]
fn a_template_is_priced_by_its_category_and_an_unknown_one_by_the_dearest() {
    let house = House::new();
    house.run(async {
        house.meta.has_templates(vec![definition("moved", "UTILITY", "Parcel {{1}} moved.")]);
        let known = sent(house.send(template("moved", &["7"])).await);
        assert_eq!((known.billing.category, known.billing.meta_fee_held), (Category::Utility, META));
        // Meta does not tell us what it has: it decides, and the price is the dearest.
        let house = &house;
        house.clock.advance(0);
        let other = house.run_unknown_template().await;
        assert_eq!((other.billing.category, other.billing.meta_fee_held), (Category::Marketing, Micros(10_900)));
    });
    house.finish();
}

impl House {
    /// A send of a template on an application whose templates nobody can read.
    async fn run_unknown_template(&self) -> turnpike_engine::send::Sent {
        let organization = self.engine().organization(Some("acme")).expect("it is there");
        self.application(&organization, "blind", "1002", "2002").await;
        let key = self.make_key("blind", turnpike_domain::send::Mode::Live, Default::default()).await;
        self.meta.next_templates(crate::meta::End::refused(200));
        sent(self.send_by(key.text.expose(), template("never_heard_of", &[])).await)
    }
}

#[test]
fn a_customer_billed_application_holds_no_meta_fee_and_reports_it() {
    let house = House::new();
    house.run(async {
        let change = Change { meta_billing: Some(MetaBilling::Customer), ..Default::default() };
        house.engine().change_application(&house.app("acme-main"), change).await.expect("it changes");
        let answer = sent(house.send(text("hello")).await);
        assert_eq!((answer.billing.base_fee, answer.billing.meta_fee_held), (BASE, Micros::ZERO));
        let seen = house.only_message().await;
        assert_eq!((seen.money.meta_reported, seen.money.meta), (Some(META), LegState::None));
        assert_eq!(house.balance().await, wallet(Micros(TEN.0 - BASE.0), Micros::ZERO, Micros::ZERO));
    });
    house.finish();
}

#[test]
fn a_card_begins_at_midnight_in_the_applications_zone() {
    // 2026-09-30T21:00:00Z is midnight in Istanbul (UTC+3).
    let midnight = UnixMs(1_790_802_000_000);
    let house = House::new();
    house.run(async {
        let change = Change { timezone: Some("Europe/Istanbul".to_owned()), ..Default::default() };
        house.engine().change_application(&house.app("acme-main"), change).await.expect("it changes");
        house.clock.set(midnight.plus_ms(-1));
        assert_eq!(sent(house.send(text("before")).await).billing.rate_card, "usd-2026-07-01");
        house.clock.set(midnight);
        let answer = sent(house.send(text("after")).await);
        assert_eq!(answer.billing.rate_card, "usd-2026-10-01");
        let seen = house.engine().look_up(&house.caller(), &answer.message.0.to_string()).await.expect("found");
        assert_eq!(seen.price.rate_card, "usd-2026-10-01", "the card is pinned");
    });
    house.finish();
}

#[test]
fn a_markup_is_pinned_at_the_hold() {
    let house = House::new();
    house.run(async {
        sent(house.send(text("before")).await);
        let organization = house.engine().organization(Some("acme")).expect("it is there");
        house.engine().set_prices(&organization, Some(Micros(2_000)), Some(2_000_000), Some(Micros(50))).await.expect("it changes");
        let answer = sent(house.send(text("after")).await);
        assert_eq!((answer.billing.base_fee, answer.billing.meta_fee_held), (Micros(2_000), Micros(META.0 * 2 + 50)));
        assert_eq!(house.balance().await, wallet(Micros(TEN.0 - 3_000), Micros::ZERO, Micros(META.0 * 3 + 50)));
    });
    house.finish();
}

#[test]
fn an_imported_card_prices_from_its_date_on_and_only_once_it_is_stored() {
    let house = House::new();
    house.run(async {
        let csv = |service: &str| {
            let mut csv = turnpike_domain::rates::Cards::shipped()
                .card_on(turnpike_domain::money::Currency::USD, "2026-11-23".parse().expect("a date"))
                .expect("a card is in force")
                .to_csv();
            csv = csv.replace("effective: 2026-10-01", "effective: 2026-11-01");
            csv.replace("turkey,service,0.0009", &format!("turkey,service,{service}"))
        };
        house.faults().fail_next(turnpike_store::faults::Method::ImportCard, turnpike_store::faults::Fault::Unavailable);
        house.engine().import_rates("usd.csv", &csv("0.5")).await.expect_err("the store is away");
        assert_eq!(sent(house.send(text("one")).await).billing.meta_fee_held, META, "what is not stored prices nothing");
        house.engine().import_rates("usd.csv", &csv("0.002")).await.expect("it is imported");
        let answer = sent(house.send(text("two")).await);
        assert_eq!((answer.billing.meta_fee_held, answer.billing.rate_card.as_str()), (Micros(2_000), "usd-2026-11-01"));
    });
    house.finish();
}
