//! Endpoints of an application, and the deliveries to them.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::{EventKind, EventSet};
use turnpike_engine::control::ControlFault;
use turnpike_engine::control::endpoints::{BacklogChoice, DEFAULT_ENDPOINT, DeliveryQuery, EndpointOrder, Tested};
use turnpike_engine::secret::Secret;
use turnpike_store::deliveries::{DeliveryKey, DeliveryState};

use super::Operator;
use super::answer::{Actor, Asked, Body, Data, Fault, Page, page_size};

/// What an endpoint is to be; what is left out stays, or is the default of a new one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Order {
    url: Option<String>,
    events: Option<Events>,
    headers: Option<BTreeMap<String, String>>,
    sandbox: Option<bool>,
    ordered: Option<bool>,
    send_bearer: Option<bool>,
    is_active: Option<bool>,
    bearer: Option<String>,
    secret: Option<String>,
}

/// Names, or `"all"`.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
struct Events(EventSet);

impl TryFrom<Value> for Events {
    type Error = String;

    fn try_from(value: Value) -> Result<Events, String> {
        match value {
            Value::String(word) if word == "all" => Ok(Events(EventSet::all())),
            Value::Array(names) => {
                let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
                kinds(names.ok_or("must be a list of names")?.into_iter()).map(Events)
            }
            _ => Err("must be a list of names, or \"all\"".to_owned()),
        }
    }
}

/// The kinds of these names.
fn kinds<'a>(names: impl Iterator<Item = &'a str>) -> Result<EventSet, String> {
    let known = || EventKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    names.map(|name| EventKind::parse(name).ok_or_else(|| format!("`{name}` is no event; there are: {}", known()))).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    #[serde(default)]
    bearer: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Enabling {
    backlog: BacklogChoice,
}

/// Which deliveries, in a query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    endpoint: Option<String>,
    state: Option<String>,
    events: Option<String>,
    from: Option<String>,
    until: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
}

/// Which deliveries, in a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    state: Option<String>,
    events: Option<Events>,
    from: Option<String>,
    until: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfEndpoint {
    endpoint: Option<String>,
}

pub(super) async fn list(State(operator): State<Operator>, Path(app): Path<String>) -> Result<Data<Value>, Fault> {
    let app = operator.application(&app)?;
    Ok(Data(with_times(operator.engine.endpoint_views(&app).await?)))
}

pub(super) async fn show(State(operator): State<Operator>, Path((app, name)): Path<(String, String)>) -> Result<Data<Value>, Fault> {
    let app = operator.application(&app)?;
    Ok(Data(with_times(operator.engine.endpoint_view(&app, &name).await?)))
}

pub(super) async fn set(
    State(operator): State<Operator>,
    actor: Actor,
    Path((app, name)): Path<(String, String)>,
    Body(order): Body<Order>,
) -> Result<Data<Value>, Fault> {
    let app = operator.application(&app)?;
    let order = EndpointOrder {
        url: order.url,
        events: order.events.map(|Events(set)| set),
        headers: order.headers.map(|headers| headers.into_iter().collect()),
        sandbox: order.sandbox,
        ordered: order.ordered,
        send_bearer: order.send_bearer,
        is_active: order.is_active,
        bearer: order.bearer.map(Secret::new),
        secret: order.secret.map(Secret::new),
    };
    let given = (order.secret.clone(), order.bearer.clone());
    let mut endpoint = operator.engine.set_endpoint(&app, &name, order).await?;
    // Who sets an endpoint by a script gets whatever may be shown under the same names, whether it was
    // made now, brought along, or is shown again.
    let again = operator.engine.secrets_shown_again(&app, &name);
    let (secret, bearer) = again.map(|again| (again.secret, again.bearer)).unzip();
    let text = |secret: Secret| secret.expose().to_owned();
    endpoint.secret = endpoint.secret.or_else(|| given.0.or(secret).map(text));
    endpoint.bearer = endpoint.bearer.or_else(|| given.1.or(bearer).map(text));
    tracing::info!(actor = actor.name(), application.id = %app.row.app_id, endpoint.id = %endpoint.id, "set an endpoint");
    Ok(Data(with_times(endpoint)))
}

