//! Organizations, applications, keys, templates and rate cards: kept as they were given, unique
//! where they must be, and named where they cannot be read.

use proptest::prelude::*;
use turnpike_domain::ids::{ApplicationId, OrganizationId};
use turnpike_domain::ledger::Balance;
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::send::{ConnectionType, MetaBilling, Mode};
use turnpike_store::StoreError;
use turnpike_store::applications::{Application, ApplicationChange, ApplicationStatus, MetaTimezone, NewApplication, Paused};
use turnpike_store::keys::{ApiKeyRow, KeyEnd, KeyPolicy, NewApiKey};
use turnpike_store::organizations::{Created, NewOrganization, Organization};
use turnpike_store::rates::ImportedCard;
use turnpike_store::templates::{SyncedTemplates, TemplateRow};

use crate::story::{NOW, Opened, application, id, loaded, made, new_application, new_key, new_organization, organization};

fn names(keys: &[ApiKeyRow]) -> Vec<&str> {
    keys.iter().map(|key| key.name.as_str()).collect()
}

#[tokio::test]
async fn organizations_are_kept_oldest_first_over_a_restart() {
    let opened = Opened::new();
    let (first, second) = (organization(&*opened.store, "zeta").await, organization(&*opened.store, "alpha").await);
    assert_eq!((first.name.as_str(), first.id, first.currency), ("zeta", id("zeta"), Currency::USD));
    assert_eq!((first.base_fee, first.factor_ppm, first.fixed, first.created_at), (Micros(1_000), 1_100_000, Micros(-5), NOW));
    assert_ne!(first.key, second.key);
    let opened = opened.again().await;
    assert_eq!(opened.store.organizations().await.expect("listed"), [first, second]);
}

#[tokio::test]
async fn a_name_is_given_to_one_organization_only() {
    let opened = Opened::new();
    let first = organization(&*opened.store, "acme").await;
    let again = NewOrganization { id: id("other"), ..new_organization("acme") };
    assert_eq!(opened.store.create_organization(again).await.expect("answered"), Created::Taken("name"));
    let again = NewOrganization { id: id("acme"), ..new_organization("other") };
    assert_eq!(opened.store.create_organization(again).await.expect("answered"), Created::Taken("id"));
    assert_eq!(opened.store.organizations().await.expect("listed"), [first]);
}

#[tokio::test]
async fn a_new_organization_has_an_empty_live_and_an_empty_play_wallet_at_once() {
    let opened = Opened::new();
    let acme = organization(&*opened.store, "acme").await;
    let wallets = opened.store.wallets(acme.key).await.expect("listed");
    assert_eq!(wallets.iter().map(|wallet| wallet.mode).collect::<Vec<_>>(), [Mode::Live, Mode::Sandbox]);
    for wallet in wallets {
        assert_eq!((wallet.currency, wallet.balance), (Currency::USD, Balance::default()));
        let balance = opened.store.balance(acme.key, wallet.mode).await.expect("answered");
        assert_eq!(balance, Some(Balance::default()));
    }
}

#[tokio::test]
async fn prices_change_for_one_organization_and_no_other() {
    let opened = Opened::new();
    let (acme, other) = (organization(&*opened.store, "acme").await, organization(&*opened.store, "other").await);
    let set = opened.store.set_prices(acme.key, Micros(2_000), 900_000, Micros(7)).await.expect("answered");
    let expected = Organization { base_fee: Micros(2_000), factor_ppm: 900_000, fixed: Micros(7), ..acme };
    assert_eq!(set.as_ref(), Some(&expected));
    assert_eq!(opened.store.organizations().await.expect("listed"), [expected, other]);
    let nobody = opened.store.set_prices(OrganizationId(99), Micros(1), 1, Micros(1)).await.expect("answered");
    assert_eq!(nobody, None);
}

