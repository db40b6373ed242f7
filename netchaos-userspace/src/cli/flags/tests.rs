use clap::Parser as _;

use super::*;
use crate::cli::args::{Cli, Command};

mod change;

/// `add a FLAGS`, aimed at somebody unless the flags say it.
fn add(flags: &str) -> Result<Experiment, String> {
    let aim = match flags.contains("--to") || flags.contains("--all-traffic") {
        true => "",
        false => "--to 10.0.0.1",
    };
    let line = format!("netchaos add a {flags} {aim}");
    let cli = Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|e| panic!("{e}"));
    let Command::Add(add) = cli.command else {
        panic!("{line}");
    };
    experiment(&add.name, &add.what, add.device.device.as_deref())
        .map_err(|problems| problems.to_string())
}

fn fault(flags: &str) -> Fault {
    add(flags).unwrap_or_else(|e| panic!("{flags}: {e}")).fault
}

fn written(fault: &Fault) -> serde_json::Value {
    serde_json::to_value(fault).unwrap()
}

/// The first words of each problem.
fn starts(result: Result<impl std::fmt::Debug, String>) -> Vec<String> {
    let problems = result.unwrap_err();
    let start = |line: &str| line.split(';').next().unwrap_or_default().to_owned();
    problems.lines().map(start).collect()
}

#[test]
fn every_flag_of_a_fault_is_read() {
    let all = fault(
        "--delay 50ms --jitter 5ms --correlation 25 --distribution normal --jitter-order keep \
         --reorder 10% --reorder-correlation 50 --reorder-gap 5 --loss 5 --loss-correlation 25% \
         --duplicate 1 --duplicate-correlation 2 --corrupt 3 --corrupt-correlation 4 \
         --rate 10mbit --bandwidth 1mbps --bandwidth-limit 64kb --bandwidth-buffer 16000 \
         --bandwidth-peakrate 20mbit --bandwidth-minburst 1600 --partition --seed 7 --strict-compat",
    );
    assert_eq!(
        written(&all),
        serde_json::json!({
            "delay": {
                "latency": "50ms",
                "jitter": "5ms",
                "correlation": "25%",
                "distribution": "normal",
                "order": "keep",
            },
            "reorder": {"percent": "10%", "correlation": "50%", "gap": 5},
            "loss": {"percent": "5%", "correlation": "25%"},
            "duplicate": {"percent": "1%", "correlation": "2%"},
            "corrupt": {"percent": "3%", "correlation": "4%"},
            "rate": "10mbit",
            "bandwidth": {
                "rate": "8mbit",
                "limit": 65536,
                "buffer": 16000,
                "peakrate": "20mbit",
                "minburst": 1600,
            },
            "partition": true,
            "seed": 7,
            "strictCompat": true,
        })
    );
}

#[test]
fn a_chain_has_two_to_four_percentages() {
    let loss = |flags: &str| written(&fault(flags))["loss"].clone();
    assert_eq!(
        loss("--loss-gemodel 1%,10%"),
        serde_json::json!({"worsen": "1%", "recover": "10%", "bad": "100%"})
    );
    assert_eq!(
        loss("--loss-gemodel 1,10,50,0.5"),
        serde_json::json!({"worsen": "1%", "recover": "10%", "bad": "50%", "good": "0.5%"})
    );
    for text in ["1", "1,2,3,4,5"] {
        let problems = starts(add(&format!("--loss-gemodel {text}")));
        assert_eq!(
            problems,
            [format!(
                "--loss-gemodel: {text:?} has not two to four parts"
            )]
        );
    }
    for text in ["1,x", "1,,2", "1,200"] {
        let problems = starts(add(&format!("--loss-gemodel {text}")));
        assert_eq!(
            problems,
            [format!(
                "--loss-gemodel: {text:?} has a part that is not a percentage"
            )]
        );
    }
}

#[test]
fn flags_say_which_packets() {
    let experiment = add(
        "--delay 1s --to 10.0.0.0/8 [2001:db8::1]:80,443 --except 10.0.0.1 a.example:53 \
         --direction both --protocol tcp,17 --protocol sctp --port 443,8000-8100 --port 80 \
         --local-port 1-1023 --include nd,arp",
    )
    .unwrap();
    let written = serde_json::to_value(&experiment).unwrap();
    for (field, expected) in [
        (
            "to",
            serde_json::json!(["10.0.0.0/8", "[2001:db8::1]:80,443"]),
        ),
        ("except", serde_json::json!(["10.0.0.1", "a.example:53"])),
        ("direction", serde_json::json!("both")),
        ("protocols", serde_json::json!(["tcp", "udp", "sctp"])),
        ("ports", serde_json::json!("80,443,8000-8100")),
        ("localPorts", serde_json::json!("1-1023")),
        ("include", serde_json::json!(["arp", "nd"])),
    ] {
        assert_eq!(written[field], expected, "{field}");
    }
    let all = add("--loss 1 --all-traffic --protocol any --for 10m").unwrap();
    assert_eq!(all.targets, Targets::AllTraffic);
    assert_eq!(all.rule, Rule::default());
    assert_eq!(all.direction, Direction::To);
    assert_eq!(all.duration.unwrap().as_secs(), 600);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    assert_eq!(
        starts(add(
            "--delay 5x --loss 150 --rate fast --bandwidth 1mbit --bandwidth-buffer 0 --seed x \
             --distribution bell --jitter-order kept --partition=yes --to 300.1.1.1 b --except :80 \
             --direction up --protocol tpc --port 0 --local-port 9-1 --include dns --for 0s"
        )),
        [
            r#"--delay: "5x" is not a duration"#,
            r#"--distribution: "bell" is not a distribution"#,
            r#"--jitter-order: "kept" is not an order"#,
            r#"--loss: "150" is out of range"#,
            r#"--rate: "fast" has no unit of a rate"#,
            r#"--bandwidth-buffer: "0" holds nothing"#,
            r#"--partition: "yes" is no value of this flag"#,
            r#"--seed: "x" is not a whole number"#,
            r#"--to: "300.1.1.1" is not an address"#,
            r#"--direction: "up" is not a direction"#,
            r#"--except: ":80" is empty"#,
            r#"--protocol: "tpc" is not a protocol"#,
            r#"--port: "0" has port 0"#,
            r#"--local-port: "9-1" has a range that ends before it starts"#,
            r#"--include: "dns" is nothing that is spared"#,
            r#"--for: "0s" would end at once"#,
        ]
    );
}