pub(super) async fn delete(
    State(operator): State<Operator>,
    actor: Actor,
    Path((app, name)): Path<(String, String)>,
) -> Result<Data<Value>, Fault> {
    let app = operator.application(&app)?;
    operator.engine.delete_endpoint(&app, &name).await?;
    tracing::info!(actor = actor.name(), application.id = %app.row.app_id, endpoint.name = %name, "deleted an endpoint");
    Ok(Data(json!({"deleted": true})))
}

pub(super) async fn rotate(
    State(operator): State<Operator>,
    actor: Actor,
    Path((app, name)): Path<(String, String)>,
    Body(rotation): Body<Rotation>,
) -> Result<Data<Value>, Fault> {
    let app = operator.application(&app)?;
    let endpoint = operator.engine.rotate_endpoint(&app, &name, rotation.bearer).await?;
    tracing::info!(actor = actor.name(), application.id = %app.row.app_id, endpoint.id = %endpoint.id, "rotated an endpoint's secret");
    Ok(Data(with_times(endpoint)))
}

pub(super) async fn enable(
    State(operator): State<Operator>,
    actor: Actor,
    Path((app, name)): Path<(String, String)>,
    Body(enabling): Body<Enabling>,
) -> Result<Data<Value>, Fault> {
    let app = operator.application(&app)?;
    let endpoint = operator.engine.enable_endpoint(&app, &name, enabling.backlog).await?;
    tracing::info!(actor = actor.name(), application.id = %app.row.app_id, endpoint.id = %endpoint.id, "switched an endpoint on");
    Ok(Data(with_times(endpoint)))
}

pub(super) async fn disable(
    State(operator): State<Operator>,
    actor: Actor,
    Path((app, name)): Path<(String, String)>,
) -> Result<Data<Value>, Fault> {
    let app = operator.application(&app)?;
    let endpoint = operator.engine.disable_endpoint(&app, &name).await?;
    tracing::info!(actor = actor.name(), application.id = %app.row.app_id, endpoint.id = %endpoint.id, "switched an endpoint off");
    Ok(Data(with_times(endpoint)))
}

pub(super) async fn test(State(operator): State<Operator>, Path((app, name)): Path<(String, String)>) -> Result<Data<Tested>, Fault> {
    let app = operator.application(&app)?;
    Ok(Data(operator.engine.test_endpoint(&app, &name).await?))
}

pub(super) async fn replay_range(
    State(operator): State<Operator>,
    actor: Actor,
    Path((app, name)): Path<(String, String)>,
    Body(range): Body<Range>,
) -> Result<Data<Value>, Fault> {
    let app = operator.application(&app)?;
    let query = query(None, range.state.as_deref(), range.events.map(|Events(set)| set), range.from.as_deref(), range.until.as_deref())?;
    let replayed = operator.engine.replay_deliveries(&app, &name, &query).await?;
    tracing::info!(actor = actor.name(), application.id = %app.row.app_id, endpoint.name = %name, replayed, "replayed events");
    Ok(Data(json!({"replayed": replayed})))
}

pub(super) async fn deliveries(
    State(operator): State<Operator>,
    Path(app): Path<String>,
    Asked(which): Asked<Which>,
) -> Result<Page<Value>, Fault> {
    let app = operator.application(&app)?;
    let events = which.events.as_deref().map(|names| kinds(names.split(','))).transpose();
    let events = events.map_err(|problem| ControlFault::field("events", problem))?;
    let query = query(which.endpoint, which.state.as_deref(), events, which.from.as_deref(), which.until.as_deref())?;
    let before = match &which.before {
        Some(cursor) => {
            let place = cursor.parse().map_err(|_| ControlFault::field("before", "must be a cursor that a page gave"))?;
            Some(DeliveryKey(place))
        }
        None => None,
    };
    let (views, next) = operator.engine.delivery_views(&app, &query, before, page_size(which.limit)).await?;
    Ok(Page { data: views.into_iter().map(with_times).collect(), next: next.map(|DeliveryKey(place)| place.to_string()) })
}

