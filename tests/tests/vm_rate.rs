//! Slow links: bytes over time, and what does not fit.

use std::time::Duration;

use netchaos_tests::{
    lab::{Lab, ms, peer},
    probe::{Flow, Flowed, Options},
    statistics::{Chain, assert_share},
};

/// Bytes of a datagram's frame: Ethernet, IPv4 or IPv6, UDP.
const V4: usize = 14 + 20 + 8;
const V6: usize = 14 + 40 + 8;
const PAYLOAD: usize = 1000;

fn burst(lab: &Lab, to: &str, count: u64) -> Flow {
    let options = Options {
        bytes: PAYLOAD,
        ..Options::new(count, None)
    };
    Flow::start(&lab.client, &lab.peer, peer(to), options)
}

/// How long a link of so many bits per second takes for what came after the first datagram, but
/// for what a bucket lets go at once.
fn time(flow: &Flowed, headers: usize, bits: f64, bucket: usize) -> Duration {
    let bytes = (flow.arrived() - 1) * (PAYLOAD + headers) - bucket;
    Duration::from_secs_f64(bytes as f64 * 8.0 / bits)
}

#[track_caller]
fn assert_takes(what: &str, flow: &Flowed, expected: Duration) {
    flow.assert_in_order(what);
    let took = *flow.arrivals().last().expect("something arrived");
    println!("{what}: {took:?} where {expected:?} is expected: {flow}");
    // The first one may itself have been late.
    assert!(
        took + ms(20) >= expected,
        "{what}: too fast: {took:?}, not {expected:?}"
    );
    let longest = expected + expected / 4 + ms(100);
    assert!(
        took < longest,
        "{what}: too slow: {took:?}, not {expected:?}"
    );
}

#[test]
fn rate_and_bandwidth_let_so_many_bytes_through_in_a_time_and_lose_nothing() {
    Lab::test(&[], |lab| {
        for line in [
            "add rate --rate 1mbit --to 10.77.0.3",
            "add bytes --rate 250kbps --to fd77::4",
            "add bucket --bandwidth 2mbit --bandwidth-limit 1000000 --bandwidth-buffer 50000 \
             --to 10.77.0.5",
            "add peak --bandwidth 1mbit --bandwidth-limit 1000000 --bandwidth-buffer 50000 \
             --bandwidth-peakrate 2mbit --bandwidth-minburst 1600 --to 10.77.0.6",
            "add slow --delay 400ms --rate 4mbit --to 10.77.0.7",
        ] {
            lab.netchaos(line).ok();
        }
        let flows = [
            ("rate", "10.77.0.3:6000", 200, V4, 1e6, 0),
            ("bytes", "[fd77::4]:6000", 300, V6, 2e6, 0),
            ("bucket", "10.77.0.5:6000", 300, V4, 2e6, 50_000),
            ("slow", "10.77.0.7:6000", 300, V4, 4e6, 0),
        ]
        .map(|(what, to, count, headers, bits, bucket)| {
            (what, burst(lab, to, count), headers, bits, bucket)
        });
        let peak = burst(lab, "10.77.0.6:6000", 100);
        let other = burst(lab, "10.77.0.2:6000", 300);
        for (what, flow, headers, bits, bucket) in flows {
            let flow = flow.finish(ms(1500));
            flow.assert_whole(what);
            assert_takes(what, &flow, time(&flow, headers, bits, bucket));
            if what == "slow" {
                assert!(flow.shortest() >= ms(400), "{what}: {flow}");
            }
        }
        // The first 50 kB and what is earned meanwhile at 2 Mbit/s, the rest at 1 Mbit/s.
        let peak = peak.finish(ms(1500));
        peak.assert_whole("peak");
        assert_takes("peak", &peak, time(&peak, V4, 1e6, 50_000));
        let in_half = peak.arrivals().partition_point(|time| *time < ms(200)) * (PAYLOAD + V4);
        assert!(
            in_half <= 50_000 + 2 * (PAYLOAD + V4),
            "2 Mbit/s: {in_half} bytes in 200 ms"
        );
        let other = other.finish(ms(1500));
        other.assert_whole("another's");
        assert!(
            *other.arrivals().last().unwrap() < ms(1000),
            "another's: {other}"
        );
    });
}

#[test]
fn what_a_queue_has_no_room_for_is_counted_apart_from_asked_loss() {
    Lab::test(&[], |lab| {
        lab.netchaos(
            "add narrow --loss 20% --bandwidth 1mbit --bandwidth-limit 50000 \
             --bandwidth-buffer 5000 --to 10.77.0.3",
        )
        .ok();
        let flow = burst(lab, "10.77.0.3:6000", 1000).finish(ms(2000));
        let counted = lab.counted("narrow");
        println!("{flow}: {counted:?}");
        assert_eq!(counted.to.packets, 1000);
        assert_share("loss", counted.to.dropped, 1000, &Chain::random(0.2));
        let arrived = flow.arrived() as u64;
        assert_eq!(
            counted.to.dropped + counted.queue_dropped + arrived,
            1000,
            "{counted:?}: {flow}"
        );
        // 50 kB and what leaves while the burst comes.
        assert!((40..400).contains(&arrived), "{flow}");
        assert_eq!(flow.copies().iter().max(), Some(&1));
        lab.netchaos("show narrow").ok().says(&["queue"]);

        // The queue before a slow link holds 1000 packets.
        lab.netchaos("add slow --rate 1mbit --to 10.77.0.4").ok();
        let to = peer("10.77.0.4:6000");
        let flow = Flow::start(&lab.client, &lab.peer, to, Options::new(4000, None));
        let flow = flow.finish(ms(2000));
        let counted = lab.counted("slow");
        println!("{flow}: {counted:?}");
        assert!(flow.arrived() >= 1000, "{flow}");
        assert!(counted.queue_dropped > 0, "{counted:?}");
        assert_eq!(
            counted.queue_dropped + flow.arrived() as u64,
            4000,
            "{flow}"
        );
        assert_eq!(counted.to.dropped, 0, "{counted:?}");
    });
}

#[test]
fn a_queue_is_long_enough_for_the_delay_and_the_rate_that_were_asked_for() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 500ms --rate 20mbit --to 10.77.0.3")
            .ok();
        let flow = burst(lab, "10.77.0.3:6000", 3000).finish(ms(3000));
        flow.assert_whole("3 MB at once");
        assert!(flow.shortest() >= ms(500), "{flow}");
        assert_takes("3 MB at once", &flow, time(&flow, V4, 20e6, 0));
        assert_eq!(lab.counted("slow").queue_dropped, 0);
    });
}
