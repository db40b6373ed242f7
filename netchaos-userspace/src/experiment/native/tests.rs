use proptest::prelude::*;

use super::*;
use crate::experiment::{
    Bandwidth, Chance, Delay, Distribution, GilbertElliott, JitterOrder, Loss, Percent, Rate,
    Reorder, manifest,
    units::{LONGEST_DELAY, LONGEST_JITTER},
};

mod fault;

fn read(fields: &str) -> Result<Experiment, String> {
    let text = format!("apiVersion: netchaos/v1\nkind: Experiment\n{fields}");
    match manifest::read("f", &text, Default::default()) {
        Ok(documents) => Ok(documents[0].experiment.clone()),
        Err(problems) => Err(problems.to_string()),
    }
}

const FAULT: &str = "fault: {delay: {latency: 50ms}}";

#[test]
fn numbers_need_no_quotes() {
    let text =
        "name: 7\nfault: {delay: {latency: 50ms, jitter: 5ms, correlation: 25}}\nto: [1.1.1.1]";
    let experiment = read(text).unwrap();
    assert_eq!(experiment.name, "7");
    assert_eq!(experiment.fault.delay.unwrap().correlation.get(), 25.0);
}

#[test]
fn every_field_is_read() {
    let experiment = read(
        "name: a\nnamespace: shop\ndevice: eth1\ndirection: both\n\
         fault: {delay: {latency: 1m30s, jitter: 5ms, correlation: 0.5%}}\n\
         to: [10.0.0.0/8, 'example.com:80']\nexcept: [10.0.0.1]\n\
         protocols: [udp, 6]\nports: [80, 443, 8000-8100]\nlocalPorts: 1-1023\n\
         include: [nd, arp]\nduration: 10m\npaused: true\nstatus: {state: live}",
    )
    .unwrap();
    assert_eq!(
        serde_json::to_value(&experiment).unwrap(),
        serde_json::json!({
            "apiVersion": "netchaos/v1",
            "kind": "Experiment",
            "name": "a",
            "namespace": "shop",
            "device": "eth1",
            "direction": "both",
            "fault": {"delay": {"latency": "1m30s", "jitter": "5ms", "correlation": "0.5%"}},
            "to": ["10.0.0.0/8", "example.com:80"],
            "except": ["10.0.0.1"],
            "protocols": ["tcp", "udp"],
            "ports": "80,443,8000-8100",
            "localPorts": "1-1023",
            "include": ["arp", "nd"],
            "duration": "10m",
            "paused": true,
        })
    );
}

#[test]
fn protocols_ports_and_includes_can_be_left_out_or_any() {
    let rule =
        |fields: &str| read(&format!("name: a\n{FAULT}\nto: [::1]\n{fields}")).map(|e| e.rule);
    for fields in [
        "",
        "protocols: []\nports: []\ninclude: []",
        "protocols: [tcp, any]",
    ] {
        assert_eq!(rule(fields).unwrap(), Rule::default(), "{fields}");
    }
    assert_eq!(rule("ports: 443").unwrap().ports.to_string(), "443");
    for (fields, expected) in [
        ("protocols: tcp", "f:6: protocols: \"tcp\" is a string"),
        (
            "protocols: [tcp, tpc]",
            "f:6: protocols[1]: \"tpc\" is not a protocol",
        ),
        ("ports: 0", "f:6: ports: \"0\" has port 0"),
        (
            "ports: [80, http]",
            "f:6: ports[1]: \"http\" has a port that is not a number",
        ),
        ("localPorts: ''", "f:6: localPorts: \"\" is empty"),
        (
            "include: [dns]",
            "f:6: include[0]: \"dns\" is nothing that is spared",
        ),
        (
            "localPorts: 80\nprotocols: [icmp]",
            "f:6: localPorts: \"80\" does not go with protocol icmp",
        ),
    ] {
        let error = rule(fields).expect_err(fields);
        assert!(
            error.starts_with(expected) && error.lines().count() == 1,
            "{error}"
        );
    }
    let error = read(&format!("name: a\n{FAULT}\nto: ['a:80']\nports: 81")).unwrap_err();
    assert!(
        error.starts_with("f:5: to: \"a:80\" has no port that is in 81 too"),
        "{error}"
    );
}

