use super::*;

fn percent(text: &str) -> Percent {
    text.parse().unwrap()
}

fn chance(share: &str, correlation: &str) -> Chance {
    Chance {
        percent: percent(share),
        correlation: percent(correlation),
    }
}

fn chain(numbers: [&str; 4]) -> Loss {
    let [worsen, recover, bad, good] = numbers.map(percent);
    Loss::GilbertElliott(GilbertElliott {
        worsen,
        recover,
        bad,
        good,
    })
}

fn delay(latency: u64, jitter: u64, correlation: &str) -> Delay {
    Delay {
        latency: Duration::from_millis(latency),
        jitter: Duration::from_millis(jitter),
        correlation: percent(correlation),
        ..Delay::default()
    }
}

fn notes_of_delay(delay: Delay) -> String {
    let fault = Fault {
        delay: Some(delay),
        ..Fault::default()
    };
    fault.notes().join("\n")
}

#[test]
fn words_are_those_of_the_written_form() {
    for word in ["uniform", "normal", "pareto", "paretonormal"] {
        let distribution: Distribution = word.parse().unwrap();
        assert_eq!(distribution.to_string(), word);
        assert_eq!(
            serde_json::to_string(&distribution).unwrap(),
            format!("{word:?}")
        );
    }
    for word in ["keep", "reorder"] {
        let order: JitterOrder = word.parse().unwrap();
        assert_eq!(serde_json::to_string(&order).unwrap(), format!("{word:?}"));
    }
    assert_eq!(
        "gauss".parse::<Distribution>().unwrap_err().to_string(),
        r#""gauss" is not a distribution; allowed: uniform, normal, pareto or paretonormal"#
    );
    assert!("".parse::<JitterOrder>().is_err());
}

/// The queue is the bucket and 50 ms of the rate, the bucket 10 ms of it, but room for a frame.
#[test]
fn a_bucket_goes_with_its_rate() {
    for (rate, limit, buffer) in [
        ("8bit", 10_240, 10_240),
        ("64kbit", 10_240 + 400, 10_240),
        ("1mbit", 10_240 + 6_250, 10_240),
        ("100mbit", 750_000, 125_000),
        ("10gbit", 75_000_000, 12_500_000),
        ("100tbit", u32::MAX, u32::MAX),
    ] {
        let bandwidth = Bandwidth::of(rate.parse().unwrap());
        assert_eq!(
            (bandwidth.limit, bandwidth.buffer),
            (limit, buffer),
            "{rate}"
        );
    }
}

#[test]
fn what_nobody_chose_goes_with_a_new_rate() {
    let (slow, fast): (Rate, Rate) = ("1mbit".parse().unwrap(), "100mbit".parse().unwrap());
    assert_eq!(Bandwidth::of(slow).at(fast), Bandwidth::of(fast));
    let chosen = Bandwidth {
        peakrate: Some(fast),
        minburst: Some(2000),
        ..Bandwidth::of(slow).with(Some(5), None)
    };
    let after = chosen.clone().at(fast);
    assert_eq!((after.limit, after.buffer), (5, 125_000));
    assert_eq!(
        (after.peakrate, after.minburst),
        (chosen.peakrate, chosen.minburst)
    );
}

#[test]
fn parts_of_no_percent_are_none() {
    let idle = Fault {
        reorder: Some(Reorder {
            gap: 5,
            ..Reorder::default()
        }),
        loss: Some(Loss::Random(chance("0", "25"))),
        duplicate: Some(chance("0", "0")),
        corrupt: Some(chance("0", "100")),
        seed: Some(1),
        ..Fault::default()
    };
    let rest = idle.without_idle();
    assert!(rest.is_empty());
    assert_eq!(rest.seed, Some(1));
    for (loss, is_idle) in [
        (chain(["0", "50", "100", "0"]), true),
        (chain(["1", "50", "0", "0"]), true),
        (chain(["0", "0", "0", "1"]), false),
        (chain(["1", "0", "1", "0"]), false),
        (Loss::Random(chance("0.0001", "0")), false),
    ] {
        let fault = Fault {
            loss: Some(loss.clone()),
            ..Fault::default()
        };
        assert_eq!(fault.without_idle().is_empty(), is_idle, "{loss:?}");
    }
}

#[test]
fn jitter_that_means_something_else_is_noted() {
    assert_eq!(notes_of_delay(delay(10, 10, "0")), "");
    assert!(notes_of_delay(delay(1, 2, "0")).starts_with("jitter 2ms is more than latency 1ms"));
    assert_eq!(
        notes_of_delay(delay(10, 0, "100")),
        "correlation 100% has no effect without jitter"
    );
    let odd = Delay {
        distribution: Distribution::Pareto,
        order: JitterOrder::Keep,
        ..delay(10, 0, "0")
    };
    assert_eq!(
        notes_of_delay(odd),
        "distribution pareto has no effect without jitter\n\
         the order keep has no effect without jitter, which alone breaks it"
    );
}