#[tokio::test]
async fn a_price_below_zero_is_refused_and_changes_nothing() {
    let opened = Opened::new();
    let acme = organization(&*opened.store, "acme").await;
    let refused = opened.store.set_prices(acme.key, Micros(-1), 1_000_000, Micros(0)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    assert_eq!(opened.store.organizations().await.expect("listed"), [acme]);
    organization(&*opened.store, "the writer goes on").await;
}

#[tokio::test]
async fn a_new_application_is_a_draft_without_a_number() {
    let opened = Opened::new();
    let acme = organization(&*opened.store, "acme").await;
    let shop = application(&*opened.store, &acme, "shop").await;
    assert_eq!((shop.status, shop.phone_number_id.as_deref(), shop.token_sealed.as_deref()), (ApplicationStatus::Draft, None, None));
    assert_eq!((&shop.timezone, &shop.meta_timezone_id), (&None, &None));
    assert_eq!((shop.connection_type, shop.meta_billing), (ConnectionType::CloudApi, MetaBilling::Operator));
    assert_eq!((shop.body_retention_days, shop.enforce_window, shop.number_per_second), (30, false, None));
    assert_eq!((shop.created_at, shop.updated_at, shop.organization), (NOW, NOW, acme.key));
    let opened = opened.again().await;
    assert_eq!(opened.store.applications().await.expect("listed"), [shop]);
}

#[tokio::test]
async fn an_app_id_is_given_to_one_application_only() {
    let opened = Opened::new();
    let (acme, other) = (organization(&*opened.store, "acme").await, organization(&*opened.store, "other").await);
    application(&*opened.store, &acme, "shop").await;
    let again = NewApplication { id: id("new"), ..new_application(&other, "shop") };
    assert_eq!(opened.store.create_application(again).await.expect("answered"), Created::Taken("app_id"));
    let again = NewApplication { id: id("shop"), ..new_application(&other, "news") };
    assert_eq!(opened.store.create_application(again).await.expect("answered"), Created::Taken("id"));
    let nobody = NewApplication { organization: OrganizationId(99), ..new_application(&other, "news") };
    let refused = opened.store.create_application(nobody).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable { reason }) if reason.contains("no organization 99")), "{refused:?}");
    assert_eq!(opened.store.applications().await.expect("listed").len(), 1);
}

fn every_field() -> ApplicationChange {
    ApplicationChange {
        display_name: Some("Shop of Acme".to_owned()),
        status: Some(ApplicationStatus::Activated),
        phone_number_id: Some("106540352242922".to_owned()),
        waba_id: Some("102290129340398".to_owned()),
        phone_number: Some("15550783881".to_owned()),
        token_sealed: Some(vec![1, 0, 255]),
        meta_app_id: Some("4711".to_owned()),
        connection_type: Some(ConnectionType::Coexistence),
        timezone: Some(Some("Europe/Istanbul".to_owned())),
        meta_timezone: Some(MetaTimezone { waba_id: "102290129340398".to_owned(), id: "999".to_owned() }),
        meta_billing: Some(MetaBilling::Customer),
        number_per_second: Some(Some(1_000)),
        enforce_window: Some(true),
        body_retention_days: Some(0),
        paused: Some(Some(Paused {
            code: 131_031,
            title: "Account has been locked".to_owned(),
            hint: "Appeal in Meta's \"Account quality\"".to_owned(),
            since: NOW,
        })),
    }
}

#[tokio::test]
async fn every_field_of_an_application_can_change_and_the_others_stay() {
    let opened = Opened::new();
    let acme = organization(&*opened.store, "acme").await;
    let shop = application(&*opened.store, &acme, "shop").await;
    let later = NOW.plus_ms(5);
    let change = every_field();
    let changed = opened.store.update_application(acme.key, shop.key, change.clone(), later).await.expect("answered");
    let expected = Application {
        display_name: change.display_name.expect("given"),
        status: ApplicationStatus::Activated,
        phone_number_id: change.phone_number_id,
        waba_id: change.waba_id,
        phone_number: change.phone_number,
        token_sealed: change.token_sealed,
        meta_app_id: change.meta_app_id,
        connection_type: ConnectionType::Coexistence,
        timezone: Some("Europe/Istanbul".to_owned()),
        meta_timezone_id: Some("999".to_owned()),
        meta_billing: MetaBilling::Customer,
        number_per_second: Some(1_000),
        enforce_window: true,
        body_retention_days: 0,
        paused: change.paused.expect("given"),
        updated_at: later,
        ..shop.clone()
    };
    assert_eq!(changed.map(made).as_ref(), Some(&expected));

    let nothing = opened.store.update_application(acme.key, shop.key, ApplicationChange::default(), later).await.expect("answered");
    assert_eq!(nothing.map(made).as_ref(), Some(&expected), "what is not named stays");
    let opened = opened.again().await;
    assert_eq!(opened.store.applications().await.expect("listed"), std::slice::from_ref(&expected));

    let lift = ApplicationChange { paused: Some(None), number_per_second: Some(None), ..ApplicationChange::default() };
    let lifted = opened.store.update_application(acme.key, shop.key, lift, later).await.expect("answered").map(made);
    assert_eq!(lifted, Some(Application { paused: None, number_per_second: None, ..expected }));
}