#[test]
fn all_traffic_needs_words() {
    let text = |fields: &str| format!("name: a\n{FAULT}\n{fields}");
    let all = read(&text("allTraffic: true")).unwrap();
    assert_eq!(all.targets, Targets::AllTraffic);
    assert_eq!(read(&text("allTraffic: true\nto: []")).unwrap(), all);
    assert!(read(&text("allTraffic: false\nto: [1.1.1.1]")).is_ok());
    for (fields, expected) in [
        ("", "f:1: to: no target is given"),
        ("to: []", "f:5: to: no target is given"),
        ("to:", "f:5: to: no target is given"),
        ("allTraffic: false", "f:1: to: no target is given"),
        ("allTraffic: false\nto: []", "f:6: to: no target is given"),
        (
            "allTraffic: true\nto: [1.1.1.1]",
            "f:6: to: targets and all traffic exclude each other",
        ),
        (
            "allTraffic: 'true'",
            "f:5: allTraffic: \"true\" is a string",
        ),
        ("to: [::/0]", "f:5: to[0]: \"::/0\" means all traffic"),
        ("to: ['1.1.1.1:0']", "f:5: to[0]: \"1.1.1.1:0\" has port 0"),
    ] {
        let error = read(&text(fields)).expect_err(fields);
        assert_eq!(error.lines().count(), 1, "{fields}: {error}");
        assert!(error.starts_with(expected), "{fields}: {error}");
    }
}

#[test]
fn all_mistakes_are_named() {
    let error = read(
        "Name: a\nfault:\n  delay: {latency: 0s, jiter: 1ms}\n  loss: 5%\nto: 1.1.1.1\nexcept: [a b]\n\
         direction: up\nduration: 0s\npaused: maybe\ndevice: a/b\nnamespace: A",
    )
    .unwrap_err();
    let starts: Vec<&str> = error
        .lines()
        .map(|line| line.split(';').next().unwrap())
        .collect();
    assert_eq!(
        starts,
        [
            "f:1: name: missing",
            "f:3: Name: unknown field",
            r#"f:5: fault.delay.latency: "0s" would delay nothing"#,
            "f:5: fault.delay.jiter: unknown field",
            r#"f:6: fault.loss: "5%" is a string"#,
            r#"f:7: to: "1.1.1.1" is a string"#,
            r#"f:8: except[0]: "a b" is neither an address nor a host name"#,
            r#"f:9: direction: "up" is not a direction"#,
            r#"f:10: duration: "0s" would end at once"#,
            r#"f:11: paused: "maybe" is a string"#,
            r#"f:12: device: "a/b" is not the name of a device"#,
            r#"f:13: namespace: "A" is not the name of a namespace"#,
        ]
    );
}

