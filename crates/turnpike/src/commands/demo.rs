//! `turnpike demo`: a gateway, a simulated WhatsApp and a ready key, in one process.
//!
//! Everything is real but Meta: two listeners with HTTP between them, the same store, the same
//! ledger. Only the demo keeps its keys in a file, so that a second start prints the same ones.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::rates::Markup;
use turnpike_domain::send::Mode;
use turnpike_engine::Engine;
use turnpike_engine::control::ControlFault;
use turnpike_engine::control::applications::Connect;
use turnpike_engine::control::keys::NewKey;
use turnpike_engine::control::money::WalletOrder;
use turnpike_engine::directory::App;
use turnpike_engine::entropy::{Entropy as _, SystemEntropy};
use turnpike_engine::secret::Secret;
use turnpike_engine::settings::MetaApp;
use turnpike_simulator::{Number, Record, Window};
use turnpike_store::keys::KeyPolicy;
use turnpike_store::ledger::WalletMovement;
use turnpike_store::sqlite::LOCK_FILE;

use super::serve::until_told_to_stop;
use crate::cli::DemoArgs;
use crate::config::Config;
use crate::wire::{self, Play, Running};

/// The file that makes a folder a demo's: the keys in clear, 0600.
pub(crate) const KEYS_FILE: &str = "demo.json";

const ORGANIZATION: &str = "Demo";
const APP_ID: &str = "demo";
/// As the simulator's webhooks show the number of that id.
const PHONE_NUMBER: &str = "15550100001";
const PHONE_NUMBER_ID: &str = "100000000000001";
const WABA_ID: &str = "200000000000001";
const META_APP_ID: &str = "300000000000001";
const TOKEN: &str = "EAADEMO0000000000000000000000000";
/// What the demo's wallet begins with: $10.
const FIRST_TOP_UP: Micros = Micros(10_000_000);

/// What `--json` prints, and what the keys' file keeps.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    live_key: String,
    sandbox_key: String,
}

/// The line of `--json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReadyLine<'a> {
    address: &'a str,
    simulator: &'a str,
    live_key: &'a str,
    sandbox_key: &'a str,
    app_id: &'a str,
    organization_id: String,
}

/// Runs the demo until it is told to stop.
pub(crate) async fn run(args: &DemoArgs, config: &Config) -> anyhow::Result<()> {
    if args.fresh {
        start_over(&args.data)?;
    }
    let mut config = config.clone();
    let (listener, address) = listen_for_simulator(args.simulator_listen).await?;
    let settings = turnpike_simulator::Config {
        record: Record::File(args.data.join(wire::SIMULATOR_RECORD)),
        seed_templates: turnpike_simulator::demo_templates(),
        waba_id: WABA_ID.to_owned(),
        numbers: vec![Number { id: PHONE_NUMBER_ID.to_owned(), waba_id: WABA_ID.to_owned() }],
        unscripted_window: if args.strict_window { Window::Closed } else { Window::Open },
        ..Default::default()
    };
    config.settings.graph_url = format!("http://{address}");
    config.settings.meta_apps = vec![meta_app()];
    config.settings.delivery = config.settings.delivery.allowing_loopback();
    config.settings.shows_secrets_again = true;
    let running = wire::start(&config, Some(Play { settings, listener: Some(listener) })).await?;
    let (app, keys) = furnish(&running.engine, &args.data).await?;
    announce(args, &running, &app, &keys)?;
    until_told_to_stop().await?;
    running.stop().await;
    Ok(())
}

/// The demo's app at Meta: made anew at every start, since both sides live in this process.
fn meta_app() -> MetaApp {
    let word = |length: usize| {
        let mut bytes = vec![0; length];
        SystemEntropy.fill(&mut bytes);
        Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    };
    MetaApp { id: META_APP_ID.to_owned(), secrets: vec![word(16)], verify_token: word(16), customer: false }
}

