//! The yardstick: nginx, doing as much of a gateway's work as its configuration can say.
//!
//! A table of ten thousand keys decides who may pass, each key has a request limit, every request
//! is logged at once, the Authorization is replaced by the platform's token, and connections to the
//! upstream are kept. It keeps no money and writes nothing that would survive a power cut.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

/// Keys in its table.
pub(crate) const KEYS: usize = 10_000;

/// How long its first worker may take over its first answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// Where it is, installed where it was missing.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    eprintln!("nginx is missing; installing it: apt-get install -y nginx");
    let apt = |arguments: &[&str]| {
        // In runlevel 1 the package does not start the service that it installs.
        let done = Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").output();
        done.is_ok_and(|output| output.status.success())
    };
    let install = ["install", "-y", "--no-install-recommends", "nginx"];
    let installed = apt(&install) || (apt(&["update"]) && apt(&install));
    if !installed {
        bail!("nginx is needed as the yardstick and cannot be installed here; as root: apt-get install nginx");
    }
    find().context("nginx was installed, and is not among the usual folders")
}

fn find() -> Option<PathBuf> {
    ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
}

/// Its version, as it says it.
pub(crate) fn version(program: &Path) -> String {
    let said = Command::new(program).arg("-v").output();
    said.map(|output| String::from_utf8_lossy(&output.stderr).trim().trim_start_matches("nginx version: ").to_owned()).unwrap_or_default()
}

/// Writes its configuration into `folder`, and the keys that it knows into `keys`.
pub(crate) fn configure(folder: &Path, keys: &Path, listen: SocketAddr, upstream: SocketAddr) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let (mut table, mut list) = (String::new(), String::new());
    for number in 0..KEYS {
        let key = format!("pk_{number:032}");
        writeln!(table, "\"Bearer {key}\" customer{number};")?;
        writeln!(list, "{key}")?;
    }
    std::fs::write(folder.join("keys.map"), table)?;
    std::fs::write(keys, list)?;
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration(folder, listen, upstream))?;
    Ok(file)
}

/// Whether one of its workers answers. Its master listens before there is a worker, so that a
/// connection alone says nothing about who will work, and whose processor time is to be counted.
pub(crate) fn answers(address: SocketAddr) -> bool {
    let mut first = [0; 5];
    let asked = TcpStream::connect(address).and_then(|mut connection| {
        connection.set_read_timeout(Some(ANSWER_PATIENCE))?;
        connection.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        connection.read_exact(&mut first)
    });
    asked.is_ok() && first == *b"HTTP/"
}

fn configuration(folder: &Path, listen: SocketAddr, upstream: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        r#"daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{
    worker_connections 4096;
}}
http {{
    sendfile on;
    tcp_nodelay on;
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map_hash_bucket_size 128;
    map_hash_max_size 65536;
    map $http_authorization $customer {{
        default "";
        include {folder}/keys.map;
    }}
    limit_req_zone $customer zone=customers:64m rate=1000000r/s;
    upstream graph {{
        server {upstream};
        keepalive 512;
        keepalive_timeout 300s;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen} backlog=4096;
        access_log {folder}/access.log combined;
        location / {{
            if ($customer = "") {{
                return 401;
            }}
            limit_req zone=customers burst=1000 nodelay;
            limit_req_status 429;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Authorization "Bearer EAABENCH00000000000000000000000";
            proxy_pass http://graph;
        }}
    }}
}}
"#
    )
}
