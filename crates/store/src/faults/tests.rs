//! That each fault does what its name says.

use turnpike_domain::ids::{ApplicationId, MessageCipher, OrganizationId};
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::time::UnixMs;
use uuid::Uuid;

use super::*;
use crate::messages::{Messages as _, Recalled};
use crate::organizations::{Created, NewOrganization, Organizations as _};
use crate::sqlite::{Options, SqliteStore, Tuning};

fn faulty() -> (Arc<FaultyStore>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (store, _recovery) = SqliteStore::open(Options {
        folder: folder.path().to_owned(),
        erasures_copy: None,
        cipher: MessageCipher::new(&[7; 32]),
        now: UnixMs(1),
        fatal: Arc::new(|reason| panic!("the store died: {reason}")),
        tuning: Tuning::default(),
    })
    .expect("opened");
    (FaultyStore::new(Arc::new(store)), folder)
}

async fn create(store: &FaultyStore, number: u128) -> Result<bool, StoreError> {
    let new = NewOrganization {
        id: Uuid::from_u128(number),
        name: format!("organization {number}"),
        currency: Currency::USD,
        base_fee: Micros(1),
        factor_ppm: 1_000_000,
        fixed: Micros(0),
        at: UnixMs(1),
    };
    store.create_organization(new).await.map(|created| matches!(created, Created::New(_)))
}

async fn count(store: &FaultyStore) -> usize {
    store.organizations().await.expect("listed").len()
}

#[tokio::test]
async fn without_a_script_everything_passes() {
    let (store, _folder) = faulty();
    assert!(create(&store, 1).await.expect("created"));
    assert_eq!((count(&store).await, store.calls(Method::CreateOrganization), store.calls(Method::Admit)), (1, 1, 0));
    store.ready().await.expect("ready");
}

#[tokio::test]
async fn a_failure_before_the_call_leaves_nothing_and_one_after_the_commit_leaves_it_all() {
    let (store, _folder) = faulty();
    store.fail_next(Method::CreateOrganization, Fault::Unavailable);
    store.fail_next(Method::CreateOrganization, Fault::UnavailableAfterCommit);
    store.fail_next(Method::CreateOrganization, Fault::Corrupt);
    assert!(matches!(create(&store, 1).await, Err(StoreError::Unavailable { .. })));
    assert_eq!(count(&store).await, 0);
    assert!(matches!(create(&store, 2).await, Err(StoreError::Unavailable { .. })));
    assert_eq!(count(&store).await, 1);
    assert!(matches!(create(&store, 3).await, Err(StoreError::Corrupt { .. })));
    assert_eq!(count(&store).await, 1);
    assert!(create(&store, 4).await.expect("the script is at its end"));
    assert_eq!(store.calls(Method::CreateOrganization), 4);
}

#[tokio::test]
async fn a_standing_fault_holds_until_healed_and_scripted_calls_go_first() {
    let (store, _folder) = faulty();
    store.fail_always(Method::CreateOrganization, Fault::Unavailable);
    store.pass_next(Method::CreateOrganization);
    assert!(create(&store, 1).await.expect("this one passes"));
    for number in 2..5 {
        create(&store, number).await.expect_err("all others fail");
    }
    store.heal();
    assert!(create(&store, 6).await.expect("well again"));
    assert_eq!(count(&store).await, 2);
}

#[tokio::test]
async fn a_call_that_never_answers_did_or_did_not_happen_as_scripted() {
    let (store, _folder) = faulty();
    let wait = Duration::from_millis(300);
    store.fail_next(Method::CreateOrganization, Fault::NeverAnswers);
    tokio::time::timeout(wait, create(&store, 1)).await.expect_err("no answer");
    assert_eq!(count(&store).await, 0);
    store.fail_next(Method::CreateOrganization, Fault::NeverAnswersAfterCommit);
    tokio::time::timeout(wait, create(&store, 2)).await.expect_err("no answer");
    assert_eq!(count(&store).await, 1);
}

#[tokio::test]
async fn a_delay_comes_before_the_call_and_a_late_answer_after_it() {
    let (store, _folder) = faulty();
    let (long, soon) = (Duration::from_secs(3_600), Duration::from_millis(300));
    store.fail_next(Method::CreateOrganization, Fault::Delay(long));
    tokio::time::timeout(soon, create(&store, 1)).await.expect_err("it waits");
    assert_eq!(count(&store).await, 0);
    store.fail_next(Method::CreateOrganization, Fault::LateAnswer(long));
    tokio::time::timeout(soon, create(&store, 2)).await.expect_err("its answer waits");
    assert_eq!(count(&store).await, 1);
    store.fail_next(Method::CreateOrganization, Fault::Delay(Duration::from_millis(1)));
    assert!(create(&store, 3).await.expect("late and well"));
}

#[tokio::test]
async fn a_filter_that_says_yes_to_everything_is_only_a_filter() {
    let (store, _folder) = faulty();
    assert!(!store.may_know(&[1; 16]));
    store.filter_says_yes(true);
    assert!(store.may_know(&[1; 16]));
    let recalled = store.recall(OrganizationId(1), ApplicationId(1), [1; 16], None, UnixMs(2)).await.expect("answered");
    assert_eq!(recalled, Recalled::Nothing);
}
