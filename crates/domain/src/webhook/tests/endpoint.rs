//! URLs and headers that customers may and may not set.

use super::*;
use crate::webhook::address::Network;

fn strict() -> UrlRules {
    UrlRules::default()
}

/// As `turnpike demo` has it.
fn demo() -> UrlRules {
    UrlRules {
        plain_http: PlainHttp::ToAllowedNetworks,
        any_port: true,
        local_names: true,
        networks: crate::webhook::address::AllowedNetworks::loopback(),
    }
}

fn refused(url: &str, rules: &UrlRules) -> String {
    let fault = EndpointUrl::parse(url, rules).expect_err(url);
    assert_eq!(fault.path, "url");
    fault.problem
}

#[test]
fn a_public_https_url_is_taken_as_it_is_called() {
    let check = |url: &str, called: &str, authority: &str, port: u16, target: &str| {
        let url = EndpointUrl::parse(url, &strict()).expect(url);
        assert_eq!((url.as_str(), url.authority(), url.port(), url.path_and_query()), (called, authority, port, target));
        assert!(url.is_tls());
        url.host().clone()
    };
    let host = check("https://Example.com", "https://example.com/", "example.com", 443, "/");
    assert_eq!(host, EndpointHost::Name("example.com".into()));
    check("https://example.com:8443/a?b=c&d", "https://example.com:8443/a?b=c&d", "example.com:8443", 8443, "/a?b=c&d");
    check("https://example.com:443/a%20b", "https://example.com/a%20b", "example.com", 443, "/a%20b");
    check("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC", "xn--bcher-kva.example", 443, "/%C3%BC");
    check("https://example.com?x", "https://example.com/?x", "example.com", 443, "/?x");
    check("https://example.com/@user", "https://example.com/@user", "example.com", 443, "/@user");
    let host = check("https://8.8.8.8:1024/", "https://8.8.8.8:1024/", "8.8.8.8:1024", 1024, "/");
    assert_eq!(host, EndpointHost::Address("8.8.8.8".parse().expect("an address")));
    let host = check("https://[2606:4700::1111]/", "https://[2606:4700::1111]/", "[2606:4700::1111]", 443, "/");
    assert_eq!(host, EndpointHost::Address("2606:4700::1111".parse().expect("an address")));
}

#[test]
fn every_rule_of_urls_is_kept_and_says_what_to_do() {
    for (url, problem) in [
        ("", "must be a URL"),
        ("example.com", "must be a URL"),
        ("https://", "must be a URL"),
        ("https:// example.com", "must not hold spaces"),
        ("https://exam\tple.com", "must not hold spaces"),
        ("https://example.com\n", "must not hold spaces"),
        ("https:\\\\example.com", "backslashes"),
        ("https://example.com\\@127.0.0.1/", "backslashes"),
        ("http://example.com/", "must begin with https://"),
        ("ftp://example.com/", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("javascript:alert(1)", "must begin with https://"),
        ("https://user@example.com/", "must not hold a user name"),
        ("https://user:pass@example.com/", "must not hold a user name"),
        ("https://:@example.com/", "must not hold a user name"),
        ("https://@example.com/", "must not hold a user name"),
        ("https://example.com/#part", "must not hold a fragment"),
        ("https://example.com/#", "must not hold a fragment"),
        ("https://example.com:22/", "must name port"),
        ("https://example.com:80/", "must name port"),
        ("https://example.com:0/", "must name port"),
        ("https://example.com:1023/", "must name port"),
        ("https://example.com:70000/", "must be a URL"),
        ("https://localhost/", "local network"),
        ("https://LOCALHOST./", "local network"),
        ("https://a.localhost/", "local network"),
        ("https://printer.local/", "local network"),
        ("https://metadata.google.internal/", "local network"),
        ("https://metadata.google.internal./", "local network"),
        ("https://intranet/", "local network"),
        ("https://router.home.arpa/", "local network"),
        ("https://xn--a.com/", "must be a URL"),
    ] {
        let said = refused(url, &strict());
        assert!(said.contains(problem), "{url}: {said}");
    }
    assert!(refused(&format!("https://example.com/{}", "x".repeat(URL_BYTES_MAX)), &strict()).contains("2048"));
}

#[test]
fn an_address_is_what_will_be_dialled_however_it_is_spelt() {
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0X7F.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "0x7f.0x0.0x0.0x1",
        "0177.0.0.01",
        "127.000.000.001",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "0",
        "0.0.0.0",
        "0x0",
        "00",
        "10.1",
        "012.0.0.1",
        "167772161",
        "0xa000001",
        "192.168.257",
        "0xc0a80101",
        "3232235777",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.16689662",
        "172.16.1",
        "100.64.1",
        "255.255.255.255",
        "4294967295",
        "224.0.0.1",
        "198.18.0.1",
        "192.0.2.1",
        "203.0.113.9",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:a9fe:a9fe]",
        "[::ffff:169.254.169.254]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::10.0.0.1]",
        "[64:ff9b:1::a00:1]",
        "[2002:7f00:1::]",
        "[2002:a00:1::1]",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "[2001:db8::1]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fec0::1]",
        "[ff02::1]",
        "[100::1]",
        "[3fff::1]",
        "[5f00::1]",
        "[::ffff:0:10.0.0.1]",
    ] {
        let said = refused(&format!("https://{host}/"), &strict());
        assert!(said.starts_with("must not lead to"), "{host}: {said}");
    }
    // Out of range: no address at all, and no name either.
    for host in ["256.0.0.1", "0x100000000", "1.2.3.4.5", "127.0.0.256", "1.2.3.08", "[::1", "[::g]", "[fe80::1%25eth0]", "a..0x7f"] {
        refused(&format!("https://{host}/"), &strict());
    }
    for host in ["8.8.8.8", "134744072", "0x8080808", "010.010.010.010", "[::ffff:8.8.8.8]"] {
        let url = EndpointUrl::parse(&format!("https://{host}/"), &strict()).expect(host);
        let EndpointHost::Address(address) = url.host() else { panic!("{host} is an address") };
        assert_eq!(address.to_canonical().to_string(), "8.8.8.8");
    }
}