/// The simulator's listener. Its URL must be known before the engine starts, so it is bound here and
/// kept: a port that were let go could be another program's a moment later.
async fn listen_for_simulator(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address} for the simulator"))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Removes what an earlier demo left. Only a folder that a demo made, or an empty one.
fn start_over(folder: &Path) -> anyhow::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let is_empty = std::fs::read_dir(folder)?.next().is_none();
    if !is_empty && !folder.join(KEYS_FILE).exists() {
        bail!("{} was not made by `turnpike demo`; --fresh removes only what a demo left", folder.display());
    }
    // Held until everything is gone: a gateway that runs must not lose its database under its feet.
    let lock = std::fs::File::open(folder.join(LOCK_FILE));
    if let Ok(lock) = &lock
        && matches!(lock.try_lock(), Err(std::fs::TryLockError::WouldBlock))
    {
        bail!("a gateway runs on {}; stop it before you start over, or name another folder with --data", folder.display());
    }
    std::fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))
}

/// Makes what is missing: organization, money, application, keys. A start that was cut short goes
/// on where it stopped.
async fn furnish(engine: &Arc<Engine>, folder: &Path) -> anyhow::Result<(Arc<App>, Keys)> {
    let organization = match engine.organization(Some(ORGANIZATION)) {
        Ok(organization) => organization,
        Err(_) => plain(engine.create_organization(ORGANIZATION, Currency::USD, Markup::default()).await)?,
    };
    // The organization's own id makes the first top-up harmless to repeat.
    let top_up = WalletOrder {
        id: Some(organization.id),
        mode: Mode::Live,
        movement: WalletMovement::TopUp,
        amount: FIRST_TOP_UP,
        reason: "a demo begins with ten dollars".to_owned(),
        actor: "demo".to_owned(),
    };
    plain(engine.move_wallet(&organization, top_up).await)?;
    let app = match engine.application_of(&organization, Some(APP_ID)) {
        Ok(app) => app,
        Err(_) => plain(engine.create_application(&organization, "Demo shop", Some(APP_ID)).await)?,
    };
    let app = if app.live.is_some() { app } else { plain(engine.connect_application(&app, connection()).await)? };
    let keys = match read_keys(folder)? {
        Some(keys) => keys,
        None => make_keys(engine, &app, folder).await?,
    };
    for mode in [Mode::Live, Mode::Sandbox] {
        engine.sync_templates(&app, mode).await.map_err(anyhow::Error::msg).context("reading the simulator's templates")?;
    }
    Ok((app, keys))
}

fn connection() -> Connect {
    Connect {
        phone_number_id: PHONE_NUMBER_ID.to_owned(),
        waba_id: WABA_ID.to_owned(),
        token: Secret::new(TOKEN.to_owned()),
        phone_number: Some(PHONE_NUMBER.to_owned()),
        meta_app_id: None,
        connection_type: None,
    }
}

