//! `netchaos show NAME --follow`: a line for each packet that is steered, while somebody looks.

use std::{
    io::{BufRead as _, BufReader},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use netchaos_tests::lab::Lab;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const DEVICE: &str = "nca2-0";
/// For an emulated processor.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ends with the test, however that ends.
struct Follower(Child);

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_followed(lab: &Lab) -> bool {
    let filters = lab.client.tc(&format!("filter show dev {DEVICE} egress"));
    filters.contains("netchaos_follow")
}

fn follow(lab: &Lab, name: &str) -> Follower {
    let child = Follower(lab.start_netchaos(&format!("show {name} --follow -o json")));
    let start = Instant::now();
    while !is_followed(lab) {
        assert!(start.elapsed() < PATIENCE, "nobody follows");
        thread::sleep(Duration::from_millis(50));
    }
    child
}

#[test]
fn each_steered_packet_of_the_experiment_is_a_line_and_no_other() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 60ms --to 10.77.0.3 fd77::3")
            .ok();
        lab.netchaos("add other --delay 60ms --to 10.77.0.4").ok();
        let mut follower = follow(lab, "slow");
        let child = &mut follower.0;
        lab.round_trips("10.77.0.3:7002", 3);
        lab.round_trips("10.77.0.4:7002", 3);
        lab.round_trips("10.77.0.2:7002", 3);
        lab.round_trips("[fd77::3]:7002", 2);
        let output = child.stdout.take().expect("piped");
        let lines = BufReader::new(output)
            .lines()
            .map(|line| line.expect("text"));
        let peer = |line: &str| {
            let packet: serde_json::Value = serde_json::from_str(line).ok()?;
            let peer = packet.get("peer")?.as_str()?.to_owned();
            assert_eq!(packet["port"], 7002, "{line}");
            assert_eq!(packet["ingress"], false, "{line}");
            Some(peer)
        };
        // What was shown of the experiment comes first, over several lines.
        let peers: Vec<String> = lines.filter_map(|line| peer(&line)).take(5).collect();
        let v4 = "10.77.0.3".to_owned();
        let v6 = "fd77::3".to_owned();
        assert_eq!(peers, [v4.clone(), v4.clone(), v4, v6.clone(), v6]);
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("it runs");
        assert!(child.wait().expect("it ends").success());
        assert!(!is_followed(lab), "the follower left its program");
        lab.assert_delayed("10.77.0.3", Duration::from_millis(60));
    });
}

#[test]
fn a_follower_that_is_killed_does_no_harm_and_the_next_one_follows() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 60ms --to 10.77.0.3").ok();
        for _ in 0..2 {
            // SIGKILL, at the end of the statement.
            drop(follow(lab, "slow"));
            lab.assert_delayed("10.77.0.3", Duration::from_millis(60));
        }
    });
}
