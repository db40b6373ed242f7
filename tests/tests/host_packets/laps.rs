//! Who comes first, who is left out, what a mark says, and chains of losses.

use netchaos::kernel::bpf::Entry as _;
use netchaos_common::abi::{Commit, Loss, Mark, SLOTS, Steer};

use super::{
    kernel::{Kernel, PRIORITY, steer},
    reference::{Fault, Rule, Stop, Way},
    rules::{BAND, rule},
    trampoline::Done,
};

/// Nothing happens to its packets, and they are counted.
const NOTHING: Fault = Fault {
    has_band: false,
    cuts: false,
    loses: false,
};
const UNTOUCHED: i32 = -1;

/// An IPv4 UDP frame from port 443 of 10.1.2.3 to port 443 of 10.1.2.3.
pub fn plain_frame() -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00, 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([10, 1, 2, 3, 10, 1, 2, 3, 1, 187, 1, 187, 0, 12, 0, 0]);
    frame.extend([0x55; 4]);
    frame
}

fn with(fault: Fault) -> Rule {
    Rule {
        fault,
        ..rule(&["10.1.2.3"], &[])
    }
}

/// The first stop of the plain frame on its way out.
fn first(kernel: &Kernel) -> Stop {
    kernel.walk(&plain_frame(), Way::Out, 0)[0]
}

#[test]
fn laps_go_by_slot_over_those_that_are_live_and_have_not_ended() {
    let mut kernel = Kernel::new(&vec![with(BAND); SLOTS]);
    let live = |kernel: &mut Kernel, out: u64| {
        let commit = Commit {
            out,
            ..kernel.commit
        };
        kernel.put_in_force(0, commit);
    };
    for first_slot in [0, 1, 31, 32, 62, 63] {
        live(&mut kernel, u64::MAX << first_slot);
        let mut expected: Vec<Stop> = (first_slot..SLOTS).map(Stop::Lap).collect();
        expected.push(Stop::Passes);
        assert_eq!(kernel.walk(&plain_frame(), Way::Out, 0), expected);
    }
    live(&mut kernel, 0);
    assert_eq!(first(&kernel), Stop::Passes);

    live(&mut kernel, 0b111 << 10);
    let mut end = |slot, ends| {
        let steer = Steer {
            ends,
            ..steer(slot, BAND)
        };
        kernel.set_steer(slot, steer);
        first(&kernel)
    };
    // 1 ns after the boot has passed, and the end of the clock has not.
    assert_eq!(end(10, 1), Stop::Lap(11));
    assert_eq!(end(11, u64::MAX), Stop::Lap(11));
    assert_eq!(end(11, 1), Stop::Lap(12));
    assert_eq!(end(12, 1), Stop::Passes);
    assert_eq!(end(10, 0), Stop::Lap(10));
}

#[test]
fn whose_devices_are_gone_is_left_out_and_does_not_count() {
    let gone = i32::MAX.unsigned_abs();
    let loses = Fault {
        loses: true,
        ..NOTHING
    };
    let cuts = Fault {
        cuts: true,
        ..NOTHING
    };
    let rules = [BAND, cuts, loses, BAND].map(with);
    let mut kernel = Kernel::new(&rules);
    let frame = plain_frame();
    let stops = kernel.walk(&frame, Way::Out, 4);
    assert_eq!(stops, [Stop::Lap(0), Stop::Cut(1), Stop::Dropped]);
    for (slot, rule) in rules.iter().enumerate().take(3) {
        let mut steer = Steer {
            lower: gone,
            ..steer(slot, rule.fault)
        };
        for lane in [&mut steer.out, &mut steer.into] {
            lane.upper = if rule.fault.loses { 1 } else { gone };
        }
        kernel.set_steer(slot, steer);
    }
    for way in [Way::Out, Way::In] {
        let before = kernel.hits(way);
        let stops = kernel.walk(&frame, way, 4);
        assert_eq!(stops, [Stop::Lap(3), Stop::Passes], "{way:?}");
        let after = kernel.hits(way);
        assert_eq!(before[..3], after[..3]);
        assert_eq!(before[3].packets + 1, after[3].packets);
    }
    // Behind a lap it is the pair itself that drops.
    kernel.set_steer(0, steer(0, BAND));
    let stops = kernel.walk(&frame, Way::Out, 1);
    assert_eq!(stops, [Stop::Lap(0), Stop::Dropped]);
}

#[test]
fn the_one_word_that_switches_commits_switches_slots_and_steers() {
    let mut kernel = Kernel::new(&[with(BAND), with(BAND), with(BAND)]);
    let other = Commit {
        out: 0b110,
        ..kernel.commit
    };
    let dropping = Fault {
        loses: true,
        ..BAND
    };
    let steers = &mut kernel.classifier.maps.steers;
    let half = SLOTS as u32;
    steers.write(half + 1, steer(1, BAND)).unwrap();
    steers.write(half + 2, steer(2, dropping)).unwrap();
    let frame = plain_frame();
    let old = [Stop::Lap(0), Stop::Lap(1), Stop::Lap(2), Stop::Passes];
    assert_eq!(kernel.walk(&frame, Way::Out, 0), old);
    kernel.put_in_force(1, other);
    let new = [Stop::Lap(1), Stop::Dropped];
    assert_eq!(kernel.walk(&frame, Way::Out, 0), new);
    kernel.put_in_force(0, kernel.commit);
    assert_eq!(kernel.walk(&frame, Way::Out, 0), old);
}

