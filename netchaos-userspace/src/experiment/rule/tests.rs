use super::*;

fn ports(text: &str) -> Ports {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn ports_are_sorted_and_joined() {
    for (text, shown, count) in [
        ("443", "443", 1),
        ("00443", "443", 1),
        ("443,80", "80,443", 2),
        ("80,80", "80", 1),
        ("8000-8100", "8000-8100", 101),
        ("5-5", "5", 1),
        ("80,81,82", "80-82", 3),
        ("1-10,5-20,21,30", "1-21,30", 22),
        ("1-65535", "1-65535", 65535),
        ("65535,65534", "65534-65535", 2),
    ] {
        let read = ports(text);
        assert_eq!(
            (read.to_string().as_str(), read.count()),
            (shown, count),
            "{text}"
        );
        assert_eq!(read.iter().count(), count, "{text}");
        assert_eq!(ports(shown), read);
        assert!(!read.are_any());
    }
    assert!(Ports::default().are_any());
    let joined: Ports = [ports("80"), ports("443,81")].into_iter().collect();
    assert_eq!(joined.ranges(), [(80, 81), (443, 443)]);
    assert!([].into_iter().collect::<Ports>().are_any());
}

#[test]
fn what_is_no_list_of_ports_is_refused_with_its_reason() {
    for (text, why) in [
        ("", "is empty"),
        (",", "has a comma without a port beside it"),
        ("80,", "has a comma without a port beside it"),
        ("80,,443", "has a comma without a port beside it"),
        ("-", "has a range without a start"),
        ("-80", "has a range without a start"),
        ("80-", "has a range without an end"),
        ("90-80", "has a range that ends before it starts"),
        ("0", "has port 0"),
        ("0-80", "has port 0"),
        ("65536", "has a port that is out of range"),
        ("99999999999999999999", "has a port that is out of range"),
        ("http", "has a port that is not a number"),
        ("80, 443", "has a port that is not a number"),
        ("80:443", "has a port that is not a number"),
        ("+80", "has a port that is not a number"),
        ("1-2-3", "has a port that is not a number"),
    ] {
        let error = text.parse::<Ports>().expect_err(text);
        assert_eq!(
            (error.message.as_str(), error.value.as_deref()),
            (why, Some(text))
        );
        assert_eq!(error.allowed.as_deref(), Some(Ports::ALLOWED));
    }
}

#[test]
fn ports_overlap_where_one_is_in_both() {
    for (one, other, expected) in [
        ("80", "80", true),
        ("80", "81", false),
        ("1-100,200", "100-199", true),
        ("1-99,200", "100-199", false),
    ] {
        assert_eq!(ports(one).overlap(&ports(other)), expected, "{one} {other}");
        assert_eq!(ports(other).overlap(&ports(one)), expected, "{one} {other}");
    }
    assert!(ports("80").overlap(&Ports::default()) && Ports::default().overlap(&ports("80")));
}

#[test]
fn protocols_have_names_or_numbers() {
    for (text, numbers, shown, has_ports) in [
        ("tcp", vec![6], "tcp", true),
        ("6", vec![6], "tcp", true),
        ("udp", vec![17], "udp", true),
        ("sctp", vec![132], "sctp", true),
        ("icmp", vec![1, 58], "icmp", false),
        ("1", vec![1], "1", false),
        ("47", vec![47], "47", false),
        ("0", vec![0], "0", false),
        ("255", vec![255], "255", false),
    ] {
        let protocol: Protocol = text.parse().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(protocol.numbers(), numbers, "{text}");
        assert_eq!(protocol.to_string(), shown);
        assert_eq!(protocol.has_ports(), has_ports, "{text}");
        assert_eq!(shown.parse::<Protocol>().unwrap(), protocol);
    }
    for text in ["", "256", "-1", "+6", "TCP", "icmp6", "any"] {
        let error = text.parse::<Protocol>().expect_err(text);
        assert_eq!(error.message, "is not a protocol", "{text}");
    }
}

#[test]
fn any_protocol_has_all_others_in_it() {
    let list = |texts: &[&str]| {
        let words = texts
            .iter()
            .map(|text| Protocol::parse_or_any(text).unwrap());
        Protocol::list(words.collect())
    };
    assert_eq!(
        list(&["udp", "tcp", "6"]),
        [Protocol::TCP, Protocol::Number(17)]
    );
    assert_eq!(list(&["tcp", "any"]), []);
    assert_eq!(list(&[]), []);
}

#[test]
fn what_is_spared_is_named() {
    for (text, vital) in [
        ("arp", Vital::Arp),
        ("nd", Vital::Nd),
        ("dhcp", Vital::Dhcp),
    ] {
        assert_eq!(text.parse::<Vital>().unwrap(), vital);
        assert_eq!(serde_json::to_string(&vital).unwrap(), format!("{text:?}"));
    }
    assert_eq!(
        "dns".parse::<Vital>().unwrap_err().to_string(),
        r#""dns" is nothing that is spared; allowed: arp, nd or dhcp"#
    );
    assert_eq!(
        Vital::list(vec![Vital::Nd, Vital::Arp, Vital::Nd]),
        [Vital::Arp, Vital::Nd]
    );
}
