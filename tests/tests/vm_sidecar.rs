//! `netchaos run` as a sidecar runs it, with a queue: on kernels with tcx and without.

use std::{
    thread,
    time::{Duration, Instant},
};

use netchaos_tests::{
    lab::{Lab, ms},
    running::Running,
};
use nix::sys::signal::Signal;

#[test]
fn a_run_with_few_rights_delays_and_takes_its_delay_away() {
    Lab::test(&[], |lab| {
        let run = Running::new(lab.start_limited(
            "+net_admin,+bpf,+perfmon",
            "run slow --delay 100ms --direction both --to 10.77.0.3 fd77::3",
        ));
        let begin = Instant::now();
        // Several of each: one alone may be slow by itself on a busy machine.
        let is_prompt = |to: &&str| lab.round_trips(to, 3).shortest() < ms(200);
        while ["10.77.0.3", "fd77::3"].iter().any(is_prompt) {
            assert!(begin.elapsed() < Duration::from_secs(30), "it never delays");
            thread::sleep(ms(50));
        }
        lab.assert_delays("run", &[("fd77::3", 200), ("10.77.0.4", 0)]);
        lab.limited("+net_admin,+bpf,+perfmon", "list")
            .fails_with(3)
            .says(&["CAP_SYS_ADMIN"]);
        run.end(Signal::SIGTERM);
        lab.assert_nothing_left();
        lab.assert_delays("afterwards", &[("10.77.0.3", 0), ("fd77::3", 0)]);
    });
}
