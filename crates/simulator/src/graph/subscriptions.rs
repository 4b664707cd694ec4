//! `/{app}/subscriptions`, `/{waba}/subscribed_apps` and a number's own
//! `webhook_configuration`: who is told, set as at Meta, with the handshake that
//! Meta makes before it believes. A number's callback goes before its account's,
//! and that before the app's.

use serde_json::{Map, Value, json};

use super::error::GraphError;
use super::request::GraphRequest;
use super::{Found, Taking};
use crate::exchange::World;
use crate::webhooks::{self, Made, Subscription};

/// Meta's code for a callback that failed its handshake.
const NOT_VERIFIED: u32 = 2_200;

/// The member of a number that names its callback.
const CONFIGURATION: &str = "webhook_configuration";

/// Makes the handshake that a call asks for; gives what went wrong. Before the
/// call is answered, since the answer hangs on it.
pub(crate) async fn handshake(world: &World, request: &GraphRequest<'_>) -> Option<String> {
    let (url, token) = match (request.head.method.as_str(), request.edge) {
        ("POST", Some("subscriptions")) => (request.parameter("callback_url")?, request.parameter("verify_token")?),
        ("POST", Some("subscribed_apps")) => (request.parameter("override_callback_uri")?, request.parameter("verify_token")?),
        ("POST", None) => {
            let given = configuration(request)?;
            (given.url, given.verify_token?)
        }
        _ => return None,
    };
    if url.is_empty() {
        return None;
    }
    webhooks::try_handshake(&world.webhooks, &url, &token, world.chance.digits()).await.err()
}

/// `POST /{app}/subscriptions`: the app's callback, in place of the one that it had.
pub(super) fn subscribe(world: &World, request: &GraphRequest<'_>, taking: Taking) -> Result<Found, GraphError> {
    match request.parameter("object").as_deref() {
        Some("whatsapp_business_account") => {}
        Some(_) => return Err(GraphError::parameter("Param object must be one of {WHATSAPP_BUSINESS_ACCOUNT}")),
        None => return Err(GraphError::parameter("The parameter object is required.")),
    }
    let url = required(request, "callback_url")?;
    let subscription = Subscription { fields: fields(request), ..verified(world, request, &url, request.parameter("verify_token"))? };
    let secret = subscription.app_secret.clone();
    replace(world, taking, |known| is_the_apps(known) && known.app_secret == secret, Some(subscription))?;
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
        world.remember_subscriptions();
    }
    Found::json(&json!({"success": true}))
}

/// `POST /{waba}/subscribed_apps`: with `override_callback_uri`, this account's
/// events go there; without, to the app's callback.
pub(super) fn subscribe_account(world: &World, request: &GraphRequest<'_>, taking: Taking) -> Result<Found, GraphError> {
    let waba = request.object_id;
    let url = request.parameter("override_callback_uri").filter(|url| !url.is_empty());
    let subscription = match url {
        Some(url) => {
            let verified = verified(world, request, &url, request.parameter("verify_token"))?;
            Some(Subscription { waba_id: Some(waba.to_owned()), ..verified })
        }
        None => None,
    };
    replace(world, taking, |known| known.waba_id.as_deref() == Some(waba), subscription)?;
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
        world.remember_subscriptions();
    }
    Found::json(&json!({"success": true}))
}

/// What `webhook_configuration` says.
struct Configuration {
    url: String,
    verify_token: Option<String>,
}

/// Whether a call to a number is about its callback.
pub(super) fn is_configuration(request: &GraphRequest<'_>) -> bool {
    request.query(CONFIGURATION).is_some() || request.body.object().is_some_and(|members| members.contains_key(CONFIGURATION))
}

/// The member is an object; as a parameter of a form or a query, its JSON.
fn configuration(request: &GraphRequest<'_>) -> Option<Configuration> {
    let given = request.body.object().and_then(|members| members.get(CONFIGURATION)).filter(|given| given.is_object()).cloned();
    let given = given.or_else(|| serde_json::from_str(&request.parameter(CONFIGURATION)?).ok())?;
    let text = |name: &str| given[name].as_str().map(str::to_owned);
    Some(Configuration { url: text("override_callback_uri")?, verify_token: text("verify_token") })
}

/// `POST /{number}` with `webhook_configuration`: this number's events go to the callback that it
/// names; with an empty one, where they would go without.
pub(super) fn override_number(world: &World, request: &GraphRequest<'_>, taking: Taking) -> Result<Found, GraphError> {
    let number = request.object_id;
    let Configuration { url, verify_token } = configuration(request)
        .ok_or_else(|| GraphError::parameter("Param webhook_configuration must be an object with override_callback_uri."))?;
    let subscription = match url.as_str() {
        "" => None,
        url => Some(Subscription { number: Some(number.to_owned()), ..verified(world, request, url, verify_token)? }),
    };
    replace(world, taking, |known| known.number.as_deref() == Some(number), subscription)?;
    Ok(Found::json(&json!({"success": true})))
}

/// A number's `webhook_configuration`: the callbacks that there are for it, of which the first
/// counts; `None` where there is none.
pub(super) fn configured(world: &World, number: &str) -> Option<Value> {
    let waba = world.numbers.waba_of(number);
    let all = world.webhooks.subscriptions();
    let url = |fits: &dyn Fn(&Subscription) -> bool| all.iter().find(|known| fits(known)).map(|known| known.url.clone());
    let mut configured = Map::new();
    for (name, url) in [
        ("phone_number", url(&|known| known.number.as_deref() == Some(number))),
        ("whatsapp_business_account", url(&|known| known.waba_id.as_deref() == Some(waba.as_str()))),
        ("application", url(&is_the_apps)),
    ] {
        if let Some(url) = url {
            configured.insert(name.to_owned(), url.into());
        }
    }
    (!configured.is_empty()).then_some(Value::Object(configured))
}

fn is_the_apps(known: &Subscription) -> bool {
    known.waba_id.is_none() && known.number.is_none() && known.prefix.is_none() && known.phone_number_ids.is_empty()
}

/// The subscription that a call asks for, once its handshake went well.
fn verified(world: &World, request: &GraphRequest<'_>, url: &str, token: Option<String>) -> Result<Subscription, GraphError> {
    let token = token.filter(|token| !token.is_empty()).ok_or_else(|| missing("verify_token"))?;
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

/// Puts a subscription in the place of those that fit.
fn replace(
    world: &World,
    taking: Taking,
    fits: impl Fn(&Subscription) -> bool,
    subscription: Option<Subscription>,
) -> Result<(), GraphError> {
    if taking == Taking::OnlyAnswers {
        return Ok(());
    }
    world.webhooks.remove(|_, known| fits(known));
    let added = subscription.map(|subscription| world.webhooks.add(subscription, Made::OverHttp)).transpose();
    if let Ok(Some(subscribed)) = &added {
        subscribed.is_verified();
    }
    world.remember_subscriptions();
    added.map(|_| ()).map_err(GraphError::parameter)
}

fn required(request: &GraphRequest<'_>, name: &str) -> Result<String, GraphError> {
    request.parameter(name).filter(|value| !value.is_empty()).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> GraphError {
    GraphError::parameter(format!("The parameter {name} is required."))
}

/// `fields=messages,account_update`, or an array of them in the body.
fn fields(request: &GraphRequest<'_>) -> Vec<String> {
    if let Some(Value::Array(fields)) = request.body.object().and_then(|members| members.get("fields")) {
        return fields.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }
    let given = request.parameter("fields").unwrap_or_default();
    given.split(',').map(str::trim).filter(|field| !field.is_empty()).map(str::to_owned).collect()
}
