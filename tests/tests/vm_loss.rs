//! Loss: the rate that was asked for, in the bursts that were asked for, of the packets that are on
//! the wire.

use std::thread;

use netchaos_tests::{
    lab::{DEVICE, Lab, ms, peer},
    probe::{Flow, Flowed, Options, device, tcp_push},
    statistics::{Chain, assert_bursts, assert_share},
};

#[test]
fn loss_keeps_its_rate_and_its_bursts() {
    Lab::test(&[], |lab| {
        for line in [
            "add random --loss 5% --to 10.77.0.3",
            // netem's own correlation makes 1.8 % of this (measured).
            "add correlated --loss 10% --loss-correlation 25% --to fd77::4",
            "add elliott --loss-gemodel 5%,20%,80%,2% --to 10.77.0.5",
            "add gilbert --loss-gemodel 2%,25% --to 10.77.0.6",
            "add compat --loss 10% --loss-correlation 25% --strict-compat --to 10.77.0.7",
        ] {
            lab.netchaos(line).ok();
        }
        let elliott = Chain {
            worsen: 0.05,
            recover: 0.2,
            bad: 0.8,
            good: 0.02,
        };
        let gilbert = Chain {
            worsen: 0.02,
            recover: 0.25,
            bad: 1.0,
            good: 0.0,
        };
        let chains = [
            ("random", "10.77.0.3:6000", Chain::random(0.05)),
            ("correlated", "[fd77::4]:6000", Chain::correlated(0.1, 0.25)),
            ("elliott", "10.77.0.5:6000", elliott),
            ("gilbert", "10.77.0.6:6000", gilbert),
        ];
        let start = |to: &str| {
            let options = Options::new(6000, Some(1500));
            Flow::start(&lab.client, &lab.peer, peer(to), options)
        };
        let flows = chains.map(|(name, to, chain)| (name, chain, start(to)));
        // For all of them at once: what is lost does not come.
        let (compat, other) = (start("10.77.0.7:6000"), start("10.77.0.2:6000"));
        thread::sleep(ms(4500));
        for (name, chain, flow) in flows {
            let flow = flow.finish(ms(300));
            let (lost, sent) = (flow.lost(), flow.sent() as u64);
            assert_share(name, lost.len() as u64, sent, &chain);
            assert_eq!(flow.arrived() + lost.len(), flow.sent(), "{name}");
            flow.assert_in_order(name);
            if chain.good == 0.0 && name != "random" {
                assert_bursts(name, &lost, sent, &chain);
            }
            let counted = lab.counted(name);
            assert_eq!(counted.to.packets, sent, "{name}");
            assert_eq!(counted.to.dropped, lost.len() as u64, "{name}");
            assert_eq!(counted.queue_dropped, 0, "{name}");
        }
        let compat = compat.finish(ms(300)).lost().len();
        assert!(
            compat < 300,
            "netem's correlation makes 1.8 % of 10 %, but {compat} of 6000 were lost"
        );
        let other = other.finish(ms(300));
        other.assert_whole("another's");
        other.assert_in_order("another's");
    });
}

const MEGABYTES: usize = 20;

/// With the time stamps of TCP (RFC 7323), over Ethernet.
const SEGMENT: usize = 1448;

#[test]
fn loss_counts_the_segments_that_are_on_the_wire_and_leaves_the_device_as_it_is() {
    Lab::test(&[], |lab| {
        let link = || lab.client.ip("-d link show eth0");
        let before = link();
        assert!(before.contains("gso_max_segs"), "{before}");
        lab.netchaos("add lossy --loss 1% --to 10.77.0.3").ok();
        assert_eq!(link(), before);
        let bytes = MEGABYTES << 20;
        let took = tcp_push(&lab.client, &lab.peer, peer("10.77.0.3:6000"), bytes);
        let counted = lab.counted("lossy").to;
        println!("{MEGABYTES} MB in {took:?}: {counted:?}");
        let least = (bytes / SEGMENT) as u64;
        let most = least + least / 6;
        assert!(
            (least..=most).contains(&counted.segments),
            "{least} segments and some again, but {counted:?}"
        );
        assert!(
            counted.packets < counted.segments / 2,
            "the stack made no large packets: {counted:?}"
        );
        // How many are sent again depends on which are lost, so their number is no number fixed
        // beforehand. What is: of the first `least` at least so many, of the first `most` at most.
        let chain = Chain::random(0.01);
        let (low, high) = (*chain.accepted(least).start(), *chain.accepted(most).end());
        assert!(
            (low..=high).contains(&counted.dropped),
            "{low} to {high} expected: {counted:?}"
        );
        assert_eq!(link(), before);
    });
}

#[test]
fn what_needs_no_segments_keeps_large_packets_whole() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 5ms --to 10.77.0.3").ok();
        let received = || device(&lab.peer, DEVICE).received;
        let before = received();
        let bytes = 4 << 20;
        tcp_push(&lab.client, &lab.peer, peer("10.77.0.3:6000"), bytes);
        let counted = lab.counted("slow").to;
        assert!(counted.segments >= (bytes / SEGMENT) as u64, "{counted:?}");
        assert!(counted.packets < counted.segments / 2, "{counted:?}");
        let received = received() - before;
        assert!(
            received < counted.segments / 2,
            "{received} packets at the peer: {counted:?}"
        );
        assert_eq!(counted.dropped, 0);
    });
}

#[test]
fn all_is_lost_by_a_loss_of_all_and_nothing_by_what_was_taken_away() {
    Lab::test(&[], |lab| {
        let flow = |to: &str| -> Flowed {
            let options = Options::new(200, Some(500));
            let flow = Flow::start(&lab.client, &lab.peer, peer(to), options);
            flow.finish(ms(500))
        };
        lab.netchaos("add lossy --loss 100% --to 10.77.0.3").ok();
        assert_eq!(flow("10.77.0.3:6000").arrived(), 0);
        lab.netchaos("remove lossy").ok();
        flow("10.77.0.3:6001").assert_whole("afterwards");
    });
}
