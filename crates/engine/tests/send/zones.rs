//! Whose word an application's time zone goes by, and what a change of it moves.

use turnpike_domain::rates::ZoneFrom;
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_engine::control::ControlFault;
use turnpike_engine::control::applications::{Change, Connect};
use turnpike_engine::secret::Secret;
use turnpike_store::faults::{Fault, Method};

use crate::house::*;
use crate::meta::End;

/// 2026-09-30T23:30:00Z: already October in Berlin (UTC+2), still September in UTC and Los Angeles.
const LATE: UnixMs = UnixMs(1_790_811_000_000);
/// Europe/Berlin, America/Los_Angeles.
const BERLIN: &str = "47";
const LOS_ANGELES: &str = "1";
const SEPTEMBER: &str = "usd-2026-07-01";
const OCTOBER: &str = "usd-2026-10-01";

impl House {
    async fn sync(&self) {
        self.engine().sync_templates(&self.app("acme-main"), Mode::Live).await.expect("templates are read");
    }

    /// The zone that prices go by, and who said so.
    fn zone(&self) -> (String, ZoneFrom) {
        let zone = self.app("acme-main").zone.clone();
        (zone.zone.name().to_owned(), zone.from)
    }

    async fn set_zone(&self, zone: &str) -> Result<(), ControlFault> {
        let change = Change { timezone: Some(zone.to_owned()), ..Default::default() };
        self.engine().change_application(&self.app("acme-main"), change).await.map(|_| ())
    }

    async fn card_now(&self) -> String {
        sent(self.send(text("what does it cost")).await).billing.rate_card
    }
}

fn is(zone: &str, from: ZoneFrom) -> (String, ZoneFrom) {
    (zone.to_owned(), from)
}

#[test]
fn a_send_late_on_the_last_day_before_a_cards_date_is_priced_by_the_zone_that_meta_told() {
    let house = House::new();
    house.run(async {
        house.clock.set(LATE);
        assert_eq!(house.zone(), is("UTC", ZoneFrom::Default));
        let before = sent(house.send(text("before")).await);
        assert_eq!(before.billing.rate_card, SEPTEMBER);
        house.meta.has_zone(BERLIN);
        house.sync().await;
        assert_eq!(house.zone(), is("Europe/Berlin", ZoneFrom::Meta));
        let after = sent(house.send(text("after")).await);
        assert_eq!(after.billing.rate_card, OCTOBER);
        let held = house.balance().await;
        house.meta.has_zone(LOS_ANGELES);
        house.sync().await;
        assert_eq!(house.balance().await, held, "nothing is priced anew");
        assert_eq!(house.card_now().await, SEPTEMBER);
        for (sent, card) in [(before, SEPTEMBER), (after, OCTOBER)] {
            let seen = house.engine().look_up(&house.caller(), &sent.message.0.to_string()).await.expect("found");
            assert_eq!(seen.price.rate_card, card, "what is held stays");
        }
    });
    house.finish();
}

#[test]
fn an_operators_zone_goes_before_metas_until_it_is_given_up() {
    let house = House::new();
    house.run(async {
        house.clock.set(LATE);
        house.set_zone("America/New_York").await.expect("it changes");
        house.meta.has_zone(BERLIN);
        house.sync().await;
        assert_eq!(house.zone(), is("America/New_York", ZoneFrom::Operator));
        assert_eq!(house.app("acme-main").row.meta_timezone_id.as_deref(), Some(BERLIN), "what Meta said is kept");
        assert_eq!(house.card_now().await, SEPTEMBER);
        house.set_zone("UTC").await.expect("it changes");
        assert_eq!(house.zone(), is("UTC", ZoneFrom::Operator), "UTC is a zone like others");
        house.set_zone("meta").await.expect("it changes");
        assert_eq!(house.zone(), is("Europe/Berlin", ZoneFrom::Meta));
        assert_eq!(house.card_now().await, OCTOBER);
        let fault = house.set_zone("Mars/Olympus").await.expect_err("no such zone");
        let ControlFault::Fields(faults) = fault else { panic!("{fault:?}") };
        assert_eq!(faults[0].path, "timezone");
        assert_eq!(house.zone(), is("Europe/Berlin", ZoneFrom::Meta));
    });
    house.finish();
}

