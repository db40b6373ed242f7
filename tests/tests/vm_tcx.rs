//! Beside programs at tcx, the hook in front of clsact (Linux 6.6): one that lets packets go on
//! their way without asking anybody behind it would hide them from a filter on clsact.

use std::time::Duration;

use netchaos_tests::{
    foreign::{self, Tcx, Verdict},
    lab::{DEVICE, Lab},
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
