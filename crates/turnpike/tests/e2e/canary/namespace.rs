//! A network for one test, in which every address leads back to this machine.
//!
//! The test's program is run once more under `unshare` (util-linux): it has loopback and nothing
//! else, and `ip` (iproute2) makes every address of both families a local one. Connections leave from
//! an address of their own, so that a public address looks like another machine. The system's resolver
//! is pointed to a name server on loopback. None of it is seen outside, and no privilege is needed
//! where a user may make namespaces.
//!
//! Where that is refused, the test fails and says so: without it nobody knows whether the guard holds.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::{Command, Output};

/// Where connections leave from. Documentation's, so that nobody takes it for an endpoint.
const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77));

/// Public addresses that the machine itself has. From the second the kernel goes out as the first, so
/// that the two ends of a connection to it differ.
pub(super) const OWN: [&str; 3] = ["45.45.45.1", "45.45.45.2", "2a00:4545::1"];

/// $1 is a folder with the resolver's configuration; what follows is run.
const SETUP: &str = r#"
PATH="$PATH:/usr/sbin:/sbin"
ip link set lo up
ip route del broadcast 127.255.255.255 dev lo table local
ip address add 192.0.2.77/32 dev lo
ip -6 address add 2001:db8::77/128 dev lo nodad
ip address add 45.45.45.1/24 dev lo
ip address add 45.45.45.2/24 dev lo
ip -6 address add 2a00:4545::1/128 dev lo nodad
ip route add local 0.0.0.0/0 dev lo src 192.0.2.77
ip -6 route add local ::/0 dev lo src 2001:db8::77
mount --bind "$1/resolv.conf" /etc/resolv.conf
mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf
shift
exec "$@"
"#;

/// A second question because a busy machine was slow would count as a second look-up.
const RESOLVER: &str = "nameserver 127.0.0.1\noptions timeout:30 attempts:1\n";

/// Runs an ignored test of this program in a network of its own; panics with all that it said where
/// it fails.
pub(super) fn run(test: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("resolv.conf"), RESOLVER).expect("a file");
    std::fs::write(folder.path().join("nsswitch.conf"), "hosts: files dns\n").expect("a file");
    let here = std::env::current_exe().expect("a running program has a path");
    // As root without a map of users, for machines that let only root have namespaces.
    let ways: [&[&str]; 2] = [&["--map-root-user", "--net", "--mount"], &["--net", "--mount"]];
    let way = ways.into_iter().find(|way| unshare(way, &["true".as_ref()]).is_ok_and(|output| output.status.success()));
    let Some(way) = way else {
        let refused = unshare(ways[0], &["true".as_ref()]);
        panic!(
            "this test needs a network namespace, and this machine gives none. It needs `unshare` (util-linux), `ip` (iproute2), and \
             either root's CAP_SYS_ADMIN or user namespaces (in a container: --privileged, or seccomp=unconfined): {refused:?}"
        );
    };
    let arguments: [&Path; 10] = [
        "sh".as_ref(),
        "-euc".as_ref(),
        SETUP.as_ref(),
        "sh".as_ref(),
        folder.path(),
        &here,
        "--exact".as_ref(),
        test.as_ref(),
        "--ignored".as_ref(),
        "--nocapture".as_ref(),
    ];
    let output = unshare(way, &arguments).expect("it was there a moment ago");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // A name that is no test's would run none, and pass.
    assert!(output.status.success() && out.contains("1 passed"), "{test} in a network of its own: {}\n{out}\n{err}", output.status);
    print!("{out}");
}

fn unshare(way: &[&str], command: &[&Path]) -> std::io::Result<Output> {
    Command::new("unshare").args(way).arg("--").args(command).output()
}

/// Panics where this is not such a network: a test that is made for one must not dial into another.
pub(super) fn is_ours() {
    // Nothing is sent by connecting a datagram socket; it only chooses its own address.
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
    let near = socket.connect("93.184.215.14:9").and_then(|()| socket.local_addr());
    assert!(near.as_ref().is_ok_and(|near| near.ip() == NEAR), "this runs in a network of its own, where another test starts it: {near:?}");
}

/// Connections that anybody in this network has begun so far, whether or not somebody listened.
pub(super) fn connections_begun() -> u64 {
    let text = std::fs::read_to_string("/proc/net/snmp").expect("Linux counts");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, numbers) = (lines.next().expect("names"), lines.next().expect("numbers"));
    let of = |(name, number): (&str, &str)| (name == "ActiveOpens").then(|| number.parse().expect("a number"));
    names.split(' ').zip(numbers.split(' ')).find_map(of).expect("it is counted")
}
