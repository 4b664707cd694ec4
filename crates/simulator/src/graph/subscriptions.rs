//! `/{app}/subscriptions` and `/{waba}/subscribed_apps`: who is told, set as at
//! Meta, with the handshake that Meta makes before it believes.

use serde_json::{Value, json};

use super::error::GraphError;
use super::request::GraphRequest;
use super::{Found, Taking};
use crate::exchange::World;
use crate::webhooks::{self, Subscription};

/// Meta's code for a callback that failed its handshake.
const NOT_VERIFIED: u32 = 2_200;

/// Makes the handshake that a call asks for; gives what went wrong. Before the
/// call is answered, since the answer hangs on it.
pub(crate) async fn handshake(world: &World, request: &GraphRequest<'_>) -> Option<String> {
    let url = match (request.head.method.as_str(), request.edge) {
        ("POST", Some("subscriptions")) => request.parameter("callback_url"),
        ("POST", Some("subscribed_apps")) => request.parameter("override_callback_uri").filter(|url| !url.is_empty()),
        _ => None,
    }?;
    let token = request.parameter("verify_token")?;
    webhooks::try_handshake(&url, &token, world.chance.digits(), world.webhooks.posting().timeout).await.err()
}

/// `POST /{app}/subscriptions`: the app's callback, in place of the one that it had.
pub(super) fn subscribe(world: &World, request: &GraphRequest<'_>, taking: Taking) -> Result<Found, GraphError> {
    match request.parameter("object").as_deref() {
        Some("whatsapp_business_account") => {}
        Some(_) => return Err(GraphError::parameter("Param object must be one of {WHATSAPP_BUSINESS_ACCOUNT}")),
        None => return Err(GraphError::parameter("The parameter object is required.")),
    }
    let url = required(request, "callback_url")?;
    let subscription = Subscription { fields: fields(request), ..verified(world, request, &url)? };
    if taking == Taking::Takes {
        world.webhooks.remove(|_, known| is_the_apps(known) && known.app_secret == subscription.app_secret);
        add(world, subscription)?;
    }
    Ok(Found::json(&json!({"success": true})))
}

/// `GET /{app}/subscriptions`.
pub(super) fn list(world: &World) -> Found {
    let shown = |subscription: &Subscription| {
        let fields: Vec<Value> = subscription.fields.iter().map(|name| json!({"name": name, "version": "v23.0"})).collect();
        json!({"object": "whatsapp_business_account", "callback_url": subscription.url, "active": true, "fields": fields})
    };
    let data: Vec<Value> = world.webhooks.subscriptions().iter().filter(|known| is_the_apps(known)).map(shown).collect();
    Found::json(&json!({"data": data}))
}

/// `DELETE /{app}/subscriptions`.
pub(super) fn unsubscribe(world: &World, taking: Taking) -> Found {
    if taking == Taking::Takes {
        world.webhooks.remove(|_, known| is_the_apps(known));
    }
    Found::json(&json!({"success": true}))
}

/// `POST /{waba}/subscribed_apps`: with `override_callback_uri`, this account's
/// events go there; without, to the app's callback.
pub(super) fn subscribe_account(world: &World, request: &GraphRequest<'_>, taking: Taking) -> Result<Found, GraphError> {
    let waba = request.object_id;
    let url = request.parameter("override_callback_uri").filter(|url| !url.is_empty());
    let subscription = match url {
        Some(url) => Some(Subscription { waba_id: Some(waba.to_owned()), ..verified(world, request, &url)? }),
        None => None,
    };
    if taking == Taking::Takes {
        world.webhooks.remove(|_, known| known.waba_id.as_deref() == Some(waba));
        if let Some(subscription) = subscription {
            add(world, subscription)?;
        }
    }
    Ok(Found::json(&json!({"success": true})))
}

/// `GET /{waba}/subscribed_apps`.
pub(super) fn list_account(world: &World, request: &GraphRequest<'_>) -> Found {
    let waba = request.object_id;
    let mut app =
        json!({"whatsapp_business_api_data": {"id": "1000000000000000", "name": "Simulated App", "link": "https://example.com/"}});
    let overriding = world.webhooks.subscriptions().into_iter().find(|known| known.waba_id.as_deref() == Some(waba));
    if let Some(overriding) = overriding {
        app["override_callback_uri"] = overriding.url.into();
    }
    Found::json(&json!({"data": [app]}))
}

/// `DELETE /{waba}/subscribed_apps`.
pub(super) fn unsubscribe_account(world: &World, request: &GraphRequest<'_>, taking: Taking) -> Found {
    if taking == Taking::Takes {
        world.webhooks.remove(|_, known| known.waba_id.as_deref() == Some(request.object_id));
    }
    Found::json(&json!({"success": true}))
}

fn is_the_apps(known: &Subscription) -> bool {
    known.waba_id.is_none() && known.prefix.is_none() && known.phone_number_ids.is_empty()
}

/// The subscription that a call asks for, once its handshake went well.
fn verified(world: &World, request: &GraphRequest<'_>, url: &str) -> Result<Subscription, GraphError> {
    let token = required(request, "verify_token")?;
    if let Some(problem) = &request.handshake_problem {
        let message = format!("(#{NOT_VERIFIED}) Callback verification failed with the following errors: {problem}");
        return Err(GraphError::platform(400, "OAuthException", NOT_VERIFIED, None, message));
    }
    let secret = app_secret(world, request).ok_or_else(|| {
        GraphError::parameter(
            "The simulator does not know the secret to sign with: use the app access token (APP-ID|APP-SECRET), or start it with --app-secret.",
        )
    })?;
    Ok(Subscription::new(url, &secret, &token))
}

/// The app's secret: out of an app access token, or what signs already.
fn app_secret(world: &World, request: &GraphRequest<'_>) -> Option<String> {
    let in_token = request.token().and_then(|token| token.split_once('|')).map(|(_, secret)| secret.to_owned());
    in_token
        .filter(|secret| !secret.is_empty())
        .or_else(|| world.app_secret.clone())
        .or_else(|| world.webhooks.subscriptions().into_iter().find(is_the_apps).map(|known| known.app_secret))
}

fn add(world: &World, subscription: Subscription) -> Result<(), GraphError> {
    match world.webhooks.add_verified(subscription) {
        Ok(()) => Ok(()),
        Err(problem) => Err(GraphError::parameter(problem)),
    }
}

fn required(request: &GraphRequest<'_>, name: &str) -> Result<String, GraphError> {
    request
        .parameter(name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| GraphError::parameter(format!("The parameter {name} is required.")))
}

/// `fields=messages,account_update`, or an array of them in the body.
fn fields(request: &GraphRequest<'_>) -> Vec<String> {
    if let Some(Value::Array(fields)) = request.body.object().and_then(|members| members.get("fields")) {
        return fields.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }
    let given = request.parameter("fields").unwrap_or_default();
    given.split(',').map(str::trim).filter(|field| !field.is_empty()).map(str::to_owned).collect()
}
