//! `change`: what is mentioned, what stays, and what goes.

use super::*;

/// `change a FLAGS` of a fault.
fn change(fault: &Fault, flags: &str) -> Result<Fault, String> {
    let line = format!("netchaos change a {flags}");
    let cli = Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|e| panic!("{e}"));
    let Command::Change(change) = cli.command else {
        panic!("{line}");
    };
    let mut fault = fault.clone();
    let changed = patch(&change.fault).and_then(|patch| patch.apply(&mut fault));
    changed.map_err(|problems| problems.to_string())?;
    Ok(fault)
}

#[test]
fn what_is_not_mentioned_stays() {
    let before = fault(
        "--delay 50ms --jitter 5ms --distribution pareto --reorder 5 --reorder-gap 3 --loss 5 \
         --loss-correlation 25 --rate 1mbit --seed 3",
    );
    for (flags, part, expected) in [
        (
            "--delay 80ms",
            "delay",
            serde_json::json!({"latency": "80ms", "jitter": "5ms", "distribution": "pareto"}),
        ),
        (
            "--jitter 0 --distribution uniform",
            "delay",
            serde_json::json!({"latency": "50ms"}),
        ),
        (
            "--loss 7",
            "loss",
            serde_json::json!({"percent": "7%", "correlation": "25%"}),
        ),
        (
            "--loss-correlation 0",
            "loss",
            serde_json::json!({"percent": "5%"}),
        ),
        (
            "--loss-gemodel 1,2",
            "loss",
            serde_json::json!({"worsen": "1%", "recover": "2%", "bad": "100%"}),
        ),
        (
            "--reorder-gap 0",
            "reorder",
            serde_json::json!({"percent": "5%"}),
        ),
        (
            "--duplicate 2",
            "duplicate",
            serde_json::json!({"percent": "2%"}),
        ),
        ("--seed 4", "seed", serde_json::json!(4)),
        ("--partition", "partition", serde_json::json!(true)),
    ] {
        let after = written(&change(&before, flags).unwrap());
        assert_eq!(after[part], expected, "{flags}");
        let mut rest = written(&before);
        rest[part] = expected;
        assert_eq!(after, rest, "{flags}");
    }
    // A chain has no correlation that could stay.
    let chain = change(&before, "--loss-gemodel 1,2").unwrap();
    let random = change(&chain, "--loss 5").unwrap();
    assert_eq!(
        written(&random)["loss"],
        serde_json::json!({"percent": "5%"})
    );
}

#[test]
fn none_takes_a_part_away() {
    let before = fault(
        "--delay 50ms --jitter 5ms --reorder 5 --loss 5 --duplicate 2 --corrupt 3 --rate 1mbit \
         --bandwidth 1mbit --bandwidth-peakrate 2mbit --bandwidth-minburst 1600 --partition --seed 3 \
         --strict-compat",
    );
    for (flags, gone) in [
        ("--reorder none", vec!["reorder"]),
        ("--delay none --reorder none", vec!["delay", "reorder"]),
        ("--loss none", vec!["loss"]),
        ("--loss-gemodel none", vec!["loss"]),
        ("--loss 0", vec!["loss"]),
        (
            "--duplicate none --corrupt none",
            vec!["duplicate", "corrupt"],
        ),
        ("--rate none", vec!["rate"]),
        ("--bandwidth none", vec!["bandwidth"]),
        ("--partition=none", vec!["partition"]),
        ("--seed none", vec!["seed"]),
        ("--strict-compat=none", vec!["strictCompat"]),
    ] {
        let mut expected = written(&before);
        for part in &gone {
            assert!(expected.as_object_mut().unwrap().remove(*part).is_some());
        }
        assert_eq!(
            written(&change(&before, flags).unwrap()),
            expected,
            "{flags}"
        );
    }
    let bandwidth = change(&before, "--bandwidth-peakrate none")
        .unwrap()
        .bandwidth
        .unwrap();
    assert_eq!((bandwidth.peakrate, bandwidth.minburst), (None, None));
    assert_eq!(
        starts(change(&before, "--delay none")),
        ["--reorder: has nothing to overtake, since nothing is delayed"]
    );
    let only = fault("--loss 5 --seed 3");
    assert_eq!(
        starts(change(&only, "--loss none")),
        ["FAULT: no fault is given"]
    );
    assert_eq!(starts(change(&only, "")), ["FAULT: no fault is given"]);
    assert_eq!(
        starts(change(&only, "--jitter 5ms")),
        ["--jitter: belongs to a part that the fault does not have"]
    );
}

#[test]
fn the_bucket_goes_with_the_rate_until_somebody_chose_it() {
    let bucket = |fault: &Fault| {
        let bandwidth = fault.bandwidth.clone().unwrap();
        (bandwidth.limit, bandwidth.buffer)
    };
    let slow = fault("--bandwidth 1mbit");
    assert_eq!(bucket(&slow), (16_490, 10_240));
    let fast = change(&slow, "--bandwidth 100mbit").unwrap();
    assert_eq!(bucket(&fast), (750_000, 125_000));
    let chosen = change(&slow, "--bandwidth-limit 20kb").unwrap();
    assert_eq!(
        bucket(&change(&chosen, "--bandwidth 100mbit").unwrap()),
        (20_480, 125_000)
    );
}
