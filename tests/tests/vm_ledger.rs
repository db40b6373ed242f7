//! The ledger: each packet that was sent is somewhere, by what the kernel has counted and by what the test has sent
//! and received itself.

use std::thread;

use netchaos_tests::{
    lab::{Lab, ms, peer},
    ledger::Ledger,
    probe::{Flow, Flowed, Options, tcp_push},
};

const COUNT: u64 = 600;

fn flow(lab: &Lab, count: u64, rate: u32) -> Flowed {
    let options = Options {
        bytes: 400,
        ..Options::new(count, Some(rate))
    };
    Flow::start(&lab.client, &lab.peer, peer("10.77.0.3:6000"), options).finish(ms(1200))
}

/// Datagrams that the receiver got, each copy counting.
fn arrivals(flow: &Flowed) -> u64 {
    flow.copies().into_iter().sum::<usize>() as u64
}

/// What the fault does with a flow, by the flow and by the ledger.
fn run(lab: &Lab, fault: &str) -> (Flowed, Ledger) {
    lab.netchaos(&format!("add e {fault} --protocol udp --to 10.77.0.3"))
        .ok();
    let flow = flow(lab, COUNT, 2000);
    let ledger = Ledger::of(lab, "e", "to");
    println!("{fault}: {ledger:?}");
    assert_eq!(ledger.sent, COUNT, "{fault}");
    assert_eq!(ledger.in_flight, 0, "{fault}");
    assert_eq!(ledger.missing, 0, "{fault}");
    assert_eq!(ledger.delivered, arrivals(&flow), "{fault}: {flow}");
    lab.netchaos("remove e").ok();
    (flow, ledger)
}

#[test]
fn sent_is_delivered_dropped_queued_less_duplicated_for_each_fault() {
    Lab::test(&[], |lab| {
        for (fault, duplicates, loses, overflows) in [
            ("--delay 20ms", false, false, false),
            ("--delay 20ms --jitter 5ms --loss 10%", false, true, false),
            ("--partition", false, true, false),
            ("--duplicate 30%", true, false, false),
            ("--delay 10ms --duplicate 30% --loss 20%", true, true, false),
            ("--corrupt 100%", false, false, false),
            ("--delay 10ms --reorder 50%", false, false, false),
            (
                "--bandwidth 1mbit --bandwidth-limit 20kb --bandwidth-buffer 4kb",
                false,
                false,
                true,
            ),
            (
                "--rate 100mbit --bandwidth 1mbit --bandwidth-limit 20kb",
                false,
                false,
                true,
            ),
            (
                "--delay 20ms --loss 10% --strict-compat",
                false,
                false,
                true,
            ),
        ] {
            // What arrives corrupt is not taken by the socket; it was delivered all the same.
            if fault.contains("corrupt") {
                lab.netchaos(&format!("add e {fault} --protocol udp --to 10.77.0.3"))
                    .ok();
                flow(lab, COUNT, 2000);
                let ledger = Ledger::of(lab, "e", "to");
                assert_eq!(
                    (ledger.sent, ledger.delivered),
                    (COUNT, COUNT),
                    "{ledger:?}"
                );
                lab.netchaos("remove e").ok();
                continue;
            }
            let (_, ledger) = run(lab, fault);
            assert_eq!(ledger.duplicated > 0, duplicates, "{fault}: {ledger:?}");
            assert_eq!(ledger.dropped_by_fault > 0, loses, "{fault}: {ledger:?}");
            assert_eq!(
                ledger.dropped_by_queue > 0,
                overflows,
                "{fault}: {ledger:?}"
            );
        }
    });
}

#[test]
fn it_comes_out_in_flight_across_changes_and_moves_and_with_two_directions() {
    Lab::test(&[], |lab| {
        lab.netchaos("add e --delay 8s --direction both --protocol udp --to 10.77.0.3")
            .ok();
        let options = Options::new(500, None);
        let waiting = Flow::start(&lab.client, &lab.peer, peer("10.77.0.3:6000"), options);
        thread::sleep(ms(700));
        let ledger = Ledger::of(lab, "e", "to");
        assert_eq!(
            (ledger.sent, ledger.in_flight, ledger.missing),
            (500, 500, 0),
            "{ledger:?}"
        );
        waiting.finish(ms(9000)).assert_whole("what waited");
        // It moves to a slot and a band of its own, and what was counted in the old ones still counts.
        lab.netchaos("change e --delay 100ms --loss 30%").ok();
        let flow = flow(lab, COUNT, 2000);
        lab.netchaos("target add e 10.77.0.4").ok();
        let ledger = Ledger::of(lab, "e", "to");
        println!("moved: {ledger:?}");
        assert_eq!(ledger.sent, 500 + COUNT);
        assert_eq!(ledger.delivered, 500 + arrivals(&flow));
        assert_eq!(ledger.dropped_by_fault, COUNT - arrivals(&flow));
        assert_eq!(
            (ledger.missing, ledger.duplicated, ledger.in_flight),
            (0, 0, 0)
        );
        // Maps that grow are new ones.
        let many: Vec<String> = (0..9000)
            .map(|n| format!("10.9.{}.{}", n / 250, n % 250))
            .collect();
        lab.netchaos_with_input("target add e -", &many.join("\n"))
            .ok();
        assert_eq!(Ledger::of(lab, "e", "to"), ledger);

        lab.round_trips("10.77.0.3", 20);
        let from = Ledger::of(lab, "e", "from");
        assert!(from.sent > 0 && from.missing == 0, "{from:?}");
        lab.netchaos("show e")
            .ok()
            .says(&["ledger to", "ledger from", "dropped by the fault"]);
    });
}

#[test]
fn tcp_in_large_packets_comes_out_too() {
    Lab::test(&[], |lab| {
        for fault in [
            "--delay 5ms",
            "--delay 5ms --loss 1%",
            "--bandwidth 40mbit --bandwidth-buffer 10kb --bandwidth-limit 200kb",
            "--bandwidth 40mbit --bandwidth-buffer 100kb --bandwidth-limit 200kb",
            "--rate 50mbit",
        ] {
            lab.netchaos(&format!("add e {fault} --to 10.77.0.3")).ok();
            tcp_push(&lab.client, &lab.peer, peer("10.77.0.3:6100"), 2_000_000);
            thread::sleep(ms(500));
            let ledger = Ledger::of(lab, "e", "to");
            println!("{fault}: {ledger:?}");
            assert_eq!(
                (ledger.missing, ledger.duplicated, ledger.in_flight),
                (0, 0, 0),
                "{fault}: {ledger:?}"
            );
            assert!(ledger.sent > 20, "{fault}: {ledger:?}");
            lab.netchaos("remove e").ok();
        }
    });
}