#[test]
fn what_does_not_go_together_is_told() {
    for (flags, expected) in [
        ("--for 10m", "FAULT: no fault is given"),
        ("--loss 0", "FAULT: no fault is given"),
        ("--seed 5", "FAULT: no fault is given"),
        ("--loss none", "FAULT: no fault is given"),
        (
            "--loss 5 --jitter 1ms",
            "--jitter: belongs to a part that the fault does not have",
        ),
        (
            "--delay 1s --loss-correlation 5",
            "--loss-correlation: belongs to a part that the fault does not have",
        ),
        (
            "--rate 1mbit --bandwidth-limit 5",
            "--bandwidth-limit: belongs to a part that the fault does not have",
        ),
        (
            "--loss 5 --loss-gemodel 1,2",
            "--loss-gemodel: and --loss exclude each other",
        ),
        (
            "--loss-gemodel 1,2 --loss-correlation 5",
            "--loss-correlation: says nothing beside --loss-gemodel, whose chances make the bursts",
        ),
        (
            "--rate 1mbit --reorder 5",
            "--reorder: has nothing to overtake, since nothing is delayed",
        ),
        (
            "--bandwidth 1mbit --bandwidth-peakrate 1mbit --bandwidth-minburst 2000",
            "--bandwidth-peakrate: \"1mbit\" is not above the rate",
        ),
        (
            "--bandwidth 1mbit --bandwidth-peakrate 2mbit",
            "--bandwidth-minburst: missing",
        ),
        (
            "--partition --port 80 --protocol icmp",
            "--port: \"80\" does not go with protocol icmp, in which there are no ports",
        ),
        (
            "--partition --to a:80 --port 81",
            "--to: \"a:80\" has no port that is in 81 too, as its packets had to",
        ),
    ] {
        assert_eq!(starts(add(flags)), [expected], "{flags}");
    }
}

#[test]
fn targets_come_from_files() {
    let path = std::env::temp_dir().join(format!("netchaos-targets-{}", std::process::id()));
    let path = path.to_str().unwrap();
    std::fs::write(
        path,
        "# ours\n10.0.0.1\n\n  a.example:80,443 # theirs\r\n::1\n",
    )
    .unwrap();
    let experiment = add(&format!("--loss 1 --to 10.0.0.9 @{path} --except @{path}")).unwrap();
    let shown: Vec<String> = experiment.except.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.1", "a.example:80,443", "::1"]);
    let Targets::List(to) = experiment.targets else {
        panic!("a list");
    };
    assert_eq!((to.len(), to[0].to_string().as_str()), (4, "10.0.0.9"));
    assert_eq!(targets(&[format!("@{path}")]).unwrap(), experiment.except);

    std::fs::write(path, "10.0.0.1\n10.0.0.2:0\n\n300.1.1.1\n").unwrap();
    let problems = starts(targets(&[format!("@{path}")]).map_err(|e| e.to_string()));
    assert_eq!(
        problems,
        [
            format!("{path}:2: TARGET: \"10.0.0.2:0\" has port 0"),
            format!("{path}:4: TARGET: \"300.1.1.1\" is not an address"),
        ]
    );
    std::fs::remove_file(path).unwrap();
    let gone = starts(add(&format!("--loss 1 --to @{path}")));
    assert!(
        gone[0].starts_with(&format!("--to: {path} cannot be read: ")),
        "{gone:?}"
    );
    assert_eq!(gone.len(), 1, "{gone:?}");
}

/// A hundred thousand in one call.
#[test]
fn many_targets_come_from_a_file() {
    let path = std::env::temp_dir().join(format!("netchaos-many-{}", std::process::id()));
    let line = |n: u32| format!("{}\n", std::net::Ipv4Addr::from(0x0a00_0000 + n));
    std::fs::write(&path, (0..100_000).map(line).collect::<String>()).unwrap();
    let read = targets(&[format!("@{}", path.display())]);
    std::fs::remove_file(path).unwrap();
    assert_eq!(read.unwrap().len(), 100_000);
}