#[test]
fn plain_http_goes_only_where_it_may() {
    for url in ["http://127.0.0.1:3000/hook", "http://localhost:3000/hook", "http://[::1]:9/", "http://127.0.0.1/", "https://localhost/"] {
        EndpointUrl::parse(url, &demo()).expect(url);
    }
    assert!(refused("http://8.8.8.8/", &demo()).contains("without TLS"));
    assert!(refused("http://10.0.0.1/", &demo()).contains("private network"));
    // What a name leads to is known only when it is called.
    let name = EndpointUrl::parse("http://hooks.example.com/", &demo()).expect("a name");
    let refuses = |address: &str, rules: &UrlRules| name.refuses(address.parse().expect("an address"), rules);
    assert_eq!(refuses("127.0.0.1", &demo()), None);
    assert_eq!(refuses("::ffff:127.0.0.1", &demo()), None);
    assert_eq!(refuses("93.184.216.34", &demo()), Some("a public address without TLS"));
    assert!(refuses("169.254.169.254", &demo()).is_some());
    let anywhere = UrlRules { plain_http: PlainHttp::Anywhere, ..strict() };
    assert_eq!(refuses("93.184.216.34", &anywhere), None);
    assert!(refuses("127.0.0.1", &anywhere).is_some());
    // A rule that became stricter meanwhile holds at once.
    assert!(refuses("127.0.0.1", &strict()).is_some() && refuses("93.184.216.34", &strict()).is_some());
}

#[test]
fn an_operators_network_is_open_where_it_is_named() {
    let rules = UrlRules { networks: ["10.1.0.0/16".parse::<Network>().expect("a network")].into_iter().collect(), ..strict() };
    EndpointUrl::parse("https://10.1.2.3/", &rules).expect("allowed");
    assert!(refused("https://10.2.0.1/", &rules).contains("private network"));
}

fn headers(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_customers_own_headers_are_taken() {
    let own = headers(&[
        ("X-Api-Key", "abc def"),
        ("User-Agent", "mine/1"),
        ("x-tenant", ""),
        ("Cookie", "a=b; c=d"),
        ("CF-Access-Client-Id", "x"),
    ]);
    assert_eq!(check_headers(&own, true), Ok(()));
    assert_eq!(check_headers(&headers(&[("Authorization", "Basic abc")]), false), Ok(()));
}

#[test]
fn headers_of_ours_or_of_the_connection_are_refused_by_name() {
    for name in [
        "Host",
        "host",
        "Connection",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "HTTP2-Settings",
        "Expect",
        "Content-Length",
        "Content-Type",
        "content-encoding",
        "Webhook-Id",
        "webhook-signature",
        "X-Hub-Signature-256",
        "x-hub-signature",
        "X-Gateway-Event",
        "x-gateway-mode",
        "X-Message-Id",
        "Authorization",
    ] {
        let faults = check_headers(&headers(&[(name, "x")]), true).expect_err(name);
        assert_eq!((faults.len(), faults[0].path.as_str()), (1, &*format!("headers.{name}")), "{faults:?}");
    }
    for (name, value) in [
        ("", "x"),
        ("X Y", "x"),
        ("X:Y", "x"),
        (":path", "x"),
        ("X-\r\nHost", "x"),
        ("Ünder", "x"),
        ("X-A", "a\r\nHost: b"),
        ("X-A", "a\nb"),
        ("X-A", "a\0"),
        ("X-A", "\u{7f}"),
        ("X-A", "ü"),
        ("X-A", "\tx"),
        ("X-A", " x"),
        ("X-A", "x "),
    ] {
        let faults = check_headers(&headers(&[(name, value)]), true).expect_err(name);
        assert_eq!(faults.len(), 1);
        assert!(faults[0].path.starts_with("headers") && !faults[0].path.contains('\n') && faults[0].path.is_ascii(), "{faults:?}");
    }
}

#[test]
fn headers_are_bounded_and_all_faults_are_named_at_once() {
    let name = |index: usize| (format!("X-{index}"), "v".to_owned());
    assert!(check_headers(&(0..HEADERS_MAX).map(name).collect::<Vec<_>>(), true).is_ok());
    assert_eq!(check_headers(&(0..=HEADERS_MAX).map(name).collect::<Vec<_>>(), true).expect_err("one more")[0].path, "headers");
    let long = "v".repeat(HEADER_VALUE_BYTES_MAX);
    assert!(check_headers(&headers(&[("X-A", &long)]), true).is_ok());
    assert!(check_headers(&headers(&[("X-A", &format!("{long}v"))]), true).is_err());
    assert!(check_headers(&headers(&[(&"n".repeat(HEADER_NAME_BYTES_MAX + 1), "v")]), true).is_err());
    let many = headers(&[("X-A", &long), ("X-B", &long), ("X-C", &long), ("X-D", &long)]);
    assert_eq!(check_headers(&many, true).expect_err("together too long")[0].path, "headers");
    let faults = check_headers(&headers(&[("Host", "a"), ("X-A", "\n"), ("x-b", "1"), ("X-B", "2")]), true).expect_err("three faults");
    let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths, ["headers.Host", "headers.X-A", "headers.X-B"]);
}