pub(super) async fn delivery(
    State(operator): State<Operator>,
    Path((app, event)): Path<(String, String)>,
    Asked(of): Asked<OfEndpoint>,
) -> Result<Data<Value>, Fault> {
    let app = operator.application(&app)?;
    let endpoint = of.endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT);
    Ok(Data(with_times(operator.engine.delivery_view(&app, &event, endpoint).await?)))
}

pub(super) async fn replay(
    State(operator): State<Operator>,
    actor: Actor,
    Path((app, event)): Path<(String, String)>,
    Body(of): Body<OfEndpoint>,
) -> Result<Data<Value>, Fault> {
    let app = operator.application(&app)?;
    let endpoint = of.endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT);
    operator.engine.replay_delivery(&app, &event, endpoint).await?;
    tracing::info!(actor = actor.name(), application.id = %app.row.app_id, event.id = %event, "replayed an event");
    Ok(Data(json!({"replayed": 1})))
}

fn query(
    endpoint: Option<String>,
    state: Option<&str>,
    kinds: Option<EventSet>,
    from: Option<&str>,
    until: Option<&str>,
) -> Result<DeliveryQuery, ControlFault> {
    let instant = |path: &str, text: Option<&str>| match text {
        None => Ok(None),
        Some(text) => match UnixMs::parse(text) {
            Some(at) => Ok(Some(at)),
            None => Err(ControlFault::field(path, "must be an instant such as 2026-10-01T08:00:00Z, or a date")),
        },
    };
    let state = match state {
        None => None,
        Some(word) => Some(
            serde_json::from_value::<DeliveryState>(json!(word))
                .map_err(|_| ControlFault::field("state", "must be pending, delivered, dead or dropped"))?,
        ),
    };
    Ok(DeliveryQuery { endpoint, state, kinds, from: instant("from", from)?, until: instant("until", until)? })
}

/// Members that hold an instant: milliseconds among ourselves, RFC 3339 towards people.
const INSTANTS: [&str; 9] =
    ["at", "nextAt", "nextTryAt", "nextRetryAt", "failingSince", "oldSecretUntil", "createdAt", "updatedAt", "replayedAt"];

/// A view as it is answered.
pub(super) fn with_times(view: impl Serialize) -> Value {
    let mut value = serde_json::to_value(view).unwrap_or_default();
    dress(&mut value);
    value
}

fn dress(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(dress),
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                match member.as_i64() {
                    Some(ms) if INSTANTS.contains(&name.as_str()) => *member = Value::String(UnixMs(ms).to_rfc3339()),
                    _ => dress(member),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_for_people_wherever_they_stand() {
        let view = json!({"at": 0, "tries": 3, "attempts": [{"at": 1_000, "latencyMs": 7}], "nextAt": null});
        assert_eq!(
            with_times(view),
            json!({
                "at": "1970-01-01T00:00:00.000Z", "tries": 3, "nextAt": null,
                "attempts": [{"at": "1970-01-01T00:00:01.000Z", "latencyMs": 7}],
            })
        );
    }

    #[test]
    fn an_event_that_is_misspelt_is_named_with_those_there_are() {
        let problem = Events::try_from(json!(["messages", "reads"])).map(|_| ()).expect_err("there is no such event");
        assert!(problem.starts_with("`reads` is no event; there are: messages, interactive.button_reply"), "{problem}");
        assert!(Events::try_from(json!("all")).is_ok_and(|Events(set)| set == EventSet::all()));
        assert!(Events::try_from(json!("some")).is_err());
    }
}