#[test]
fn an_unknown_number_is_kept_and_shown_and_priced_in_utc() {
    let house = House::new();
    house.run(async {
        house.meta.has_zone("999");
        house.sync().await;
        let app = house.app("acme-main");
        assert_eq!((house.zone(), app.row.meta_timezone_id.as_deref()), (is("UTC", ZoneFrom::Default), Some("999")));
        assert_eq!(
            app.zone_advice().as_deref(),
            Some("Meta's time zone 999 is not known to this version; set it with: turnpike app set acme-main --timezone ZONE")
        );
        house.set_zone("Asia/Riyadh").await.expect("it changes");
        assert_eq!(house.app("acme-main").zone_advice(), None, "an operator named it");
    });
    house.finish();
}

#[test]
fn what_cannot_be_read_leaves_the_last_known_zone_and_the_templates_come_all_the_same() {
    let house = House::new();
    house.run(async {
        house.meta.has_zone(BERLIN);
        house.sync().await;
        house.meta.has_zone(LOS_ANGELES);
        for end in [
            End::refused(100),
            End::Lost,
            End::Answer(200, "{}".to_owned()),
            End::Answer(200, r#"{"id":"2001","timezone_id":null}"#.to_owned()),
            End::Answer(200, r#"{"id":"2001","timezone_id":"Europe/Berlin"}"#.to_owned()),
            End::Answer(200, r#"{"id":"2001","timezone_id":"1234567890"}"#.to_owned()),
            End::Answer(200, r#"{"id":"2001","timezone_id":-1}"#.to_owned()),
            End::Answer(200, "[]".to_owned()),
        ] {
            let asked = house.meta.asked_for_templates();
            house.meta.next_zone(end.clone());
            house.sync().await;
            assert_eq!(house.zone(), is("Europe/Berlin", ZoneFrom::Meta), "{end:?}");
            assert_eq!(house.meta.asked_for_templates(), asked + 1, "{end:?}");
        }
        // And the other way round: the zone comes though the templates do not.
        house.meta.next_templates(End::refused(200));
        house.engine().sync_templates(&house.app("acme-main"), Mode::Live).await.expect_err("no templates");
        assert_eq!(house.zone(), is("America/Los_Angeles", ZoneFrom::Meta));
    });
    house.finish();
}

#[test]
fn a_zone_that_could_not_be_kept_is_kept_by_the_next_sync_and_outlives_a_restart() {
    let mut house = House::new();
    house.run(async {
        house.meta.has_zone(BERLIN);
        house.faults().fail_next(Method::UpdateApplication, Fault::Unavailable);
        house.sync().await;
        assert_eq!(house.zone(), is("UTC", ZoneFrom::Default));
        house.sync().await;
        assert_eq!(house.zone(), is("Europe/Berlin", ZoneFrom::Meta));
    });
    house.crash();
    assert_eq!(house.zone(), is("Europe/Berlin", ZoneFrom::Meta), "before Meta was asked again");
    house.finish();
}

#[test]
fn every_application_of_the_account_gets_its_zone_and_no_other() {
    let house = House::new();
    house.run(async {
        let acme = house.engine().organization(Some("acme")).expect("it is there");
        house.application(&acme, "second", "1002", "2001").await;
        house.application(&acme, "elsewhere", "1003", "2002").await;
        house.draft(&acme, "draft").await;
        house.meta.has_zone(BERLIN);
        house.sync().await;
        for (app, zone) in [("acme-main", "Europe/Berlin"), ("second", "Europe/Berlin"), ("elsewhere", "UTC"), ("draft", "UTC")] {
            assert_eq!(house.app(app).zone.zone.name(), zone, "{app}");
        }
    });
    house.finish();
}

#[test]
fn an_application_that_moves_to_another_account_forgets_the_zone_of_the_old_one() {
    let house = House::new();
    house.run(async {
        house.meta.has_zone(BERLIN);
        house.sync().await;
        let connect = Connect {
            phone_number_id: "1001".to_owned(),
            waba_id: "2002".to_owned(),
            token: Secret::new("EAAtoken".to_owned()),
            phone_number: None,
            meta_app_id: None,
            connection_type: None,
        };
        house.engine().connect_application(&house.app("acme-main"), connect).await.expect("it connects");
        assert_eq!(house.zone(), is("UTC", ZoneFrom::Default));
        house.sync().await;
        assert_eq!(house.zone(), is("Europe/Berlin", ZoneFrom::Meta));
    });
    house.finish();
}

#[test]
fn a_sandbox_sync_asks_nobody_for_a_zone() {
    let house = House::new();
    house.run(async {
        house.meta.has_zone(BERLIN);
        house.engine().sync_templates(&house.app("acme-main"), Mode::Sandbox).await.expect("templates are read");
        assert_eq!(house.zone(), is("UTC", ZoneFrom::Default));
    });
    house.finish();
}