fn read_keys(folder: &Path) -> anyhow::Result<Option<Keys>> {
    let path = folder.join(KEYS_FILE);
    match std::fs::read(&path) {
        Ok(text) => {
            let keys =
                serde_json::from_slice(&text).with_context(|| format!("{} cannot be read; start over with --fresh", path.display()))?;
            Ok(Some(keys))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

async fn make_keys(engine: &Arc<Engine>, app: &App, folder: &Path) -> anyhow::Result<Keys> {
    let live = make_key(engine, app, Mode::Live).await?;
    let sandbox = make_key(engine, app, Mode::Sandbox).await?;
    let keys = Keys { live_key: live, sandbox_key: sandbox };
    let path = folder.join(KEYS_FILE);
    let fresh = folder.join(format!("{KEYS_FILE}.new"));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .with_context(|| format!("writing {}", fresh.display()))?;
    file.write_all(serde_json::to_string_pretty(&keys)?.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, &path).with_context(|| format!("writing {}", path.display()))?;
    Ok(keys)
}

async fn make_key(engine: &Arc<Engine>, app: &App, mode: Mode) -> anyhow::Result<String> {
    let new = NewKey { name: format!("demo {mode}"), mode, policy: KeyPolicy::default(), expires_at: None, count: 1 };
    let made = plain(engine.create_keys(app, new).await)?;
    made.into_iter().next().map(|made| made.text.expose().to_owned()).context("one key was asked for")
}

/// A control fault as an error for this program's end.
fn plain<T>(result: Result<T, ControlFault>) -> anyhow::Result<T> {
    result.map_err(|fault| anyhow::anyhow!("furnishing the demo: {fault:?}"))
}

fn announce(args: &DemoArgs, running: &Running, app: &App, keys: &Keys) -> anyhow::Result<()> {
    let address = format!("http://{}", running.address);
    let simulator = running.simulator_url.as_deref().unwrap_or_default();
    let mut out = std::io::stdout().lock();
    if args.json {
        let line = ReadyLine {
            address: &address,
            simulator,
            live_key: &keys.live_key,
            sandbox_key: &keys.sandbox_key,
            app_id: &app.row.app_id,
            organization_id: app.organization.id.to_string(),
        };
        writeln!(out, "{}", serde_json::to_string(&line)?)?;
    } else {
        let called = as_called(std::env::args_os().next().and_then(|word| word.into_string().ok()));
        out.write_all(welcome(&address, simulator, &args.data, keys, &called).as_bytes())?;
    }
    Ok(out.flush()?)
}

/// How this program was called, so that the commands can be pasted: `target/release/turnpike` for who
/// has just built it.
fn as_called(first_word: Option<String>) -> String {
    let is_plain = |word: &String| word.contains('/') && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c));
    first_word.filter(is_plain).unwrap_or_else(|| "turnpike".to_owned())
}

fn welcome(address: &str, simulator: &str, data: &Path, keys: &Keys, turnpike: &str) -> String {
    let Keys { live_key, sandbox_key } = keys;
    let data = data.display();
    format!(
        r#"Turnpike demo is ready. Nothing leaves this machine: WhatsApp is simulated.

  gateway      {address}
  simulator    {simulator}
  live key     {live_key}
  sandbox key  {sandbox_key}
  wallet       $10.00 at the first start
  data         {data}

Send a message:

  curl -sS {address}/v1/wa/message \
    -H 'Authorization: Bearer {live_key}' \
    -H 'Content-Type: application/json' \
    -d '{{"messaging_product":"whatsapp","to":"905321234567","type":"text","text":{{"body":"Hello from Turnpike"}}}}'

Try next:

  what WhatsApp received    curl -sS '{simulator}/_sim/requests?limit=1'
  what the wallet says      {turnpike} wallet statement --data {data}
  the proof of the ledger   {turnpike} ledger verify --data {data}
  a template                {turnpike} send --data {data} --to 905321234567 --template shipping_update --language en_US --param ORD-7 --param 'in transit' --param 'December 3'
  hear what happens to it   {turnpike} webhook set --url http://127.0.0.1:3000/hook --data {data}
                            or  {turnpike} listen --data {data}
  answer as the user        {turnpike} sim reply --from 905321234567 --text 'Thanks!' --data {data}
  a repeat that sends once  add  -H 'Idempotency-Key: order-7'  and send twice

Ctrl-C stops it. A second start keeps data and keys; --fresh starts over.
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_simulators_port_is_nobody_elses_from_the_moment_that_its_address_is_known() {
        let (listener, address) = listen_for_simulator(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
        let other = TcpListener::bind(address).await.expect_err("it is taken");
        assert_eq!(other.kind(), std::io::ErrorKind::AddrInUse);
        let settings = turnpike_simulator::Config::default();
        let simulator = Play { settings, listener: Some(listener) }.begin().await.expect("it takes the listener over");
        assert_eq!(simulator.address(), address);
        simulator.shutdown().await;
    }

    #[test]
    fn what_to_try_next_can_be_pasted_by_who_has_just_built_it() {
        let keys = Keys { live_key: "pk_a".to_owned(), sandbox_key: "sk_a".to_owned() };
        let said = |first: Option<&str>| {
            let called = as_called(first.map(str::to_owned));
            welcome("http://127.0.0.1:8080", "http://127.0.0.1:9", Path::new("turnpike-demo"), &keys, &called)
        };
        assert!(said(Some("target/release/turnpike")).contains("  target/release/turnpike ledger verify --data turnpike-demo\n"));
        for installed in [None, Some("turnpike"), Some("/home/a user/turnpike")] {
            assert!(said(installed).contains("  turnpike ledger verify --data turnpike-demo\n"), "{installed:?}");
        }
    }
}
