//! Promises of the configuration: which source wins, what is refused, what is never shown.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use turnpike_engine::net::{NetConfig, Timeouts};
use turnpike_engine::settings::Settings;
use turnpike_web::gate::SENDS_IN_FLIGHT;
use turnpike_web::server::ServerLimits;

use super::settings::{APP_KEYS, SETTINGS};
use super::*;

/// A data folder with a file, an environment and flags.
struct Story {
    folder: TempDir,
    flags: SettingArgs,
    environment: Environment,
}

impl Story {
    fn new() -> Story {
        let folder = tempfile::tempdir().expect("a folder can be made");
        Story { folder, flags: SettingArgs::default(), environment: Environment::default() }
    }

    fn file(self, text: &str) -> Story {
        self.write(FILE_NAME, text, 0o600);
        self
    }

    fn environment<const N: usize>(mut self, variables: [(&str, &str); N]) -> Story {
        self.environment = Environment::of(variables);
        self
    }

    fn set<const N: usize>(mut self, assignments: [&str; N]) -> Story {
        self.flags.set = assignments.map(str::to_owned).to_vec();
        self
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("the file can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode can be set");
        path
    }

    fn overlay(&self) -> Overlay {
        Overlay::gather(Some(self.folder.path()), &self.flags, &self.environment)
    }