#[tokio::test]
async fn what_meta_says_of_an_accounts_time_zone_is_kept_for_that_account_only() {
    let opened = Opened::new();
    let acme = organization(&*opened.store, "acme").await;
    let shop = application(&*opened.store, &acme, "shop").await;
    let told = |waba_id: &str, id: &str| ApplicationChange {
        meta_timezone: Some(MetaTimezone { waba_id: waba_id.to_owned(), id: id.to_owned() }),
        ..ApplicationChange::default()
    };
    let zone = async |change: ApplicationChange| {
        let changed = opened.store.update_application(acme.key, shop.key, change, NOW).await.expect("answered").map(made);
        changed.expect("it is there").meta_timezone_id
    };
    assert_eq!(zone(told("1", "58")).await, None, "it has no account yet");
    assert_eq!(zone(ApplicationChange { waba_id: Some("1".to_owned()), ..told("1", "58") }).await.as_deref(), Some("58"));
    assert_eq!(zone(told("2", "7")).await.as_deref(), Some("58"), "another account's");
    assert_eq!(zone(ApplicationChange { waba_id: Some("1".to_owned()), ..Default::default() }).await.as_deref(), Some("58"));
    assert_eq!(zone(ApplicationChange { waba_id: Some("2".to_owned()), ..Default::default() }).await, None, "not heard of yet");
}

#[tokio::test]
async fn a_number_belongs_to_one_application() {
    let opened = Opened::new();
    let acme = organization(&*opened.store, "acme").await;
    let (shop, news) = (application(&*opened.store, &acme, "shop").await, application(&*opened.store, &acme, "news").await);
    let number = || ApplicationChange { phone_number_id: Some("106".to_owned()), ..ApplicationChange::default() };
    let first = opened.store.update_application(acme.key, shop.key, number(), NOW).await.expect("answered");
    assert!(matches!(first, Some(Created::New(_))), "{first:?}");
    let same = opened.store.update_application(acme.key, shop.key, number(), NOW).await.expect("answered");
    assert!(matches!(same, Some(Created::New(_))), "its own number again: {same:?}");
    let second = opened.store.update_application(acme.key, news.key, number(), NOW).await.expect("answered");
    assert_eq!(second, Some(Created::Taken("phone_number_id")));
    assert_eq!(opened.store.applications().await.expect("listed")[1], news);
}

#[tokio::test]
async fn keys_come_back_as_they_were_made() {
    let opened = Opened::new();
    let acme = organization(&*opened.store, "acme").await;
    let shop = application(&*opened.store, &acme, "shop").await;
    let narrow = NewApiKey {
        mode: Mode::Sandbox,
        policy: KeyPolicy {
            rate_per_second: 1,
            rate_per_minute: 2,
            daily_limit: Some(3),
            concurrency_limit: Some(4),
            daily_spend: Some(Micros(5_000_001)),
            allowed_markets: Some(vec!["TR".to_owned(), "DE".to_owned()]),
            allowed_ips: Some(vec!["192.0.2.0/24".to_owned()]),
            scopes: vec!["send".to_owned()],
            enforce_window: true,
        },
        expires_at: Some(NOW.plus_ms(1_000)),
        ..new_key(&shop, "narrow")
    };
    let rows = opened.store.create_keys(vec![new_key(&shop, "first"), narrow.clone(), new_key(&shop, "third")]).await.expect("created");
    assert_eq!(names(&rows), ["first", "narrow", "third"], "in order");
    assert!(rows[0].key < rows[1].key && rows[1].key < rows[2].key);
    assert_eq!((rows[1].organization, rows[1].application, rows[1].digest), (acme.key, shop.key, narrow.digest));
    assert_eq!((rows[1].mode, &rows[1].policy, rows[1].expires_at), (Mode::Sandbox, &narrow.policy, narrow.expires_at));
    let opened = opened.again().await;
    assert_eq!(loaded(&*opened.store, NOW).await, std::slice::from_ref(&rows));
    let newest_first: Vec<ApiKeyRow> = rows.into_iter().rev().collect();
    assert_eq!(opened.store.keys_of(acme.key, shop.key).await.expect("listed"), newest_first);
}

