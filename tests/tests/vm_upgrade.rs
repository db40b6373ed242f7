//! Delays that the release before has laid, superseded while packets flow.

use std::thread;

use netchaos_tests::{
    lab::{Lab, ms, peer},
    ledger::Ledger,
    probe::{Flow, Options},
    upgrade::previous,
};

#[test]
fn delays_of_the_release_before_are_superseded_without_losing_a_packet() {
    Lab::test(&[], |lab| {
        lab.has_clsact();
        previous(lab, "add slow --delay 300ms --to 10.77.0.3").ok();
        previous(lab, "add both --delay 50ms --direction both --to 10.77.0.4").ok();
        lab.assert_delayed("10.77.0.3", ms(300));
        let flow = |to| {
            let options = Options::new(u64::MAX, Some(300));
            Flow::start(&lab.client, &lab.peer, peer(to), options)
        };
        let flows = ["10.77.0.3:6000", "10.77.0.4:6001", "10.77.0.2:6002"].map(|to| (to, flow(to)));
        thread::sleep(ms(400));
        let counted = lab.counted("slow").to.packets;
        assert!(counted > 0, "counted by the release before");
        lab.netchaos("target add both 10.77.0.5").ok();
        lab.assert_delayed("10.77.0.5", ms(100));
        lab.netchaos("change slow --delay 400ms").ok();
        thread::sleep(ms(300));
        assert!(lab.counted("slow").to.packets > counted, "goes on counting");
        for (_, flow) in &flows {
            flow.stop();
        }
        for (to, flow) in flows {
            let flow = flow.finish(ms(2000));
            flow.assert_whole(to);
            if to.starts_with("10.77.0.3") {
                assert!(flow.shortest() >= ms(300), "{flow}");
            }
        }
        let ledger = Ledger::of(lab, "slow", "to");
        // Those that moved in the moment in which it was read what the release before had in its band.
        assert!(ledger.missing + ledger.duplicated <= 5, "{ledger:?}");
        assert_eq!(ledger.in_flight, 0, "{ledger:?}");
        lab.netchaos("remove --all").ok();
        lab.assert_nothing_left();
    });
}