#[test]
fn what_the_kernel_kept_is_read_strictly() {
    let good = r#"{"apiVersion":"netchaos/v1","kind":"Experiment","name":"a","fault":{"delay":{"latency":"1s"}},"to":["::1"]}"#;
    assert!(serde_json::from_str::<Experiment>(good).is_ok());
    for (old, new) in [
        ("netchaos/v1", "netchaos/v9"),
        (r#"["::1"]"#, "[]"),
        (r#"["::1"]"#, r#"["::/0"]"#),
        (r#""to""#, r#""allTraffic":true,"to""#),
        (r#""name""#, r#""color":"red","name""#),
        ("1s", "1 s"),
    ] {
        let bad = good.replace(old, new);
        assert!(serde_json::from_str::<Experiment>(&bad).is_err(), "{bad}");
    }
}

fn any_ports() -> impl Strategy<Value = Ports> {
    let range = (1..=u16::MAX, 0..200_u16)
        .prop_map(|(first, more)| format!("{first}-{}", first.saturating_add(more)));
    let port = (1..=u16::MAX).prop_map(|port| port.to_string());
    let list = prop::collection::vec(prop_oneof![port, range], 0..4);
    list.prop_map(|list| match list.is_empty() {
        true => Ports::default(),
        false => list.join(",").parse().unwrap(),
    })
}

fn any_target(ports: impl Strategy<Value = Ports>) -> impl Strategy<Value = Target> {
    let address = prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(|a| a.to_string()),
        (any::<std::net::Ipv4Addr>(), 1..=32).prop_map(|(a, length)| format!("{a}/{length}")),
        "[a-z_][a-z0-9_]{0,8}(-[a-z0-9]{1,8})?(\\.[a-z]{1,5}){0,3}\\.?",
    ];
    let v6 = prop_oneof![
        any::<std::net::Ipv6Addr>().prop_map(|a| a.to_string()),
        (any::<std::net::Ipv6Addr>(), 1..=128).prop_map(|(a, length)| format!("{a}/{length}")),
    ];
    // All of IPv4 in IPv6 notation is all traffic, and rightly refused.
    let v6 = v6.prop_filter("a target", |v6| {
        !(v6.starts_with("::ffff:") && v6.ends_with("/96"))
    });
    let peer = prop_oneof![address, v6];
    (peer, ports).prop_map(|(peer, ports)| Target {
        peer: peer.parse().unwrap(),
        ports,
    })
}

/// Of very different sizes, up to `most`.
fn any_duration(most: Duration) -> impl Strategy<Value = Duration> {
    (1..=most.as_nanos() as u64, 0..40_u32)
        .prop_map(|(nanoseconds, shift)| Duration::from_nanos((nanoseconds >> shift).max(1)))
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let with_ports = prop::sample::subsequence(vec!["tcp", "udp", "sctp"], 0..=3);
    let others = prop::sample::subsequence(vec!["icmp", "1", "47", "0"], 1..=4);
    let vitals = vec![Vital::Arp, Vital::Nd, Vital::Dhcp];
    let include = prop::sample::subsequence(vitals, 0..=3);
    let read = |words: Vec<&str>| {
        let words = words
            .iter()
            .map(|word| Protocol::parse_or_any(word).unwrap());
        Protocol::list(words.collect())
    };
    let rule =
        (with_ports, any_ports(), any_ports()).prop_map(move |(words, ports, local_ports)| Rule {
            protocols: read(words),
            ports,
            local_ports,
            include: Vec::new(),
        });
    let without = others.prop_map(move |words| Rule {
        protocols: read(words),
        ..Rule::default()
    });
    (prop_oneof![rule, without], include).prop_map(|(rule, include)| Rule { include, ..rule })
}

fn any_experiment() -> impl Strategy<Value = Experiment> {
    // Ports of targets would have to go with those of the rule.
    let targets = |ports: BoxedStrategy<Ports>| {
        prop_oneof![
            Just(Targets::AllTraffic),
            prop::collection::vec(any_target(ports), 1..5).prop_map(Targets::List),
        ]
    };
    let aim = prop_oneof![
        (any_rule(), targets(Just(Ports::default()).boxed())),
        (Just(Rule::default()), targets(any_ports().boxed())),
    ];
    let name = "[a-z0-9]{1,9}(-[a-z0-9]{1,9}){0,2}(\\.[a-z0-9]{1,9})?";
    let direction = prop_oneof![
        Just(Direction::To),
        Just(Direction::From),
        Just(Direction::Both),
    ];
    let rest = (
        prop::option::of("[a-z0-9]{1,9}"),
        prop::option::of("[a-z0-9.@#&*!-]{3,15}"),
        direction,
        prop::collection::vec(any_target(any_ports()), 0..3),
        prop::option::of(any_duration(Duration::from_nanos(i64::MAX as u64))),
        any::<bool>(),
    );
    (name, fault::any_fault(), aim, rest).prop_map(|(name, fault, (rule, targets), rest)| {
        let (namespace, device, direction, except, duration, paused) = rest;
        Experiment {
            name,
            namespace,
            device,
            direction,
            fault,
            targets,
            except,
            rule,
            duration,
            paused,
        }
    })
}

proptest! {
    #[test]
    fn targets_and_durations_read_what_they_print(
        target in any_target(any_ports()),
        duration in any_duration(Duration::from_nanos(i64::MAX as u64)),
    ) {
        prop_assert_eq!(target.to_string().parse::<Target>().unwrap(), target);
        let text = units::format_duration(duration);
        prop_assert_eq!(units::parse_duration(&text).unwrap(), duration);
    }

    #[test]
    fn rates_read_what_they_print(bytes in 1..=u64::MAX / 8, shift in 0..60_u32) {
        let rate = Rate::from_bits_per_second((bytes >> shift).max(1) * 8).unwrap();
        prop_assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate);
    }

    /// The serde form, printed as JSON and as YAML, is what `apply -f` reads.
    #[test]
    fn every_experiment_comes_back_from_its_written_form(experiment in any_experiment()) {
        let json = serde_json::to_string(&experiment).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Experiment>(&json).unwrap(), &experiment);
        let yaml = serde_saphyr::to_string(&experiment).unwrap();
        for text in [json, yaml] {
            let documents = manifest::read("f", &text, Default::default());
            prop_assert!(documents.is_ok(), "{text}: {}", documents.unwrap_err());
            prop_assert_eq!(&documents.unwrap()[0].experiment, &experiment, "{}", text);
        }
        prop_assert_eq!(experiment.check(), Vec::new());
    }
}