#[tokio::test]
async fn a_key_that_ended_is_not_loaded_and_still_listed() {
    let opened = Opened::new();
    let acme = organization(&*opened.store, "acme").await;
    let shop = application(&*opened.store, &acme, "shop").await;
    let at = |ms| NOW.plus_ms(ms);
    let expiring = NewApiKey { expires_at: Some(at(100)), ..new_key(&shop, "expiring") };
    opened.store.create_keys(vec![new_key(&shop, "stays"), new_key(&shop, "revoked"), expiring]).await.expect("created");
    let revoked = opened.store.end_key(acme.key, id("revoked"), KeyEnd::Revoked(at(10))).await.expect("answered").expect("known");
    assert_eq!(revoked.revoked_at, Some(at(10)));

    assert_eq!(names(&loaded(&*opened.store, at(99)).await.concat()), ["stays", "expiring"]);
    assert_eq!(names(&loaded(&*opened.store, at(100)).await.concat()), ["stays"], "from its instant on it is unknown");
    assert_eq!(names(&opened.store.keys_of(acme.key, shop.key).await.expect("listed")), ["expiring", "revoked", "stays"]);
}

#[tokio::test]
async fn an_end_only_ever_comes_nearer() {
    let opened = Opened::new();
    let acme = organization(&*opened.store, "acme").await;
    let shop = application(&*opened.store, &acme, "shop").await;
    opened.store.create_keys(vec![new_key(&shop, "k")]).await.expect("created");
    let end = async |end| {
        let row = opened.store.end_key(acme.key, id("k"), end).await.expect("answered").expect("known");
        (row.expires_at.map(|at| at.0 - NOW.0), row.revoked_at.map(|at| at.0 - NOW.0))
    };
    assert_eq!(end(KeyEnd::Expires(NOW.plus_ms(100))).await, (Some(100), None));
    assert_eq!(end(KeyEnd::Expires(NOW.plus_ms(500))).await, (Some(100), None), "an overlap is not made longer");
    assert_eq!(end(KeyEnd::Expires(NOW.plus_ms(50))).await, (Some(50), None));
    assert_eq!(end(KeyEnd::Revoked(NOW.plus_ms(20))).await, (Some(50), Some(20)));
    assert_eq!(end(KeyEnd::Revoked(NOW.plus_ms(30))).await, (Some(50), Some(20)), "the first revocation stands");
    let unknown = opened.store.end_key(acme.key, id("nobody's"), KeyEnd::Revoked(NOW)).await.expect("answered");
    assert_eq!(unknown, None);
}

#[tokio::test]
async fn a_batch_of_keys_is_stored_whole_or_not_at_all() {
    let opened = Opened::new();
    let acme = organization(&*opened.store, "acme").await;
    let shop = application(&*opened.store, &acme, "shop").await;
    let twin = NewApiKey { digest: new_key(&shop, "a").digest, ..new_key(&shop, "twin") };
    let refused = opened.store.create_keys(vec![new_key(&shop, "a"), new_key(&shop, "b"), twin]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    assert!(loaded(&*opened.store, NOW).await.is_empty());
    assert_eq!(opened.store.create_keys(vec![new_key(&shop, "a")]).await.expect("the writer goes on").len(), 1);
    assert!(opened.store.create_keys(Vec::new()).await.expect("nothing to do").is_empty());
}

#[tokio::test]
async fn many_keys_are_loaded_in_chunks() {
    let opened = Opened::new();
    let acme = organization(&*opened.store, "acme").await;
    let shop = application(&*opened.store, &acme, "shop").await;
    let many: Vec<NewApiKey> = (0..10_000).map(|number| new_key(&shop, &format!("key {number}"))).collect();
    let rows = opened.store.create_keys(many).await.expect("created");
    let chunks = loaded(&*opened.store, NOW).await;
    assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), [4_096, 4_096, 1_808]);
    assert!(chunks.concat() == rows, "every key, once, in order");
}

