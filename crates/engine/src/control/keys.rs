//! API keys: made, rotated with an overlap, revoked at once.

use std::time::Duration;

use turnpike_domain::api_key::{ApiKeyText, KeyKind};
use turnpike_domain::refusal::FieldFault;
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_store::StoreError;
use turnpike_store::keys::{ApiKeyRow, KeyEnd, KeyPolicy, KeyRotation, NewApiKey, Rotated};
use turnpike_store::organizations::Organization;
use uuid::Uuid;

use super::ControlFault;
use super::organizations::name_fault;
use crate::Engine;
use crate::directory::App;
use crate::keys::CompiledPolicy;
use crate::secret::Secret;

/// A key that was just made: its text is shown this once.
#[derive(Debug)]
pub struct MadeKey {
    /// As stored.
    pub row: ApiKeyRow,
    /// The text.
    pub text: Secret,
}

/// What a new key is asked with.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// Live or sandbox.
    pub mode: Mode,
    /// What it may do.
    pub policy: KeyPolicy,
    /// After this it is unknown.
    pub expires_at: Option<UnixMs>,
    /// How many, all alike.
    pub count: usize,
}

/// Keys of one request: a bench makes a million in ten.
pub const KEYS_AT_ONCE_MAX: usize = 100_000;
/// The longest overlap of a rotation (reliability §e).
pub const OVERLAP_HOURS_MAX: u32 = 7 * 24;
/// How often a rotation is asked of the store where its answer gets lost: the new key's text is nowhere
/// but here.
const ROTATE_TRIES: u32 = 3;
/// How long to wait before the next time.
const ROTATE_AGAIN_AFTER: Duration = Duration::from_millis(100);

impl Engine {
    /// Makes keys.
    ///
    /// # Errors
    /// Fields.
    pub async fn create_keys(&self, app: &App, new: NewKey) -> Result<Vec<MadeKey>, ControlFault> {
        let mut faults: Vec<FieldFault> = name_fault("name", &new.name).into_iter().collect();
        if let Err(policy) = CompiledPolicy::compile(&new.policy) {
            faults.extend(policy);
        }
        if new.count == 0 || new.count > KEYS_AT_ONCE_MAX {
            faults.push(FieldFault::new("count", format!("must be from 1 to {KEYS_AT_ONCE_MAX}")));
        }
        if new.expires_at.is_some_and(|at| at <= self.clock.now()) {
            faults.push(FieldFault::new("expiresAt", "must lie in the future"));
        }
        if !faults.is_empty() {
            return Err(ControlFault::Fields(faults));
        }
        let at = self.clock.now();
        let texts: Vec<ApiKeyText> = (0..new.count).map(|_| self.key_text(new.mode)).collect();
        let rows = texts.iter().map(|text| self.new_row(app, &new, text, at)).collect();
        let _changing = self.keys.changing().await;
        // A commit whose answer got lost may have made them all the same.
        let rows = self.store.create_keys(rows).await.inspect_err(|_| self.keys.doubt())?;
        for row in &rows {
            self.keys.apply(row, at);
        }
        Ok(rows.into_iter().zip(texts).map(|(row, text)| MadeKey { row, text: Secret::new(text.reveal().to_owned()) }).collect())
    }

    /// The keys of an application, newest first.
    ///
    /// # Errors
    /// The store's silence.
    pub async fn keys_of(&self, app: &App) -> Result<Vec<ApiKeyRow>, ControlFault> {
        Ok(self.store.keys_of(app.row.organization, app.row.key).await?)
    }

    /// Revokes a key; from the answer on nobody is let in by it on this node.
    ///
    /// # Errors
    /// Not found.
    pub async fn revoke_key(&self, organization: &Organization, id: Uuid) -> Result<ApiKeyRow, ControlFault> {
        let now = self.clock.now();
        let _changing = self.keys.changing().await;
        let ended = self.store.end_key(organization.key, id, KeyEnd::Revoked(now)).await.inspect_err(|_| self.keys.doubt())?;
        let row = ended.ok_or(ControlFault::NotFound("API key"))?;
        self.keys.apply(&row, now);
        Ok(row)
    }

    /// Makes a key like an old one, which goes on for `overlap_hours`. Both are one commit: there never
    /// is a new key beside an old one that does not end.
    ///
    /// # Errors
    /// Fields, not found, a key that is dead already.
    pub async fn rotate_key(&self, app: &App, organization: &Organization, id: Uuid, overlap_hours: u32) -> Result<MadeKey, ControlFault> {
        if overlap_hours > OVERLAP_HOURS_MAX {
            return Err(ControlFault::field("overlapHours", format!("must be at most {OVERLAP_HOURS_MAX} (7 days)")));
        }
        if app.row.organization != organization.key {
            return Err(ControlFault::NotFound("API key"));
        }
        let now = self.clock.now();
        let old = self.keys_of(app).await?.into_iter().find(|row| row.id == id).ok_or(ControlFault::NotFound("API key"))?;
        let new = NewKey { name: old.name, mode: old.mode, policy: old.policy, expires_at: None, count: 1 };
        let text = self.key_text(new.mode);
        let end = now.plus_ms(i64::from(overlap_hours) * 3_600_000);
        let end = if overlap_hours == 0 { KeyEnd::Revoked(now) } else { KeyEnd::Expires(end) };
        let rotation = KeyRotation { new: self.new_row(app, &new, &text, now), old: id, end };
        let _changing = self.keys.changing().await;
        match self.rotate_in_the_store(rotation).await.inspect_err(|_| self.keys.doubt())? {
            Rotated::Done { new, old } => {
                self.keys.apply(&new, now);
                self.keys.apply(&old, now);
                Ok(MadeKey { row: *new, text: Secret::new(text.reveal().to_owned()) })
            }
            Rotated::Ended => Err(ControlFault::rule("this key is revoked or expired and cannot be rotated; make a new one")),
            Rotated::NotFound => Err(ControlFault::NotFound("API key")),
        }
    }

    /// Asks again where the answer got lost: the store knows the rotation by its new key.
    async fn rotate_in_the_store(&self, rotation: KeyRotation) -> Result<Rotated, StoreError> {
        for _ in 1..ROTATE_TRIES {
            match self.store.rotate_key(rotation.clone()).await {
                Err(error @ StoreError::Unavailable { .. }) => tracing::warn!(error = %error, "rotating a key; it is asked for again"),
                answered => return answered,
            }
            tokio::time::sleep(ROTATE_AGAIN_AFTER).await;
        }
        self.store.rotate_key(rotation).await
    }

    fn key_text(&self, mode: Mode) -> ApiKeyText {
        let mut random = [0u8; 32];
        self.entropy.fill(&mut random);
        ApiKeyText::generate(if mode == Mode::Sandbox { KeyKind::Sandbox } else { KeyKind::Live }, random)
    }

    fn new_row(&self, app: &App, new: &NewKey, text: &ApiKeyText, at: UnixMs) -> NewApiKey {
        let presented = text.presented();
        NewApiKey {
            organization: app.row.organization,
            application: app.row.key,
            id: self.uuid(at),
            name: new.name.clone(),
            mode: new.mode,
            digest: presented.digest(self.vault.pepper()).0,
            prefix: presented.prefix().to_owned(),
            last_four: presented.last_four().to_owned(),
            policy: new.policy.clone(),
            expires_at: new.expires_at,
            at,
        }
    }
}
