//! How the delay is spread, and whether packets keep their order.

use std::{fs, path::PathBuf, time::Duration};

use netchaos_tests::{
    lab::{Lab, ms, peer},
    probe::{Flow, Flowed, Options},
    statistics::{Chain, assert_share, deviation},
};

/// What tc(8) reads for `distribution NAME`: 4096 values in units of 1/8192 of the jitter.
fn table(name: &str) -> Vec<f64> {
    if name == "uniform" {
        return (0..=4096)
            .map(|step| f64::from(step) / 2048.0 - 1.0)
            .collect();
    }
    // By the architecture in Debian, see tc_lib in iproute2's Makefile.
    let mut folders: Vec<PathBuf> = fs::read_dir("/usr/lib")
        .expect("every system has it")
        .map(|entry| entry.expect("readable").path())
        .collect();
    folders.extend(["/usr/lib".into(), "/usr/share".into()]);
    let text = folders
        .iter()
        .find_map(|folder| fs::read_to_string(folder.join(format!("tc/{name}.dist"))).ok())
        .unwrap_or_else(|| panic!("iproute2's {name}.dist is nowhere"));
    let numbers = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace);
    numbers
        .map(|number| number.parse::<f64>().expect("a number") / 8192.0)
        .collect()
}

/// Delays in milliseconds, sorted.
struct Delays(Vec<f64>);

impl Delays {
    fn of_flow(flow: &Flowed) -> Self {
        Self::sorted(
            flow.delays()
                .iter()
                .map(Duration::as_secs_f64)
                .map(|s| s * 1e3),
        )
    }

    /// What should come of it; netem takes a delay below zero for none.
    fn expected(table: &[f64], delay: f64, jitter: f64) -> Self {
        Self::sorted(table.iter().map(|value| (delay + jitter * value).max(0.0)))
    }

