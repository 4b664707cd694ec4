//! A bug in the writer's own thread.

use std::sync::Arc;

use turnpike_domain::money::Currency;
use uuid::Uuid;

use super::*;
use crate::Store as _;
use crate::organizations::{Created, NewOrganization, Organizations as _};
use crate::sqlite::{Options, SqliteStore};

fn organization(name: &str) -> NewOrganization {
    NewOrganization {
        id: Uuid::from_u128(name.bytes().fold(7, |sum, byte| sum * 257 + u128::from(byte))),
        name: name.to_owned(),
        currency: Currency::USD,
        base_fee: turnpike_domain::money::Micros(1_000),
        factor_ppm: 1_000_000,
        fixed: turnpike_domain::money::Micros::ZERO,
        at: UnixMs(1_795_392_000_000),
    }
}

#[tokio::test]
async fn a_bug_in_a_write_is_that_writes_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        folder: folder.path().to_owned(),
        erasures_copy: None,
        cipher: MessageCipher::new(&[9; 32]),
        now: UnixMs(1_795_392_000_000),
        fatal: Arc::new(|reason| panic!("the store ended: {reason}")),
        tuning: Tuning::default(),
    };
    let (store, _) = SqliteStore::open(options).expect("opens");
    for round in 0..3 {
        let made = store.create_organization(organization(&format!("before {round}"))).await.expect("creates");
        assert!(matches!(made, Created::New(_)));
        let half = store.control(|connection| -> Result<(), Failure> {
            connection.execute("DELETE FROM wallets", [])?;
            panic!("a test asked for this bug");
        });
        let half = half.await;
        assert!(matches!(half, Err(StoreError::Undone { .. })), "{half:?}");
        store.ready().await.expect("it lives");
        let wallets: i64 =
            store.read(|snapshot| Ok(snapshot.query_row("SELECT count(*) FROM wallets", [], |row| row.get(0))?)).await.expect("reads");
        assert_eq!(wallets, 2 * (round + 1), "nothing of it stays");
        let balance = store.ask(|caller| Job::Balance(OrganizationId(1), Mode::Live, caller)).await.expect("answers");
        assert_eq!(balance, Some(Balance::default()));
    }
}
