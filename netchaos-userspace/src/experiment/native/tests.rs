use proptest::prelude::*;

use super::*;
use crate::experiment::{manifest, units::LONGEST_DELAY, units::LONGEST_JITTER};

fn read(fields: &str) -> Result<Experiment, String> {
    let text = format!("apiVersion: netchaos/v1\nkind: Experiment\n{fields}");
    match manifest::read("f", &text) {
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
    assert_eq!(experiment.fault.delay.correlation.get(), 25.0);
}

#[test]
fn every_field_is_read() {
    let experiment = read(
        "name: a\nnamespace: shop\ndevice: eth1\ndirection: to\n\
         fault: {delay: {latency: 1m30s, jitter: 5ms, correlation: 0.5%}}\n\
         to: [10.0.0.0/8, 'example.com:80']\nexcept: [10.0.0.1]\nduration: 10m\npaused: true\n\
         status: {state: live}",
    )
    .unwrap();
    assert_eq!(
        serde_json::to_string(&experiment).unwrap(),
        r#"{"apiVersion":"netchaos/v1","kind":"Experiment","name":"a","namespace":"shop","device":"eth1","direction":"to","fault":{"delay":{"latency":"1m30s","jitter":"5ms","correlation":"0.5%"}},"to":["10.0.0.0/8","example.com:80"],"except":["10.0.0.1"],"duration":"10m","paused":true}"#
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
         direction: from\nduration: 0s\npaused: maybe\ndevice: a/b\nnamespace: A",
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
            "f:6: fault.loss: unknown field",
            r#"f:7: to: "1.1.1.1" is a string"#,
            r#"f:8: except[0]: "a b" is neither an address nor a host name"#,
            r#"f:9: direction: "from" is not supported yet"#,
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

fn any_target() -> impl Strategy<Value = Target> {
    let address = prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(|a| a.to_string()),
        (any::<std::net::Ipv4Addr>(), 1..=32).prop_map(|(a, length)| format!("{a}/{length}")),
        "[a-z_][a-z0-9_]{0,8}(-[a-z0-9]{1,8})?(\\.[a-z]{1,5}){0,3}\\.?",
    ];
    let v6 = prop_oneof![
        any::<std::net::Ipv6Addr>().prop_map(|a| a.to_string()),
        (any::<std::net::Ipv6Addr>(), 1..=128).prop_map(|(a, length)| format!("{a}/{length}")),
    ];
    let port = prop_oneof![
        Just(String::new()),
        (1..=u16::MAX).prop_map(|p| format!(":{p}"))
    ];
    // All of IPv4 in IPv6 notation is all traffic, and rightly refused.
    let v6 = v6.prop_filter("a target", |v6| {
        !(v6.starts_with("::ffff:") && v6.ends_with("/96"))
    });
    let v6 = v6.prop_map(|v6| format!("[{v6}]"));
    (prop_oneof![address, v6], port)
        .prop_map(|(peer, port)| format!("{peer}{port}").parse().unwrap())
}

/// Of very different sizes, up to `most`.
fn any_duration(most: Duration) -> impl Strategy<Value = Duration> {
    (1..=most.as_nanos() as u64, 0..40_u32)
        .prop_map(|(nanoseconds, shift)| Duration::from_nanos((nanoseconds >> shift).max(1)))
}

fn any_experiment() -> impl Strategy<Value = Experiment> {
    let delay = (
        any_duration(LONGEST_DELAY),
        any_duration(LONGEST_JITTER),
        0.0..=100.0_f64,
    );
    let delay = delay.prop_map(|(latency, jitter, correlation)| Delay {
        latency,
        jitter,
        correlation: correlation.to_string().parse().unwrap(),
    });
    let targets = prop_oneof![
        Just(Targets::AllTraffic),
        prop::collection::vec(any_target(), 1..5).prop_map(Targets::List),
    ];
    let name = "[a-z0-9]{1,9}(-[a-z0-9]{1,9}){0,2}(\\.[a-z0-9]{1,9})?";
    let rest = (
        prop::option::of("[a-z0-9]{1,9}"),
        prop::option::of("[a-z0-9.@#&*!-]{3,15}"),
        prop::collection::vec(any_target(), 0..3),
        prop::option::of(any_duration(Duration::from_nanos(i64::MAX as u64))),
        any::<bool>(),
    );
    (name, delay, targets, rest).prop_map(|(name, delay, targets, rest)| {
        let (namespace, device, except, duration, paused) = rest;
        Experiment {
            name,
            namespace,
            device,
            direction: Direction::To,
            fault: Fault { delay },
            targets,
            except,
            duration,
            paused,
        }
    })
}

proptest! {
    #[test]
    fn targets_and_durations_read_what_they_print(
        target in any_target(),
        duration in any_duration(Duration::from_nanos(i64::MAX as u64)),
    ) {
        prop_assert_eq!(target.to_string().parse::<Target>().unwrap(), target);
        let text = units::format_duration(duration);
        prop_assert_eq!(units::parse_duration(&text).unwrap(), duration);
    }

    /// The serde form, printed as JSON and as YAML, is what `apply -f` reads.
    #[test]
    fn every_experiment_comes_back_from_its_written_form(experiment in any_experiment()) {
        let json = serde_json::to_string(&experiment).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Experiment>(&json).unwrap(), &experiment);
        let yaml = serde_saphyr::to_string(&experiment).unwrap();
        for text in [json, yaml] {
            let documents = manifest::read("f", &text);
            prop_assert!(documents.is_ok(), "{text}: {}", documents.unwrap_err());
            prop_assert_eq!(&documents.unwrap()[0].experiment, &experiment, "{}", text);
        }
        prop_assert_eq!(experiment.check(), Vec::new());
    }
}