#[tokio::test]
async fn templates_are_replaced_a_waba_at_a_time() {
    let opened = Opened::new();
    let template = |waba: &str, name: &str, definition: &str| TemplateRow {
        waba_id: waba.to_owned(),
        name: name.to_owned(),
        language: "en_US".to_owned(),
        definition: definition.to_owned(),
    };
    let synced = |waba: &str, at: i64, templates: Vec<TemplateRow>| SyncedTemplates {
        waba_id: waba.to_owned(),
        synced_at: NOW.plus_ms(at),
        templates,
    };
    let first = synced("1", 0, vec![template("1", "hello", "{\"a\":1}"), template("1", "order", "{}")]);
    let other = synced("2", 0, vec![template("2", "hello", "{}")]);
    for sync in [&first, &other] {
        opened.store.replace_templates(sync.clone()).await.expect("replaced");
    }
    assert_eq!(opened.store.templates().await.expect("listed"), [first, other.clone()]);

    let second = synced("1", 9, vec![template("1", "hello", "{\"a\":2}")]);
    opened.store.replace_templates(second.clone()).await.expect("replaced");
    let empty = synced("3", 9, Vec::new());
    opened.store.replace_templates(empty.clone()).await.expect("replaced");
    let repeated = synced("4", 9, vec![template("4", "hello", "old"), template("4", "hello", "new")]);
    opened.store.replace_templates(repeated).await.expect("Meta's pages overlap now and then");
    let newer = synced("4", 9, vec![template("4", "hello", "new")]);
    let opened = opened.again().await;
    assert_eq!(opened.store.templates().await.expect("listed"), [second, other, empty, newer]);
}

#[tokio::test]
async fn a_rate_card_is_kept_whole_and_never_replaced() {
    let opened = Opened::new();
    let card = |id: &str, csv: &str| ImportedCard {
        id: id.to_owned(),
        currency: Currency::USD,
        effective: "2027-01-01".to_owned(),
        csv: csv.to_owned(),
        imported_at: NOW,
    };
    let (first, second) = (card("usd-2027-01-01", "a,b\n1,2\n"), card("usd-2027-01-01.2", "a,b\n1,3\n"));
    for card in [&first, &second, &first] {
        opened.store.import_card(card.clone()).await.expect("imported; the same again changes nothing");
    }
    let refused = opened.store.import_card(card("usd-2027-01-01", "another")).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable { reason }) if reason.contains("new id")), "{refused:?}");
    let opened = opened.again().await;
    assert_eq!(opened.store.imported_cards().await.expect("listed"), [first, second]);
}

#[tokio::test]
async fn an_unreadable_row_is_named() {
    let opened = Opened::new();
    let acme = organization(&*opened.store, "acme").await;
    let shop = application(&*opened.store, &acme, "shop").await;
    let row = opened.store.create_keys(vec![new_key(&shop, "k")]).await.expect("created").remove(0);
    opened
        .store
        .import_card(ImportedCard { id: "c".into(), currency: Currency::USD, effective: "x".into(), csv: String::new(), imported_at: NOW })
        .await
        .expect("imported");
    let store = &*opened.store;
    let check = async |table: &str, column: &str, good: &str, bad: &str, key: i64| {
        opened.tamper(&format!("UPDATE {table} SET {column} = {bad}"));
        let error = match table {
            "organizations" => store.organizations().await.expect_err(column),
            "applications" => store.applications().await.expect_err(column),
            "rate_cards" => store.imported_cards().await.expect_err(column),
            _ => store.load_keys(NOW, Box::new(|_| panic!("a corrupt key was given out"))).await.expect_err(column),
        };
        let StoreError::Corrupt { table: said_table, column: said_column, id } = &error else { panic!("{column}: {error}") };
        assert_eq!((*said_table, *said_column, id.as_str()), (table, column, key.to_string().as_str()));
        opened.tamper(&format!("UPDATE {table} SET {column} = {good}"));
    };
    let acme_uuid = format!("x'{}'", acme.id.simple());
    check("organizations", "currency", "'USD'", "'usd'", acme.key.0).await;
    check("organizations", "uuid", &acme_uuid, "x'00'", acme.key.0).await;
    check("organizations", "name", "'acme'", "cast(x'ff00' as text)", acme.key.0).await;
    check("applications", "status", "0", "9", shop.key.0).await;
    check("applications", "connection_type", "0", "-1", shop.key.0).await;
    check("applications", "meta_billing", "0", "7", shop.key.0).await;
    check("applications", "number_per_second", "null", "-4", shop.key.0).await;
    check("applications", "body_retention_days", "30", "70000", shop.key.0).await;
    check("applications", "paused", "null", "'{}'", shop.key.0).await;
    check("api_keys", "policy", "'{\"ratePerSecond\":80,\"ratePerMinute\":1,\"scopes\":[],\"enforceWindow\":false}'", "'{'", row.key.0)
        .await;
    check("api_keys", "mode", "0", "5", row.key.0).await;
    check("api_keys", "digest", "zeroblob(32)", "x'0102'", row.key.0).await;
    check("rate_cards", "currency", "'USD'", "'dollars'", 1).await;
    assert_eq!(store.organizations().await.expect("mended"), [acme]);
}