    fn sorted(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The share that is not above `value`.
    fn share(&self, value: f64) -> f64 {
        self.0.partition_point(|other| *other <= value) as f64 / self.0.len() as f64
    }

    /// How much more of `self` than of `other` is early, at the worst point.
    fn early(&self, other: &Self) -> f64 {
        let more = |value: &f64| self.share(*value) - other.share(*value);
        self.0.iter().map(more).fold(0.0, f64::max)
    }

    /// As [`Self::early`] for what is late, not counting what a busy machine adds.
    fn late(&self, other: &Self, slack: f64) -> f64 {
        let less = |value: &f64| other.share(*value) - self.share(*value + slack);
        other.0.iter().map(less).fold(0.0, f64::max)
    }
}

const NAMES: [&str; 4] = ["uniform", "normal", "pareto", "paretonormal"];
const DELAY: f64 = 150.0;
const JITTER: f64 = 40.0;
const SLACK: f64 = 20.0;

#[test]
fn each_distribution_spreads_the_delay_as_its_table_says() {
    Lab::test(&[], |lab| {
        for (host, name) in (3..).zip(NAMES) {
            lab.netchaos(&format!(
                "add {name} --delay {DELAY}ms --jitter {JITTER}ms --distribution {name} \
                 --to 10.77.0.{host}"
            ))
            .ok();
        }
        let expected = NAMES.map(|name| Delays::expected(&table(name), DELAY, JITTER));
        let uniform = &expected[0];
        for attempt in 0..3 {
            let flows: Vec<Flow> = (3..)
                .take(NAMES.len())
                .map(|host| {
                    let to = peer(&format!("10.77.0.{host}:6000"));
                    Flow::start(&lab.client, &lab.peer, to, Options::new(3000, Some(1000)))
                })
                .collect();
            let mut is_slow = false;
            for ((name, expected), flow) in NAMES.iter().zip(&expected).zip(flows) {
                let flow = flow.finish(ms(1500));
                flow.assert_whole(name);
                let measured = Delays::of_flow(&flow);
                let far = deviation(flow.sent());
                let (early, late) = (measured.early(expected), measured.late(expected, SLACK));
                println!("{name}: {early:.3} early, {late:.3} late, {far:.3} allowed: {flow}");
                assert!(early < far, "{name}: {early} are too early");
                is_slow |= late >= far;
                // Evenly spread it is not, whatever the machine adds.
                let apart = measured.early(uniform).max(measured.late(uniform, SLACK));
                assert!((apart > far) == (*name != "uniform"), "{name}: {apart}");
            }
            if !is_slow {
                return;
            }
            assert!(attempt < 2, "too late, time and again");
        }
    });
}

#[test]
fn jitter_keeps_the_order_or_changes_it_as_asked() {
    Lab::test(&[], |lab| {
        let jitter = "--delay 60ms --jitter 30ms";
        lab.netchaos(&format!(
            "add keep {jitter} --jitter-order keep --to 10.77.0.3"
        ))
        .ok();
        lab.netchaos(&format!(
            "add reorder {jitter} --jitter-order reorder --to fd77::4"
        ))
        .ok();
        let flow = |to| {
            let options = Options::new(800, Some(800));
            Flow::start(&lab.client, &lab.peer, peer(to), options)
        };
        let flows = ["10.77.0.3:6000", "[fd77::4]:6000"].map(flow);
        let [keep, reorder] = flows.map(|flow| flow.finish(ms(1000)));
        for (what, flow) in [("keep", &keep), ("reorder", &reorder)] {
            flow.assert_whole(what);
            assert!(flow.shortest() >= ms(30), "{what}: {flow}");
            assert!(flow.median() < ms(160), "{what}: {flow}");
        }
        keep.assert_in_order("keep");
        assert!(reorder.is_reordered(), "reorder: {reorder}");
        // Each waits for the one before it and yet not all for the longest.
        let delays = keep.delays();
        assert!(delays.iter().max() > Some(&ms(70)), "{keep}");
        lab.netchaos("change keep --jitter-order reorder").ok();
        let again = flow("10.77.0.3:6001").finish(ms(1000));
        assert!(again.is_reordered(), "changed: {again}");
    });
}

/// Numbers of the datagrams that were not delayed.
fn early(what: &str, flow: &Flowed) -> Vec<u64> {
    flow.assert_whole(what);
    let delays = (0..).zip(flow.delays());
    let early = delays.filter(|(_, delay)| *delay < ms(150));
    early.map(|(number, _)| number).collect()
}

#[test]
fn reordering_lets_the_share_or_every_so_many_th_packet_go_ahead() {
    Lab::test(&[], |lab| {
        for line in [
            "add share --delay 300ms --reorder 25% --to 10.77.0.3",
            "add gap --delay 300ms --reorder 100% --reorder-gap 5 --to fd77::4",
            "add both --delay 300ms --reorder 50% --reorder-gap 4 --to 10.77.0.5",
        ] {
            lab.netchaos(line).ok();
        }
        const COUNT: u64 = 2000;
        let flow = |to| {
            let options = Options::new(COUNT, Some(1000));
            Flow::start(&lab.client, &lab.peer, peer(to), options)
        };
        let flows = ["10.77.0.3:6000", "[fd77::4]:6000", "10.77.0.5:6000"].map(flow);
        let [share, gap, both] = flows.map(|flow| flow.finish(ms(1500)));

        let ahead = early("share", &share);
        assert_share("share", ahead.len() as u64, COUNT, &Chain::random(0.25));
        assert!(share.is_reordered());

        // Every fifth, from wherever the count began.
        let ahead = early("gap", &gap);
        assert!(
            ahead.windows(2).all(|two| two[1] - two[0] == 5),
            "{ahead:?}"
        );
        assert!(ahead.len() as u64 >= COUNT / 5 - 1, "{}", ahead.len());

        // Three are always delayed; each one after them goes ahead with a chance of a half. That
        // many are candidates at least, so the first of them are a number fixed beforehand.
        let ahead = early("both", &both);
        assert!(
            ahead.windows(2).all(|two| two[1] - two[0] >= 4),
            "{ahead:?}"
        );
        let candidates = ahead
            .windows(2)
            .flat_map(|two| (two[0] + 4..=two[1]).map(move |number| number == two[1]));
        let candidates: Vec<bool> = candidates.take(500).collect();
        assert_eq!(candidates.len(), 500, "{}", ahead.len());
        let hits = candidates.iter().filter(|hit| **hit).count();
        assert_share("both", hits as u64, 500, &Chain::random(0.5));
    });
}