/// Where netem's correlation shows: the same arithmetic as in sch_netem.c, with random numbers.
#[test]
fn the_note_on_correlated_delays_is_true() {
    /// How the delays follow each other (correlation of neighbours), and their spread as a share
    /// of what independent ones have.
    fn netem(jitter: Duration, correlation: f64) -> (f64, f64) {
        const PACKETS: usize = 100_000;
        let sigma = jitter.as_nanos() as u64;
        let rho = (correlation * f64::from(u32::MAX)) as u64 + 1;
        let (mut random, mut last) = (88_172_645_463_325_252_u64, 0_u64);
        let mut delays = Vec::with_capacity(PACKETS);
        for _ in 0..PACKETS {
            // xorshift64*.
            random ^= random >> 12;
            random ^= random << 25;
            random ^= random >> 27;
            let value = random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
            last = (value * ((1 << 32) - rho) + last * rho) >> 32;
            delays.push((last % (2 * sigma)) as f64 - sigma as f64);
        }
        let mean = delays.iter().sum::<f64>() / PACKETS as f64;
        let product = |shift| {
            let pairs = delays.iter().zip(&delays[shift..]);
            pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / PACKETS as f64
        };
        let variance = product(0);
        let independent = (sigma as f64).powi(2) / 3.0;
        (product(1) / variance, (variance / independent).sqrt())
    }
    for (jitter, correlation, shows) in [
        (1, "25", false),
        (1, "99", false),
        (100, "50", false),
        (100, "99", true),
        (2000, "25", true),
        (2000, "50", true),
        (2000, "90", true),
    ] {
        let note = notes_of_delay(delay(5000, jitter, correlation));
        let expected = match shows {
            true => "makes the delays follow each other",
            false => "has hardly any effect",
        };
        assert!(note.contains(expected), "{jitter} {correlation}: {note}");
        let share = percent(correlation).get() / 100.0;
        let (follows, spread) = netem(Duration::from_millis(jitter), share);
        let is_seen = follows.abs() > 0.1 || (spread - 1.0).abs() > 0.05;
        assert_eq!(is_seen, shows, "{jitter} {correlation}: {follows} {spread}");
    }
    // The rest of a division by the length of a table is as good as independent.
    let table = Delay {
        distribution: Distribution::Normal,
        ..delay(5000, 2000, "90")
    };
    assert!(notes_of_delay(table).contains("has hardly any effect"));
}

#[test]
fn what_becomes_of_correlation_is_noted() {
    let fault = |strict_compat| Fault {
        delay: Some(delay(10, 0, "0")),
        reorder: Some(Reorder {
            percent: percent("10"),
            correlation: percent("20"),
            gap: 0,
        }),
        loss: Some(Loss::Random(chance("10", "25"))),
        duplicate: Some(chance("10", "30")),
        corrupt: Some(chance("10", "0")),
        strict_compat,
        ..Fault::default()
    };
    let notes = fault(false).notes();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].starts_with("correlation 20% of reorder goes to netem"),
        "{notes:?}"
    );
    assert!(
        notes[1].starts_with("correlation 30% of duplicate is not passed on"),
        "{notes:?}"
    );
    let notes = fault(true).notes();
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert!(
        notes[0].starts_with("correlation 25% of loss goes to netem"),
        "{notes:?}"
    );
    assert!(
        notes[2].starts_with("correlation 30% of duplicate goes to netem"),
        "{notes:?}"
    );
}

#[test]
fn loss_that_cannot_be_what_was_asked_for_is_noted() {
    let notes = |loss| {
        let fault = Fault {
            loss: Some(loss),
            ..Fault::default()
        };
        fault.notes().join("\n")
    };
    assert!(
        notes(Loss::Random(chance("10", "100")))
            .starts_with("correlation 100% of loss is taken for 99%")
    );
    assert!(
        notes(Loss::Random(chance("10", "99.9")))
            .starts_with("correlation 99.9% of loss is taken for 99%")
    );
    for quiet in [
        Loss::Random(chance("100", "100")),
        Loss::Random(chance("10", "99")),
        chain(["1", "10", "100", "0"]),
        chain(["0", "0", "100", "5"]),
    ] {
        assert_eq!(notes(quiet.clone()), "", "{quiet:?}");
    }
    assert!(notes(chain(["1", "0", "50", "0"])).starts_with("loss never leaves the bad state"));
}

#[test]
fn partition_makes_the_rest_needless() {
    let mut fault = Fault {
        partition: true,
        seed: Some(1),
        ..Fault::default()
    };
    assert_eq!(fault.notes(), [""; 0]);
    fault.loss = Some(Loss::Random(chance("10", "100")));
    assert_eq!(
        fault.notes(),
        ["partition lets nothing through, so the other parts of the fault do nothing"]
    );
}