#[tokio::test]
async fn another_organizations_object_is_not_found() {
    let opened = Opened::new();
    let store = &*opened.store;
    let (acme, thief) = (organization(store, "acme").await, organization(store, "thief").await);
    let shop = application(store, &acme, "shop").await;
    let theirs = application(store, &thief, "theirs").await;
    store.create_keys(vec![new_key(&shop, "k")]).await.expect("created");
    let before = (store.applications().await.expect("listed"), loaded(store, NOW).await);

    let changed = store.update_application(thief.key, shop.key, every_field(), NOW.plus_ms(1)).await.expect("answered");
    assert_eq!(changed, None);
    assert_eq!(store.keys_of(thief.key, shop.key).await.expect("answered"), []);
    for end in [KeyEnd::Revoked(NOW), KeyEnd::Expires(NOW)] {
        assert_eq!(store.end_key(thief.key, id("k"), end).await.expect("answered"), None);
    }
    let planted = NewApiKey { organization: thief.key, ..new_key(&shop, "planted") };
    let nowhere = NewApiKey { application: ApplicationId(99), ..new_key(&theirs, "nowhere") };
    let rows = store.create_keys(vec![planted, new_key(&theirs, "own"), nowhere]).await.expect("answered");
    assert_eq!(names(&rows), ["own"], "a key for another's application is not made");

    store.end_key(thief.key, id("own"), KeyEnd::Revoked(NOW)).await.expect("answered");
    assert_eq!((store.applications().await.expect("listed"), loaded(store, NOW).await), before, "nothing of acme's changed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_a_key_may_do_comes_back(
        (second, minute, enforce_window) in any::<(u32, u32, bool)>(),
        (daily, at_once, spend) in any::<(Option<u32>, Option<u32>, Option<i64>)>(),
        markets in proptest::option::of(proptest::collection::vec(".{0,8}", 0..4)),
        ips in proptest::option::of(proptest::collection::vec("[0-9a-f:./]{0,20}", 0..4)),
        scopes in proptest::collection::vec(".{0,12}", 0..6),
        name in ".{0,40}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let policy = KeyPolicy {
            rate_per_second: second,
            rate_per_minute: minute,
            daily_limit: daily,
            concurrency_limit: at_once,
            daily_spend: spend.filter(|spend| *spend != i64::MIN).map(Micros),
            allowed_markets: markets,
            allowed_ips: ips,
            scopes,
            enforce_window,
        };
        runtime.block_on(async {
            let opened = Opened::new();
            let acme = organization(&*opened.store, "acme").await;
            let shop = application(&*opened.store, &acme, "shop").await;
            let new = NewApiKey { policy: policy.clone(), name: name.clone(), ..new_key(&shop, "k") };
            opened.store.create_keys(vec![new]).await.expect("created");
            let row = loaded(&*opened.store, NOW).await.concat().remove(0);
            prop_assert_eq!((row.policy, row.name), (policy, name));
            Ok(())
        })?;
    }
}
