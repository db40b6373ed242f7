use super::*;
use crate::experiment::{Bandwidth, Delay, Direction, Problem, Reorder};

fn experiment(fault: Fault, to: &[&str], rule: Rule) -> Experiment {
    Experiment {
        name: "a".to_owned(),
        namespace: None,
        device: None,
        direction: Direction::To,
        fault,
        targets: Targets::List(to.iter().map(|text| text.parse().unwrap()).collect()),
        except: Vec::new(),
        rule,
        duration: None,
        paused: false,
    }
}

fn partition() -> Fault {
    Fault {
        partition: true,
        ..Fault::default()
    }
}

fn starts(problems: &[Problem]) -> Vec<String> {
    let first = |problem: &Problem| problem.to_string().split(';').next().unwrap().to_owned();
    problems.iter().map(first).collect()
}

#[test]
fn flags_are_checked_by_the_same_rules() {
    let delay = Delay {
        jitter: std::time::Duration::from_secs(3),
        ..Delay::default()
    };
    let bad = Experiment {
        name: "Bad Name".to_owned(),
        device: Some("a/b".to_owned()),
        duration: Some(std::time::Duration::ZERO),
        ..experiment(
            Fault {
                delay: Some(delay),
                ..Fault::default()
            },
            &[],
            Rule::default(),
        )
    };
    assert_eq!(
        starts(&bad.check()),
        [
            r#"NAME: "Bad Name" is not a name"#,
            r#"--device: "a/b" is not the name of a device"#,
            r#"--for: "0s" would end at once"#,
            "--to: no target is given",
            r#"--delay: "0s" would delay nothing"#,
            r#"--jitter: "3s" is more than the kernel's netem can do"#,
        ]
    );
}

#[test]
fn a_fault_is_something() {
    assert_eq!(starts(&partition().check()), [""; 0]);
    assert_eq!(
        starts(&Fault::default().check()),
        ["FAULT: no fault is given"]
    );
    let only = Fault {
        reorder: Some(Reorder::default()),
        seed: Some(5),
        strict_compat: true,
        ..Fault::default()
    };
    assert_eq!(
        starts(&only.check()),
        ["--reorder: has nothing to overtake, since nothing is delayed"]
    );
}

#[test]
fn buckets_obey_the_kernel() {
    let rate = |text: &str| Some(text.parse().unwrap());
    let problems = |peakrate, minburst, limit, buffer| {
        let fault = Fault {
            bandwidth: Some(Bandwidth {
                rate: "10mbit".parse().unwrap(),
                limit,
                buffer,
                peakrate,
                minburst,
            }),
            ..Fault::default()
        };
        starts(&fault.check())
    };
    assert_eq!(problems(None, None, 1, 1), [""; 0]);
    assert_eq!(problems(rate("11mbit"), Some(1600), 1, 1), [""; 0]);
    assert_eq!(
        problems(rate("10mbit"), Some(1600), 1, 1),
        [r#"--bandwidth-peakrate: "10mbit" is not above the rate"#]
    );
    assert_eq!(
        problems(rate("1gbit"), None, 1, 1),
        ["--bandwidth-minburst: missing"]
    );
    assert_eq!(
        problems(None, Some(1600), 1, 1),
        ["--bandwidth-peakrate: missing"]
    );
    assert_eq!(
        problems(rate("1gbit"), Some(0), 0, 0),
        [
            r#"--bandwidth-limit: "0" holds nothing"#,
            r#"--bandwidth-buffer: "0" holds nothing"#,
            r#"--bandwidth-minburst: "0" holds nothing"#,
        ]
    );
}

#[test]
fn ports_go_with_protocols_that_have_some() {
    let problems = |to: &[&str], ports: &str, local_ports: &str, protocols: &[&str]| {
        let read = |text: &str| match text {
            "" => Ports::default(),
            text => text.parse().unwrap(),
        };
        let rule = Rule {
            protocols: protocols.iter().map(|text| text.parse().unwrap()).collect(),
            ports: read(ports),
            local_ports: read(local_ports),
            include: Vec::new(),
        };
        starts(&experiment(partition(), to, rule).check())
    };
    let (plain, with_port) = (["10.0.0.1"], ["10.0.0.1", "10.0.0.2:443"]);
    assert_eq!(
        problems(&with_port, "1-1000", "8000", &["tcp", "udp", "sctp"]),
        [""; 0]
    );
    assert_eq!(problems(&with_port, "443", "80", &[]), [""; 0]);
    assert_eq!(problems(&plain, "", "", &["icmp", "47"]), [""; 0]);
    let no_ports = "does not go with protocol icmp, in which there are no ports";
    assert_eq!(
        problems(&with_port, "443", "80", &["tcp", "icmp"]),
        [
            format!(r#"--port: "443" {no_ports}"#),
            format!(r#"--local-port: "80" {no_ports}"#),
            format!(r#"--to: "443" {no_ports}"#),
        ]
    );
    assert_eq!(
        problems(&with_port, "80,8000-9000", "", &[]),
        [r#"--to: "10.0.0.2:443" has no port that is in 80,8000-9000 too, as its packets had to"#]
    );
}
