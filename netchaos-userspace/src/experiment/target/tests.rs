use super::*;

fn target(text: &str) -> Target {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn targets_are_read_and_normalised() {
    for (text, shown, ports) in [
        ("1.2.3.4", "1.2.3.4", ""),
        ("1.2.3.4/32", "1.2.3.4", ""),
        ("1.2.3.4:443", "1.2.3.4:443", "443"),
        ("1.2.3.4:0443", "1.2.3.4:443", "443"),
        ("10.0.0.0/8", "10.0.0.0/8", ""),
        ("10.1.2.3/16", "10.1.0.0/16", ""),
        ("10.1.2.3/16:443", "10.1.0.0/16:443", "443"),
        ("::1", "::1", ""),
        ("[::1]", "::1", ""),
        ("::1/128", "::1", ""),
        ("2001:DB8:0:0::1", "2001:db8::1", ""),
        ("2001:db8::/32", "2001:db8::/32", ""),
        ("2001:db8::5/32", "2001:db8::/32", ""),
        ("[2001:db8::1]:443", "[2001:db8::1]:443", "443"),
        ("[2001:db8::/32]:443", "[2001:db8::/32]:443", "443"),
        ("::ffff:1.2.3.4", "1.2.3.4", ""),
        ("[::ffff:1.2.3.4]:80", "1.2.3.4:80", "80"),
        ("::ffff:10.1.2.3/104", "10.0.0.0/8", ""),
        ("db.example.com", "db.example.com", ""),
        ("DB.Example.com:5432", "db.example.com:5432", "5432"),
        ("db.example.com.", "db.example.com.", ""),
        ("db.example.com.:65535", "db.example.com.:65535", "65535"),
        ("target-one.lab", "target-one.lab", ""),
        ("_ldap._tcp.example.com", "_ldap._tcp.example.com", ""),
        ("localhost", "localhost", ""),
        ("1.2.3.4:80,443", "1.2.3.4:80,443", "80,443"),
        ("10.0.0.0/8:443,80", "10.0.0.0/8:80,443", "80,443"),
        (
            "[2001:db8::1]:8000-8100",
            "[2001:db8::1]:8000-8100",
            "8000-8100",
        ),
        ("a.example:1-3,2-5,6", "a.example:1-6", "1-6"),
        ("3com.com", "3com.com", ""),
        ("1.2.3.4.nip.io", "1.2.3.4.nip.io", ""),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", ""),
    ] {
        let read = target(text);
        assert_eq!(read.to_string(), shown, "{text}");
        assert_eq!(read.ports.to_string(), ports, "{text}");
        assert_eq!(target(shown), read, "{text}");
        let json = serde_json::to_string(&read).unwrap();
        assert_eq!(json, format!("{shown:?}"));
        assert_eq!(serde_json::from_str::<Target>(&json).unwrap(), read);
    }
}

#[test]
fn single_addresses_are_full_length_prefixes_and_names_stay_names() {
    assert_eq!(
        target("1.2.3.4").peer,
        Peer::Prefix("1.2.3.4/32".parse().unwrap())
    );
    assert_eq!(
        target("[::1]:1").peer,
        Peer::Prefix("::1/128".parse().unwrap())
    );
    let Peer::Name(name) = target("A.example:1").peer else {
        panic!("a name");
    };
    assert_eq!(name.as_str(), "a.example");
}

#[test]
fn what_is_no_target_is_refused_with_its_reason() {
    let long_label = format!("{}.example", "a".repeat(64));
    let long_name = format!("{}example", "abcdefg.".repeat(31));
    for (text, why) in [
        ("", "is empty"),
        (":80", "is empty"),
        ("1.2.3", "is not an address"),
        ("300.1.1.1", "is not an address"),
        ("1.2.3.4.5", "is not an address"),
        ("010.0.0.1", "is not an address"),
        ("443", "is not an address"),
        ("example.123", "is not an address"),
        ("1.2.3.4/33", "is not a prefix"),
        ("1.2.3.4/", "is not a prefix"),
        ("1.2.3/24", "is not a prefix"),
        ("example.com/24", "is not a prefix"),
        ("10.0.0.0/255.0.0.0", "is not a prefix"),
        ("::1/129", "is not a prefix"),
        ("2001:db8::/32:443", "is not a prefix"),
        ("2001:db8:::1", "is not an IPv6 address"),
        ("1.2.3.4:80:90", "is not an IPv6 address"),
        (
            "[1.2.3.4]:80",
            "has brackets around something else than an IPv6 address or prefix",
        ),
        (
            "[example.com]:80",
            "has brackets around something else than an IPv6 address or prefix",
        ),
        ("[::1", "has no closing bracket"),
        (
            "[::1]80",
            "has something else than a port after the bracket",
        ),
        (
            "[2001:db8::]/32",
            "has something else than a port after the bracket",
        ),
        (
            "fe80::1%eth0",
            "has a zone; the device says already which link is meant",
        ),
        (
            "[fe80::1%eth0]:80",
            "has a zone; the device says already which link is meant",
        ),
        ("https://example.com", "is a URL"),
        ("a b", "is neither an address nor a host name"),
        ("*.example.com", "is neither an address nor a host name"),
        ("-a.example", "is neither an address nor a host name"),
        ("a-.example", "is neither an address nor a host name"),
        (
            "a..example",
            "has a part that is empty or longer than 63 characters",
        ),
        (".", "has a part that is empty or longer than 63 characters"),
        (
            ".example",
            "has a part that is empty or longer than 63 characters",
        ),
        (
            &long_label,
            "has a part that is empty or longer than 63 characters",
        ),
        (
            &long_name,
            "is longer than the 253 characters of a host name",
        ),
        (
            "bücher.example",
            "has characters beyond ASCII; write such a name in its xn-- form",
        ),
    ] {
        let error = text.parse::<Target>().expect_err(text);
        assert_eq!(error.message, why, "{text}");
        assert_eq!(error.value.as_deref(), Some(text));
        assert_eq!(error.allowed.as_deref(), Some(TARGET_ALLOWED), "{text}");
    }
}

#[test]
fn what_is_no_port_is_refused_with_its_reason() {
    for (text, why) in [
        ("1.2.3.4:0", "has port 0"),
        ("1.2.3.4:", "has a colon and no port after it"),
        ("[::1]:", "has a colon and no port after it"),
        ("1.2.3.4:65536", "has a port that is out of range"),
        ("1.2.3.4:foo", "has a port that is not a number"),
        ("1.2.3.4:+80", "has a port that is not a number"),
        ("1.2.3.4:-1", "has a range without a start"),
        ("1.2.3.4:80,", "has a comma without a port beside it"),
        (
            "a.example:8100-8000",
            "has a range that ends before it starts",
        ),
    ] {
        let error = text.parse::<Target>().expect_err(text);
        assert_eq!(error.message, why, "{text}");
        assert_eq!(error.value.as_deref(), Some(text));
        assert_eq!(error.allowed.as_deref(), Some(Ports::ALLOWED), "{text}");
    }
}

#[test]
fn port_0_means_no_port_where_that_is_the_custom() {
    for text in ["1.2.3.4:0", "[::1]:0", "a.example:00"] {
        let target = Target::parse(text, ZeroPort::AnyPort).unwrap();
        assert!(target.ports.are_any(), "{text}");
    }
}

#[test]
fn everything_is_never_a_target() {
    for text in [
        "0.0.0.0/0",
        "1.2.3.4/0",
        "::/0",
        "[::/0]:443",
        "0.0.0.0/0:80",
        "::ffff:0:0/96",
    ] {
        let error = text.parse::<Target>().expect_err(text).to_string();
        assert!(error.contains("asked for in words"), "{error}");
        assert!(error.contains("--all-traffic"), "{error}");
        assert!(error.contains("allTraffic: true"), "{error}");
    }
    assert_eq!(target("0.0.0.0/1").to_string(), "0.0.0.0/1");
}
