use super::*;
use crate::experiment::{GilbertElliott, Percent, Rate};

fn percent(text: &str) -> Percent {
    text.parse().unwrap()
}

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

fn chance(percentage: &str, correlation: &str) -> Chance {
    Chance {
        percent: percent(percentage),
        correlation: percent(correlation),
    }
}

fn delayed(latency: Duration, jitter: Duration) -> Fault {
    Fault {
        delay: Some(Delay {
            latency,
            jitter,
            ..Delay::default()
        }),
        ..Fault::default()
    }
}

fn lossy(percentage: &str, correlation: &str) -> Fault {
    Fault {
        loss: Some(Loss::Random(chance(percentage, correlation))),
        ..Fault::default()
    }
}

fn bandwidth() -> Bandwidth {
    Bandwidth {
        rate: rate("8mbit"),
        limit: 100_000,
        buffer: 10_000,
        peakrate: Some(rate("16mbit")),
        minburst: Some(1600),
    }
}

fn narrow() -> Fault {
    Fault {
        bandwidth: Some(bandwidth()),
        ..Fault::default()
    }
}

fn netem_of(fault: &Fault) -> Netem {
    of(fault).unwrap().netem.unwrap()
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn times_are_nanoseconds_and_half_a_percent_is_half_a_percent() {
    let mut fault = delayed(50 * MS, MS);
    fault.delay.as_mut().unwrap().correlation = percent("0.5");
    let netem = netem_of(&fault);
    assert_eq!((netem.latency, netem.jitter), (50_000_000, 1_000_000));
    assert_eq!(netem.delay_correlation, 21_474_836);
}

#[test]
fn every_fault_of_netem_is_in_it() {
    let mut fault = delayed(50 * MS, MS);
    fault.delay.as_mut().unwrap().distribution = experiment::Distribution::ParetoNormal;
    fault.reorder = Some(Reorder {
        percent: percent("100"),
        correlation: percent("50"),
        gap: 5,
    });
    fault.duplicate = Some(chance("100", "0"));
    fault.corrupt = Some(chance("50", "0"));
    fault.rate = Some(rate("8mbit"));
    fault.seed = Some(7);
    fault.bandwidth = Some(bandwidth());
    let half = percent("50").as_probability_u32();
    let expected = Chain {
        netem: Some(Netem {
            latency: 50_000_000,
            jitter: 1_000_000,
            distribution: Some(Distribution::ParetoNormal),
            duplicate: u32::MAX,
            corrupt: half,
            reorder: u32::MAX,
            reorder_correlation: half,
            gap: 5,
            rate: 1_000_000,
            seed: Some(7),
            // 54 ms of 16,666 packets a second, 1000, and 100,000 bytes of tbf's.
            limit: 899 + 1000 + 1666,
            ..Netem::default()
        }),
        tbf: Some(Tbf {
            rate: 1_000_000,
            limit: 100_000,
            burst: 10_000,
            peakrate: 2_000_000,
            mtu: 1600,
        }),
    };
    assert_eq!(of(&fault), Some(expected));
}

#[test]
fn reorder_without_a_gap_is_for_every_packet() {
    let mut fault = delayed(50 * MS, Duration::ZERO);
    fault.reorder = Some(Reorder {
        percent: percent("25"),
        ..Reorder::default()
    });
    assert_eq!(netem_of(&fault).gap, 1);
    // netem takes a gap for 100 %.
    fault.reorder = Some(Reorder {
        gap: 5,
        ..Reorder::default()
    });
    assert_eq!(netem_of(&fault).gap, 0);
}

#[test]
fn the_order_is_kept_by_a_rate_that_costs_nothing() {
    let mut fault = delayed(50 * MS, MS);
    let limit = netem_of(&fault).limit;
    fault.delay.as_mut().unwrap().order = JitterOrder::Keep;
    let netem = netem_of(&fault);
    assert_eq!((netem.rate, netem.limit), (Netem::IN_ORDER, limit));
    // packet_time_ns() of the longest packet there is (GSO_MAX_SIZE is 512 KB).
    assert_eq!((1_u64 << 20) * 1_000_000_000 / netem.rate, 0);
    fault.rate = Some(rate("8mbit"));
    assert_eq!(netem_of(&fault).rate, 1_000_000);
}

#[test]
fn loss_and_partition_need_no_qdisc() {
    assert_eq!(of(&lossy("10", "25")), None);
    let mut fault = delayed(50 * MS, MS);
    fault.partition = true;
    fault.bandwidth = Some(bandwidth());
    assert_eq!(of(&fault), None);
    assert_eq!(of(&narrow()).unwrap().netem, None);
}

#[test]
fn a_partition_drops_everything_whatever_else_is_asked() {
    let mut fault = lossy("10", "25");
    fault.partition = true;
    fault.strict_compat = true;
    let loss = loss(&fault);
    assert_eq!((loss.worsen, loss.good), (0, u32::MAX));
}

#[test]
fn loss_without_correlation_stays_in_the_good_state() {
    let expected = abi::Loss {
        good: percent("10").as_probability_u32(),
        ..abi::Loss::default()
    };
    assert_eq!(loss(&lossy("10", "0")), expected);
    assert_eq!(loss(&delayed(MS, MS)), abi::Loss::default());
}

#[test]
fn correlated_loss_keeps_its_rate_and_has_its_correlation() {
    for asked in ["0", "0.1", "1", "10", "25", "50", "99.9"] {
        for correlation in ["1", "25", "75", "99", "100"] {
            let abi::Loss {
                worsen,
                recover,
                bad,
                good,
            } = loss(&lossy(asked, correlation));
            assert_eq!((bad, good), (u32::MAX, 0));
            let [worsen, recover] =
                [worsen, recover].map(|share| f64::from(share) / f64::from(u32::MAX));
            let rate = worsen / (worsen + recover) * 100.0;
            let text = format!("{asked} {correlation}: {worsen} {recover}");
            assert!((rate - percent(asked).get()).abs() < 1e-4, "{text}");
            let found = 1.0 - worsen - recover;
            let wanted = (percent(correlation).get() / 100.0).min(0.99);
            assert!((found - wanted).abs() < 1e-6, "{text}");
        }
    }
}

#[test]
fn all_of_the_packets_are_all_of_them_whatever_the_correlation() {
    for correlation in ["0", "25", "100"] {
        let loss = loss(&lossy("100", correlation));
        assert_eq!((loss.worsen, loss.good), (0, u32::MAX), "{correlation}");
    }
}

#[test]
fn gilbert_and_elliott_are_taken_as_they_are() {
    let fault = Fault {
        loss: Some(Loss::GilbertElliott(GilbertElliott {
            worsen: percent("1"),
            recover: percent("10"),
            bad: percent("70"),
            good: percent("0.1"),
        })),
        ..Fault::default()
    };
    let [worsen, recover, bad, good] =
        ["1", "10", "70", "0.1"].map(|text| percent(text).as_probability_u32());
    let expected = abi::Loss {
        worsen,
        recover,
        bad,
        good,
    };
    assert_eq!(loss(&fault), expected);
    assert_eq!(of(&fault), None);
}

#[test]
fn correlations_go_to_netem_only_where_chaos_mesh_is_to_be_met() {
    let mut fault = lossy("10", "25");
    fault.duplicate = Some(chance("10", "25"));
    fault.corrupt = Some(chance("10", "25"));
    let [ten, quarter] = ["10", "25"].map(|text| percent(text).as_probability_u32());
    let all = |netem: &Netem| {
        [
            (netem.loss, netem.loss_correlation),
            (netem.duplicate, netem.duplicate_correlation),
            (netem.corrupt, netem.corrupt_correlation),
        ]
    };
    assert_eq!(all(&netem_of(&fault)), [(0, 0), (ten, 0), (ten, 0)]);
    fault.strict_compat = true;
    assert_eq!(all(&netem_of(&fault)), [(ten, quarter); 3]);
    assert_eq!(loss(&fault), abi::Loss::default());
    fault.duplicate = None;
    fault.corrupt = None;
    assert_eq!(netem_of(&fault).loss, ten, "loss alone");
}

#[test]
fn what_counts_packets_counts_those_of_the_wire() {
    assert!(!counts_segments(&delayed(MS, MS)));
    // A tbf cuts what its bucket does not hold.
    for (buffer, cuts) in [(10_240, true), (65_553, true), (65_554, false)] {
        let mut fault = narrow();
        let bandwidth = fault.bandwidth.as_mut().unwrap();
        bandwidth.buffer = buffer;
        (bandwidth.peakrate, bandwidth.minburst) = (None, None);
        assert_eq!(counts_segments(&fault), cuts, "{buffer}");
    }
    let mut fault = lossy("10", "0");
    assert!(counts_segments(&fault));
    fault.strict_compat = true;
    assert!(!counts_segments(&fault));
    for name in ["duplicate", "corrupt"] {
        let mut fault = delayed(MS, MS);
        match name {
            "duplicate" => fault.duplicate = Some(chance("1", "0")),
            _ => fault.corrupt = Some(chance("1", "0")),
        }
        assert!(counts_segments(&fault), "{name}");
        fault.partition = true;
        assert!(!counts_segments(&fault), "{name} and partition");
    }
}

#[test]
fn a_tbf_under_a_netem_gets_what_it_need_not_cut() {
    let mut fault = delayed(MS, MS);
    fault.bandwidth = Some(bandwidth());
    assert!(counts_segments(&fault));
    fault.strict_compat = true;
    assert!(counts_segments(&fault));
}

#[test]
fn the_queue_holds_a_million_packets_a_second_and_a_burst() {
    let netem = netem_of(&delayed(100 * MS, 20 * MS));
    assert_eq!(netem.limit, 140_000);
    assert_eq!(netem_of(&delayed(MS, Duration::ZERO)).limit, 21_000);
}

#[test]
fn the_queue_is_for_the_tail_of_a_distribution_too() {
    let mut fault = delayed(100 * MS, 20 * MS);
    fault.delay.as_mut().unwrap().distribution = experiment::Distribution::Pareto;
    assert_eq!(netem_of(&fault).limit, 200_000);
    assert_eq!(longest_wait(&fault), 180 * MS);
}

#[test]
fn the_queue_keeps_to_its_budget_however_long_the_delay() {
    let hour = Duration::from_secs(3600);
    let mut fault = delayed(hour, Duration::from_secs(1));
    for speed in [None, Some("100gbit")] {
        fault.rate = speed.map(rate);
        let limit = u64::from(netem_of(&fault).limit);
        assert!(limit * TRUESIZE <= BUDGET, "{limit}");
        assert!((limit + 1) * TRUESIZE > BUDGET, "{limit}");
    }
}

#[test]
fn a_slow_link_has_the_queue_of_tc_and_what_is_under_way() {
    let slow = |delay| {
        let mut fault = delayed(delay, Duration::ZERO);
        fault.rate = Some(rate("480kbit"));
        netem_of(&fault).limit
    };
    assert_eq!(slow(Duration::ZERO), 1000);
    assert_eq!(slow(Duration::from_secs(2)), 3000, "of the shortest frames");
}

#[test]
fn the_longest_wait_is_the_delay_and_what_the_queues_hold() {
    assert_eq!(longest_wait(&lossy("10", "0")), Duration::ZERO);
    assert_eq!(longest_wait(&delayed(50 * MS, 5 * MS)), 55 * MS);
    // 100,000 bytes at 1,000,000 a second.
    assert_eq!(longest_wait(&narrow()), 100 * MS);
    let mut fault = Fault {
        rate: Some(rate("8mbit")),
        ..Fault::default()
    };
    assert_eq!(longest_wait(&fault), 1514 * MS);
    fault.bandwidth = Some(bandwidth());
    let more = 1666 * 1514 * MS / 1000;
    assert_eq!(longest_wait(&fault), 1614 * MS + more);
}

#[test]
fn a_chain_is_changed_in_place_unless_something_comes_or_goes() {
    let both = |fault: &Fault, other: &Fault| {
        let (old, new) = (of(fault).unwrap(), of(other).unwrap());
        (fits_in_place(&old, &new), fits_in_place(&new, &old))
    };
    let plain = delayed(50 * MS, 5 * MS);
    let mut richer = delayed(10 * MS, MS);
    richer.corrupt = Some(chance("10", "0"));
    richer.rate = Some(rate("100gbit"));
    assert_eq!(both(&plain, &richer), (true, true));
    let mut tbf = plain.clone();
    tbf.bandwidth = Some(bandwidth());
    assert_eq!(both(&plain, &tbf), (false, false));
    assert_eq!(both(&narrow(), &tbf), (false, false));
    assert_eq!(both(&narrow(), &narrow()), (true, true));
    let mut spread = plain.clone();
    spread.delay.as_mut().unwrap().distribution = experiment::Distribution::Normal;
    assert_eq!(both(&plain, &spread), (true, false), "never forgotten");
    let mut twice = plain.clone();
    twice.duplicate = Some(chance("1", "0"));
    assert_eq!(both(&plain, &twice), (false, false));
    twice.duplicate = Some(chance("0", "0"));
    assert_eq!(both(&plain, &twice), (true, true), "none are duplicated");
}

#[test]
fn a_bucket_below_the_longest_frame_is_refused_by_name() {
    let mut fault = narrow();
    fault.bandwidth.as_mut().unwrap().buffer = 1517;
    fault.bandwidth.as_mut().unwrap().minburst = Some(1500);
    let problems = check_mtu(&fault, 1500);
    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let rest = "is less than the longest frame of the device, which would always be dropped; \
                allowed: 1518 bytes or more (MTU 1500, 18 for the Ethernet header and a VLAN tag)";
    let expected = [
        format!("bandwidth.buffer: \"1517\" {rest}"),
        format!("bandwidth.minburst: \"1500\" {rest}"),
    ];
    assert_eq!(texts, expected);
    assert_eq!(check_mtu(&fault, 1482), []);
    fault.partition = true;
    assert_eq!(check_mtu(&fault, 1500), [], "nothing comes there");
}

#[test]
fn a_peak_rate_and_its_bucket_are_there_together() {
    for half in ["peakrate", "minburst"] {
        let mut fault = narrow();
        let bandwidth = fault.bandwidth.as_mut().unwrap();
        match half {
            "peakrate" => bandwidth.peakrate = None,
            _ => bandwidth.minburst = None,
        }
        assert_eq!(check_mtu(&fault, 1500), []);
        let tbf = of(&fault).unwrap().tbf.unwrap();
        assert_eq!((tbf.peakrate, tbf.mtu), (0, 0), "without {half}");
    }
}
