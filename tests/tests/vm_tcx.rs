//! Beside programs at tcx, the hook in front of clsact (Linux 6.6): one that lets packets go on
//! their way without asking anybody behind it would hide them from a filter on clsact.

use std::time::Duration;

use netchaos_tests::{
    foreign::{self, Tcx, Verdict},
    lab::{CLIENT, DEVICE, Lab, ms, peer},
    probe::{Flow, Options},
};

const DELAY: Duration = Duration::from_millis(80);

#[test]
fn a_program_at_tcx_that_ends_the_chain_hides_no_packet_from_us_and_stays() {
    Lab::test(&[], |lab| {
        let foreign = foreign::load(Verdict::EndsTheChain);
        // Before 6.6 nobody can come before us, and the rest has to hold all the same.
        let has_tcx = lab.client.run(|| foreign::attach(&foreign, Tcx::Egress));
        lab.is_the_users();
        lab.netchaos("add slow --delay 80ms --to 10.77.0.3").ok();
        lab.assert_delayed("10.77.0.3", DELAY);
        lab.assert_prompt("10.77.0.2");
        lab.netchaos("target add slow 10.77.0.4").ok();
        lab.netchaos("change slow --delay 160ms").ok();
        lab.assert_delayed("10.77.0.4", 2 * DELAY);
        let filters = lab.client.tc(&format!("filter show dev {DEVICE} egress"));
        assert_eq!(filters.contains("netchaos_egress"), !has_tcx, "{filters}");
        lab.netchaos("remove --all").ok();
        lab.assert_prompt("10.77.0.3");
        lab.netchaos("add again --delay 80ms --to 10.77.0.3").ok();
        lab.assert_delayed("10.77.0.3", DELAY);
        lab.netchaos("heal").ok();
        lab.assert_prompt("10.77.0.3");
    });
}

/// It drops what is not as it was sent, so what arrives was so.
#[test]
fn programs_behind_ours_see_each_packet_once_with_its_mark_and_priority() {
    Lab::test(&[], |lab| {
        const COUNT: u64 = 100;
        let _counting = foreign::count_runs();
        let out = foreign::load_strict(7, 6);
        // What comes in was sent elsewhere, and has neither.
        let into = foreign::load_strict(0, 0);
        let has_tcx = lab
            .client
            .run(|| foreign::attach(&out, Tcx::Egress) && foreign::attach(&into, Tcx::Ingress));
        if !has_tcx {
            return;
        }
        lab.is_the_users();
        lab.netchaos("add slow --delay 50ms --direction both --to 10.77.0.3")
            .ok();
        lab.netchaos("add more --delay 30ms --direction both --to 10.77.0.0/29")
            .ok();
        let before = [foreign::runs(&out), foreign::runs(&into)];
        let options = Options {
            mark: Some(7),
            priority: Some(6),
            ..Options::new(COUNT, Some(1000))
        };
        let to = peer("10.77.0.3:6000");
        let flow = Flow::start(&lab.client, &lab.peer, to, options).finish(ms(2000));
        flow.assert_whole("with its mark and priority");
        assert!(flow.shortest() >= ms(80), "{flow}");
        let options = Options {
            source: Some(peer("10.77.0.3:0")),
            ..Options::new(COUNT, Some(1000))
        };
        let to = peer(&format!("{CLIENT}:6001"));
        let flow = Flow::start(&lab.peer, &lab.client, to, options).finish(ms(2000));
        flow.assert_whole("with neither");
        assert!(flow.shortest() >= ms(80), "{flow}");
        for (program, before) in [&out, &into].into_iter().zip(before) {
            let runs = foreign::runs(program) - before;
            // Neighbours are looked for now and then.
            assert!(
                (COUNT..COUNT + 20).contains(&runs),
                "{runs} runs for {COUNT} packets"
            );
        }
    });
}