    fn load(&self) -> Result<Config, Problems> {
        load(Some(self.folder.path()), &self.flags, &self.environment)
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The problems, without the folder's own name.
    fn problems(&self) -> Vec<String> {
        let place = format!("{}/", self.folder.path().display());
        examine(&self.overlay()).1.0.iter().map(|problem| problem.to_string().replace(&place, "")).collect()
    }

    /// Expects one refusal that begins and goes on like this.
    fn refused(&self, begins: &str, holds: &str) {
        assert!(self.load().is_err(), "it was not refused");
        let problems = self.problems();
        assert!(problems.iter().any(|problem| problem.starts_with(begins) && problem.contains(holds)), "{problems:#?}");
    }
}

#[test]
fn without_anything_the_defaults_are_those_of_the_rooms() {
    let config = Story::new().config();
    let (settings, usual) = (&config.settings, Settings::default());
    assert_eq!(settings.graph_url, usual.graph_url);
    assert_eq!(settings.graph_version, usual.graph_version);
    assert_eq!(settings.answer_wait, usual.answer_wait);
    assert_eq!(settings.reply_within, usual.reply_within);
    assert_eq!(settings.sandbox_refill, usual.sandbox_refill);
    assert_eq!(settings.pause_probe_every, usual.pause_probe_every);
    assert_eq!(settings.template_trust, usual.template_trust);
    assert_eq!(settings.likely_repeat, usual.likely_repeat);
    assert_eq!(config.net.timeouts, Timeouts::default());
    assert_eq!(config.net.connections_per_host_max, NetConfig::default().connections_per_host_max);
    assert_eq!(config.net.http2, NetConfig::default().http2);
    assert_eq!(format!("{:?}", config.server), format!("{:?}", ServerLimits::default()));
    assert_eq!(config.sends_in_flight, SENDS_IN_FLIGHT);
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert!(config.sandbox && !config.metrics_public && config.operator_token.is_none() && config.tls.is_none());
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

/// The default file with its settings switched on: `#key = value` is a setting, `# text` is a reason.
fn default_file_switched_on() -> String {
    let is_setting = |line: &str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['));
    DEFAULT_FILE.lines().map(|line| if is_setting(line) { &line[1..] } else { line }).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_default_file_says_nothing_until_a_line_is_switched_on() {
    let story = Story::new().file(DEFAULT_FILE);
    assert_eq!(story.problems(), Vec::<String>::new());
    assert!(print::lines(&story.overlay()).iter().all(|line| matches!(line.source.as_str(), "default" | "" | "--data")));
}

#[test]
fn the_default_file_names_every_setting_with_its_default() {
    let mut problems = Problems::default();
    let contents = file::parse(&default_file_switched_on(), Path::new("default.toml"), &mut problems);
    assert!(!problems.refuse(), "{problems}");
    for setting in SETTINGS {
        let entry = contents.entries.iter().find(|(key, _)| *key == setting.key);
        let Some((_, entry)) = entry else { panic!("the default file does not name {}", setting.key) };
        if let Some(default) = setting.default {
            assert_eq!(entry.text, default, "the default of {}", setting.key);
        }
    }
    let [app] = contents.apps.as_slice() else { panic!("the default file shows one app") };
    for (key, _) in APP_KEYS {
        assert!(app.entries.iter().any(|(given, _)| *given == key), "the default file does not name {key} of an app");
    }
    // Settings follow each other in the file as in the list, so that both read the same.
    let mut in_order = contents.entries.clone();
    in_order.sort_by_key(|(_, entry)| entry.line);
    assert_eq!(in_order.iter().map(|(key, _)| *key).collect::<Vec<_>>(), SETTINGS.iter().map(|setting| setting.key).collect::<Vec<_>>());
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = "[graph]\nanswer_wait = \"11s\"\nhard_cap = \"41s\"\nidle_timeout = \"9s\"\n";
    let story = Story::new()
        .file(file)
        .environment([("TURNPIKE_GRAPH_ANSWER_WAIT", "12s"), ("TURNPIKE_GRAPH_HARD_CAP", "42s")])
        .set(["graph.answer_wait=13s"]);
    let config = story.config();
    assert_eq!(config.settings.answer_wait, Duration::from_secs(13));
    assert_eq!(config.net.timeouts.hard_cap, Duration::from_secs(42));
    assert_eq!(config.net.timeouts.idle, Duration::from_secs(9));
    let source = |key: &str| print::lines(&story.overlay()).into_iter().find(|line| line.key == key).expect(key).source;
    assert_eq!(source("graph.answer_wait"), "--set graph.answer_wait");
    assert_eq!(source("graph.hard_cap"), "TURNPIKE_GRAPH_HARD_CAP");
    assert!(source("graph.idle_timeout").ends_with("turnpike.toml:4"));
    assert_eq!(source("graph.dns_timeout"), "default");
}

#[test]
fn an_empty_value_gives_the_default_back() {
    let story = Story::new().file("trusted_proxies = [\"10.0.0.1\"]\nlisten = \"127.0.0.1:9000\"\n");
    assert_eq!(story.config().trusted_proxies.len(), 1);
    let story = story.environment([("TURNPIKE_LISTEN", "")]).set(["trusted_proxies="]);
    assert_eq!(story.config().trusted_proxies.len(), 0);
    assert_eq!(story.config().listen.port(), 9000);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_its_nearest_neighbour() {
    let story = Story::new().file("listn = \"127.0.0.1:1\"\n\n[graph]\nanswer_wat = \"1s\"\n\n[grahp]\nurl = \"x\"\n");
    story.refused("turnpike.toml:1: there is no setting `listn`", "`listen`");
    story.refused("turnpike.toml:4: there is no setting `graph.answer_wat`", "`graph.answer_wait`");
    story.refused("turnpike.toml:6: there is no setting `grahp`", "");
    Story::new().set(["graph.ulr=x"]).refused("--set graph.ulr", "`graph.url`");
}

#[test]
fn every_problem_is_named_at_once_in_the_order_of_the_file() {
    let file = "listen = 80\nworkers = \"two\"\n[graph]\nversion = \"26\"\nanswer_wait = \"20\"\nurl = \"http://example.com\"\n[log]\nformat = \"xml\"\n";
    let problems = Story::new().file(file).problems();
    let lines: Vec<&str> = problems.iter().map(|problem| problem.split(": ").next().unwrap_or_default()).collect();
    let expected = [1, 2, 4, 5, 6, 6, 8].map(|line| format!("turnpike.toml:{line}"));
    assert_eq!(lines, expected, "{problems:#?}");
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_its_line() {
    Story::new().file("listen = \"127.0.0.1:1\"\nworkers 2\n").refused("turnpike.toml:2: this is no TOML", "");
}

#[test]
fn values_of_the_wrong_sort_are_refused() {
    for (assignment, holds) in [
        ("listen=8080", "an address and port"),
        ("workers=0", "from 1 to 1024"),
        ("limits.connections=-1", "from 1 to"),
        ("behind_proxy=perhaps", "true or false"),
        ("graph.version=latest", "v26.0"),
        ("graph.answer_wait=0s", "longer than nothing"),
        ("sandbox.refill=-1.00", "not be negative"),
        ("sandbox.refill=1.2345678", "6 decimals"),
        ("log.format=xml", "pretty or json"),
        ("log.level=loud", "error, warn, info"),
        ("log.level=info,turnpike_engine=loud", "error, warn, info"),
        ("trusted_proxies=10.0.0.0/33", "10.0.0.0/33"),
        ("trusted_proxies=::ffff:10.0.0.0/8", "::ffff:10.0.0.0/8"),
        ("retention.statuses_days=38", "from 39 to"),
    ] {
        Story::new().set([assignment]).refused("--set", holds);
    }
}

#[test]
fn a_copy_of_the_journal_of_erasures_lies_outside_of_what_it_outlives() {
    let story = Story::new();
    let inside = format!("retention.erasures_copy={}", story.folder.path().join("copy").display());
    story.set([&inside]).refused("--set", "outside the data folder");
    let elsewhere = Story::new().set(["retention.erasures_copy=/mnt/elsewhere"]).config();
    assert_eq!(elsewhere.erasures_copy.as_deref(), Some(Path::new("/mnt/elsewhere")));
    assert_eq!(Story::new().config().erasures_copy, None);
}

#[test]
fn unsafe_combinations_are_refused_with_what_to_do() {
    for (assignments, holds) in [
        (["graph.url=http://graph.facebook.com", "listen=127.0.0.1:1"], "only on this machine"),
        (["graph.url=ftp://127.0.0.1", "listen=127.0.0.1:1"], "https://"),
        (["graph.url=https://u:p@example.com", "listen=127.0.0.1:1"], "must not have a user"),
        (["listen=0.0.0.0:8080", "log.level=info"], "API keys would travel to it unencrypted"),
        (["listen=[::]:8080", "log.level=info"], "API keys would travel to it unencrypted"),
        (["listen=0.0.0.0:8080", "behind_proxy=true"], "`behind_proxy` needs `trusted_proxies`"),
        (["graph.reply_within=20s", "graph.answer_wait=20s"], "longer than `graph.answer_wait`"),
        (["graph.hard_cap=10s", "graph.answer_wait=20s"], "must not be shorter"),
        (["graph.retry_min=2s", "graph.retry_max=1s"], "must not be shorter"),
        (["operator.token=secret", "log.level=info"], "turnpike config operator-token"),
        (["master_key=abc", "log.level=info"], "64 hexadecimal digits"),
        (["tls.cert=/nowhere/cert.pem", "log.level=info"], "needs `tls.key`"),
    ] {
        Story::new().set(assignments).refused("", holds);
    }
}

#[test]
fn a_clear_port_for_others_needs_a_proxy_that_is_named() {
    let config = Story::new().set(["listen=0.0.0.0:8080", "behind_proxy=true", "trusted_proxies=10.0.0.0/8, 192.0.2.7"]).config();
    assert_eq!(config.trusted_proxies.len(), 2);
    let everybody = Story::new().set(["listen=0.0.0.0:8080", "behind_proxy=true", "trusted_proxies=::ffff:0.0.0.0/96"]).config();
    assert!(everybody.warnings.iter().any(|warning| warning.contains("every address there is")), "{:?}", everybody.warnings);
    assert!(Story::new().set(["graph.url=http://127.0.0.1:9", "listen=[::1]:1"]).load().is_ok());
}

#[test]
fn what_is_worth_knowing_does_not_forbid_a_start() {
    let story = Story::new()
        .environment([
            ("TURNPIKE_LISTN", "x"),
            ("TURNPIKE_SERVICE_HOST", "10.0.0.1"),
            ("TURNPIKE_PORT_8080_TCP", "x"),
            ("TURNPIKE_API_KEY", "pk_x"),
        ])
        .set(["graph.url=http://127.0.0.1:9"]);
    let warnings = story.config().warnings;
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    assert!(warnings.iter().any(|warning| warning.starts_with("TURNPIKE_LISTN") && warning.contains("TURNPIKE_LISTEN")), "{warnings:#?}");
    assert!(warnings.iter().any(|warning| warning.contains("not to Meta")), "{warnings:#?}");
}

/// A token as `turnpike config operator-token` makes them.
fn operator_token() -> String {
    turnpike_domain::api_key::OperatorToken::generate([7; 32]).reveal().to_owned()
}

#[test]
fn secrets_are_masked_wherever_they_come_from() {
    let (token, key, secret) = (operator_token(), "ab".repeat(32), "0123456789abcdef0123456789abcdef");
    let file = format!(
        "master_key = \"{key}\"\n[operator]\ntoken = \"{token}\"\n[[meta.app]]\nid = \"12\"\nsecrets = [\"{secret}\"]\nverify_token = \"words\"\n"
    );
    let story = Story::new().file(&file);
    let config = story.config();
    assert_eq!(config.settings.meta_apps[0].secrets[0].expose(), secret);
    let shown = format!("{:?} {:?} {}", print::lines(&story.overlay()), config, print::json(&story.overlay()));
    for hidden in [token.as_str(), key.as_str(), secret, "words"] {
        assert!(!shown.contains(hidden), "{hidden} is shown");
    }
    let line = |key: &str| print::lines(&story.overlay()).into_iter().find(|line| line.key == key).map(|line| line.value);
    assert_eq!(line("operator.token").as_deref(), Some("[set]"));
    assert_eq!(line("meta.app[0].secrets").as_deref(), Some("[set]"));
    assert_eq!(line("meta.app[0].id").as_deref(), Some("12"));
}

#[test]
fn a_secret_may_lie_in_a_file_that_only_its_owner_reads() {
    let story = Story::new().set(["operator.token_file=later"]);
    let path = story.write("token", &format!("{}\n", operator_token()), 0o600);
    let with = |path: &Path| Story {
        flags: SettingArgs { set: vec![format!("operator.token_file={}", path.display())], ..SettingArgs::default() },
        ..Story::new()
    };
    assert_eq!(with(&path).config().operator_token.map(|token| token.expose().to_owned()), Some(operator_token()));
    let open = story.write("open", &operator_token(), 0o644);
    with(&open).refused("--set operator.token_file", "chmod 600");
    let empty = story.write("empty", "\n", 0o600);
    with(&empty).refused("--set operator.token_file", "is empty");
    with(Path::new("/nowhere/token")).refused("--set operator.token_file", "cannot be read");
}

#[test]
fn a_configuration_with_secrets_must_not_be_open_to_all() {
    let text = format!("[operator]\ntoken = \"{}\"\n", operator_token());
    let story = Story::new();
    story.write(FILE_NAME, &text, 0o644);
    story.refused("turnpike.toml", "chmod 600");
    story.write(FILE_NAME, "listen = \"127.0.0.1:1\"\n", 0o644);
    assert!(story.load().is_ok());
}

#[test]
fn of_a_secret_and_its_file_the_stronger_source_wins() {
    let story = Story::new().environment([("TURNPIKE_OPERATOR_TOKEN", &operator_token())]).file("[operator]\ntoken_file = \"nowhere\"\n");
    assert!(story.config().operator_token.is_some());
    let both = format!("[operator]\ntoken_file = \"nowhere\"\ntoken = \"{}\"\n", operator_token());
    Story::new().file(&both).refused("turnpike.toml:2", "not both");
}

#[test]
fn the_environment_replaces_the_apps_of_the_file() {
    let file = "[[meta.app]]\nid = \"1\"\nsecret = \"0123456789abcdef0123456789abcdef\"\nverify_token = \"x\"\n\
                [[meta.app]]\nid = \"2\"\nsecret = \"0123456789abcdef0123456789abcdef\"\nverify_token = \"y\"\n";
    let story = Story::new().file(file);
    let ids = |story: &Story| story.config().settings.meta_apps.iter().map(|app| app.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&story), ["1", "2"]);
    let secrets = story.write("secrets", "0123456789abcdef0123456789abcdef\n\nfedcba9876543210fedcba9876543210\n", 0o600);
    let path = secrets.display().to_string();
    let story = story.environment([
        ("TURNPIKE_META_APP_ID", "3"),
        ("TURNPIKE_META_APP_SECRET_FILE", &path),
        ("TURNPIKE_META_APP_VERIFY_TOKEN", "z"),
    ]);
    assert_eq!(ids(&story), ["3"]);
    assert_eq!(story.config().settings.meta_apps[0].secrets.len(), 2);
}

#[test]
fn an_app_that_is_not_whole_is_refused() {
    let secret = "secret = \"0123456789abcdef0123456789abcdef\"\n";
    for (app, holds) in [
        (format!("{secret}verify_token = \"x\"\n"), "needs `id`"),
        (format!("id = \"abc\"\n{secret}verify_token = \"x\"\n"), "needs `id`"),
        ("id = \"1\"\nverify_token = \"x\"\n".to_owned(), "needs one of `secret`"),
        (format!("id = \"1\"\n{secret}secret_file = \"x\"\nverify_token = \"x\"\n"), "needs one of `secret`"),
        (format!("id = \"1\"\n{secret}"), "needs `verify_token`"),
        (format!("id = \"1\"\n{secret}verify_token = \"x\"\nverify = \"x\"\n"), "`verify_token`"),
        (format!("id = \"1\"\n{secret}verify_token = \"x\"\n[[meta.app]]\nid = \"1\"\n{secret}verify_token = \"x\"\n"), "given twice"),
    ] {
        Story::new().file(&format!("[[meta.app]]\n{app}")).refused("turnpike.toml", holds);
    }
    Story::new().file("[meta.app]\nid = \"1\"\n").refused("turnpike.toml", "two brackets");
}

#[test]
fn a_named_file_may_lie_elsewhere_and_its_paths_are_beside_it() {
    let story = Story::new();
    story.write("elsewhere.toml", "data = \"inner\"\nmaster_key_file = \"key\"\n", 0o600);
    let key = story.write("key", &"ab".repeat(32), 0o600);
    let file = story.folder.path().join("elsewhere.toml");
    let flags = SettingArgs { config: Some(file.clone()), ..SettingArgs::default() };
    let config = load(None, &flags, &Environment::default()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.data, story.folder.path().join("inner"));
    assert!(matches!(config.master_key, MasterKeyPlace::File(path) if path == key));
    assert_eq!(data_folder(None, Some(&file), &Environment::default()).expect("it is named"), story.folder.path().join("inner"));
    let found = Story::new().file("data = \"inner\"\n");
    found.refused("turnpike.toml:1", "--data");
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let story = Story::new().environment([("TURNPIKE_CONFIG", "/nowhere/turnpike.toml")]);
    story.refused("", "/nowhere/turnpike.toml cannot be read");
}

#[test]
fn the_data_folder_is_found_without_reading_a_configuration() {
    let folder = |data: Option<&str>, environment: &Environment| data_folder(data.map(Path::new), None, environment).expect("it is named");
    assert_eq!(folder(None, &Environment::default()), Path::new(DEFAULT_DATA));
    let environment = Environment::of([("TURNPIKE_DATA", "from-environment")]);
    assert_eq!(folder(None, &environment), Path::new("from-environment"));
    assert_eq!(folder(Some("from-flag"), &environment), Path::new("from-flag"));
}

#[test]
fn a_certificate_is_read_with_its_key_before_anything_listens() {
    let story = Story::new();
    let made = rcgen::generate_simple_self_signed(vec!["gateway.example.com".to_owned()]).expect("a certificate can be made");
    let other = rcgen::KeyPair::generate().expect("a key can be made");
    let cert = story.write("cert.pem", &made.cert.pem(), 0o644);
    let key = story.write("key.pem", &made.signing_key.serialize_pem(), 0o600);
    let open = story.write("open.pem", &made.signing_key.serialize_pem(), 0o644);
    let foreign = story.write("foreign.pem", &other.serialize_pem(), 0o600);
    let with = |cert: &Path, key: &Path| {
        let set = vec![format!("tls.cert={}", cert.display()), format!("tls.key={}", key.display()), "listen=0.0.0.0:8443".to_owned()];
        Story { flags: SettingArgs { set, ..SettingArgs::default() }, ..Story::new() }
    };
    let config = with(&cert, &key).config();
    assert!(tls::server_config(config.tls.as_ref().expect("it was given")).is_ok());
    with(&cert, &open).refused("--set tls.key", "chmod 600");
    with(&cert, &foreign).refused("--set tls.cert", "does not go with the certificate");
    with(&key, &key).refused("--set tls.cert", "holds no certificate");
    with(Path::new("/nowhere"), &key).refused("--set tls.cert", "cannot be read");
}