#[test]
fn marks_of_ours_are_taken_off_at_the_device_and_foreign_ones_respected() {
    let kernel = Kernel::new(&[with(BAND)]);
    let frame = plain_frame();
    let run = |way, mark, priority| kernel.run_at_device(&frame, way, mark, priority);
    let passes = |priority| Done {
        verdict: UNTOUCHED,
        priority,
    };
    for way in [Way::Out, Way::In] {
        for foreign in [1, 0x0fff, 0x7fff] {
            assert_eq!(run(way, foreign, PRIORITY), passes(PRIORITY), "{way:?}");
        }
        assert_ne!(run(way, 0, PRIORITY), passes(PRIORITY), "{way:?}");
    }
    let ours = |ingress| Mark::new(ingress, 0, PRIORITY).0;
    // On the way out the priority has been put back before; on the way in the kernel took it away.
    assert_eq!(run(Way::Out, ours(false), 0x1_0002), passes(0x1_0002));
    assert_eq!(run(Way::In, ours(true), 0), passes(PRIORITY));
}

#[test]
fn first_and_last_hit_are_moments_of_the_boot_clock() {
    let kernel = Kernel::new(&[with(NOTHING), rule(&["10.9.9.9"], &[])]);
    for _ in 0..5 {
        assert_eq!(first(&kernel), Stop::Passes);
    }
    let counter = |slot| kernel.classifier.maps.counter(slot, false).unwrap();
    let (hit, missed) = (counter(0), counter(1));
    assert_eq!(hit.packets, 5);
    assert!(hit.first > 0 && hit.last > hit.first, "{hit:?}");
    assert_eq!((missed.packets, missed.first, missed.last), (0, 0, 0));
}

/// Packets of `count` that a chain loses, and how many runs of losses they were.
fn lost(kernel: &mut Kernel, loss: Loss, count: u32) -> (u32, u32) {
    let steer = Steer {
        loss,
        ..steer(0, NOTHING)
    };
    kernel.set_steer(0, steer);
    let (mut lost, mut runs, mut was_lost) = (0, 0, false);
    for _ in 0..count {
        let is_lost = first(kernel) == Stop::Dropped;
        lost += u32::from(is_lost);
        runs += u32::from(is_lost && !was_lost);
        was_lost = is_lost;
    }
    (lost, runs)
}

const fn share(percent: u64) -> u32 {
    (u32::MAX as u64 * percent / 100) as u32
}

/// Six standard deviations and a bit: a false alarm in 10^9 runs.
fn assert_near(what: &str, found: u32, expected: f64, deviation: f64) {
    let off = (f64::from(found) - expected).abs();
    assert!(
        off < 6.2 * deviation,
        "{what}: {found}, not {expected} ± {deviation}"
    );
}

#[test]
fn chains_of_losses_lose_what_they_say() {
    // One CPU, since each has a chain of its own.
    let cpus = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).unwrap();
    let one = (0..).find(|cpu| cpus.is_set(*cpu).unwrap()).unwrap();
    let mut only = nix::sched::CpuSet::new();
    only.set(one).unwrap();
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &only).unwrap();

    let mut kernel = Kernel::new(&[with(NOTHING)]);
    let random = |good| Loss {
        good,
        ..Loss::default()
    };
    assert_eq!(lost(&mut kernel, random(0), 20_000), (0, 0));
    assert_eq!(lost(&mut kernel, random(u32::MAX), 20_000), (20_000, 1));
    let count = 40_000;
    let (found, _) = lost(&mut kernel, random(share(10)), count);
    let all = f64::from(count);
    assert_near("10 %", found, all * 0.1, (all * 0.1 * 0.9).sqrt());

    // 5 % in the bad state on average, runs of 4 packets, all of them lost.
    let chain = Loss {
        worsen: share(25) / 19,
        recover: share(25),
        bad: u32::MAX,
        good: 0,
    };
    let (found, runs) = lost(&mut kernel, chain, count);
    // Fates of neighbours correlate by r = 1 - worsen - recover, which makes the variance of the
    // sum (1 + r) / (1 - r) times that of independent ones.
    let r = 1.0 - 0.25 / 19.0 - 0.25;
    let deviation = (all * 0.05 * 0.95 * (1.0 + r) / (1.0 - r)).sqrt();
    assert_near("a chain", found, all * 0.05, deviation);
    let expected_runs = all * 0.95 * 0.25 / 19.0;
    assert_near("its runs", runs, expected_runs, expected_runs.sqrt());

    // What a chain has left behind means nothing to one that never leaves its good state, and
    // everything to one that never leaves its bad one.
    let stays_bad = Loss {
        worsen: u32::MAX,
        recover: 0,
        bad: u32::MAX,
        good: 0,
    };
    lost(&mut kernel, stays_bad, 2);
    assert_eq!(lost(&mut kernel, stays_bad, 1000), (1000, 1));
    assert_eq!(lost(&mut kernel, random(0), 1000), (0, 0));
    assert_eq!(lost(&mut kernel, stays_bad, 1000), (1000, 1));
    kernel.classifier.maps.clear_slot(0).unwrap();
    let (found, runs) = lost(&mut kernel, stays_bad, 1000);
    assert_eq!(
        (found, runs),
        (999, 1),
        "the first one meets the good state"
    );
}
