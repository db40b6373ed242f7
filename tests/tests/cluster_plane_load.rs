//! What the agent costs: memory and processor with a hundred pods and fifty experiments, and how soon a change reaches
//! the packets. `cargo xtask test cluster hundred_pods` and
//! `cargo xtask test cluster within_a_second` print the figures.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use netchaos_tests::kubernetes::{Peer, Peers, apply, get, kubectl, wait_until};
use nix::unistd::{SysconfVar, sysconf};
use serde_json::{Value, json};

const PODS: usize = 100;
const EXPERIMENTS: usize = 50;
/// Kibibytes of resident memory that it may have at rest.
const MOST_MEMORY: u64 = 30 * 1024;
/// How long its rest is watched, and how much of a processor it may take in that time.
const REST: Duration = Duration::from_secs(10);
const MOST_PROCESSOR: f64 = 0.01;
/// Changes that are timed, and the longest that one may take to reach the packets.
const CHANGES: usize = 10;
const SOON: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);

/// A Kubernetes namespace with a hundred pods, two for each label `app`.
fn hundred(namespace: &str) -> Peers {
    kubectl(&["create", "namespace", namespace]).ok();
    let pods: Vec<(&'static str, Value)> = (0..PODS)
        .map(|number| {
            // Names of peers live as long as the test, which is as long as the program.
            let name: &'static str = Box::leak(format!("p{number}").into_boxed_str());
            (name, json!({"app": format!("a{}", number % EXPERIMENTS)}))
        })
        .collect();
    Peers::these_on_plane(namespace, &pods)
}

/// Cuts the pods of each label off from those of the next.
fn fifty(namespace: &str) -> String {
    let object = |number: usize| {
        let pods = |number: usize| json!({"labelSelectors": {"app": format!("a{number}")}});
        json!({
            "apiVersion": "chaos-mesh.org/v1alpha1",
            "kind": "NetworkChaos",
            "metadata": {"namespace": namespace, "name": format!("c{number}")},
            "spec": {
                "action": "partition",
                "mode": "all",
                "selector": pods(number),
                "target": {"mode": "all", "selector": pods((number + 1) % EXPERIMENTS)},
            },
        })
    };
    let objects: Vec<Value> = (0..EXPERIMENTS).map(object).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

/// Kibibytes of a line of `/proc/PID/status`.
fn memory(pid: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    let number = found.and_then(|text| text.split_ascii_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no {line} in {status}"))
}

/// Processor time that a process has had so far.
fn processor(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    // utime and stime, the 14th and 15th of all (proc_pid_stat(5)).
    let ticks: u64 = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum();
    let per_second = sysconf(SysconfVar::CLK_TCK).expect("it is known");
    Duration::from_secs_f64(ticks as f64 / per_second.expect("it is known") as f64)
}

#[test]
fn the_agent_is_small_and_at_rest_with_a_hundred_pods_and_fifty_experiments() {
    let namespace = "load";
    let peers = hundred(namespace);
    let agent = &peers.plane.as_ref().expect("it has an agent").agent;
    let pid = agent.pid();
    let begin = Instant::now();
    apply(&fifty(namespace));
    wait_until("all have their faults", || {
        let objects = get(&["networkchaos", "--namespace", namespace]);
        let objects = objects["items"].as_array().cloned().unwrap_or_default();
        let injected = objects
            .iter()
            .filter(|object| object["status"]["netchaos"]["injected"] == "2/2")
            .count();
        if injected == EXPERIMENTS {
            Ok(())
        } else {
            Err(format!("{injected} of {EXPERIMENTS}"))
        }
    });
    println!(
        "{PODS} pods have their faults after {:.1?}",
        begin.elapsed()
    );
    // Threads that have done their work go by themselves.
    thread::sleep(Duration::from_secs(5));
    let before = processor(pid);
    thread::sleep(REST);
    let share = (processor(pid) - before).as_secs_f64() / REST.as_secs_f64();
    let (resident, most) = (memory(pid, "VmRSS:"), memory(pid, "VmHWM:"));
    println!(
        "at rest: {:.1} MiB resident, {:.1} % of a processor; {:.1} MiB at the most before",
        resident as f64 / 1024.0,
        share * 100.0,
        most as f64 / 1024.0
    );
    kubectl(&["delete", "networkchaos", "--all", "--namespace", namespace]).ok();
    peers.assert_nothing_left();
    assert!(resident < MOST_MEMORY, "{resident} KiB resident");
    assert!(share < MOST_PROCESSOR, "{share} of a processor");
}

/// Sends to a peer all the time, and tells when nothing has arrived there for a while.
struct Stream {
    sender: UdpSocket,
    receiver: UdpSocket,
    to: SocketAddr,
}

impl Stream {
    const PORT: u16 = 7009;
    const GAP: Duration = Duration::from_millis(5);

    fn between(from: &Peer, to: &Peer) -> Self {
        let receiver = to
            .netns
            .run(|| UdpSocket::bind(("0.0.0.0", Self::PORT)).expect("a free port"));
        receiver
            .set_read_timeout(Some(Self::GAP))
            .expect("a timeout can be set");
        let sender = from
            .netns
            .run(|| UdpSocket::bind("0.0.0.0:0").expect("a free port"));
        Self {
            sender,
            receiver,
            to: SocketAddr::new(to.address.into(), Self::PORT),
        }
    }

    /// Whether a datagram that is sent now arrives.
    fn passes(&self) -> bool {
        self.sender
            .send_to(b"x", self.to)
            .expect("a datagram can be sent, lost or not");
        self.receiver.recv(&mut [0; 8]).is_ok()
    }

    /// Waits until datagrams pass, or do not.
    fn wait(&self, passing: bool) {
        let begin = Instant::now();
        // One alone can be late on a busy machine.
        while !(0..3).all(|_| self.passes() == passing) {
            assert!(begin.elapsed() < PATIENCE, "passing: {passing}");
        }
    }

    /// Runs kubectl, and gives back how long after the API server has had the change the datagrams pass, or do not.
    /// kubectl starts with questions of its own, so that is counted from its end; none where they were faster.
    fn after<T: Send>(&self, passing: bool, kubectl: impl FnOnce() -> T + Send) -> (T, Duration) {
        thread::scope(|scope| {
            let kubectl = scope.spawn(|| (kubectl(), Instant::now()));
            self.wait(passing);
            let seen = Instant::now();
            let (done, ended) = kubectl.join().expect("the API server takes it");
            (done, seen.saturating_duration_since(ended))
        })
    }
}

#[test]
fn a_change_reaches_the_packets_within_a_second() {
    let peers = Peers::on_plane();
    let stream = Stream::between(peers.peer("a"), peers.peer("b"));
    stream.wait(true);
    let spec = json!({
        "action": "partition",
        "mode": "all",
        "selector": {"labelSelectors": {"peer": "a"}},
        "target": {"mode": "all", "selector": {"labelSelectors": {"peer": "b"}}},
    });
    let (mut laid, mut taken) = (Vec::new(), Vec::new());
    for _ in 0..CHANGES {
        let (chaos, took) = stream.after(false, || peers.chaos("cut", &spec));
        laid.push(took);
        let ((), took) = stream.after(true, || chaos.delete());
        taken.push(took);
    }
    for (what, mut times) in [("created", laid), ("deleted", taken)] {
        times.sort_unstable();
        let (median, most) = (times[CHANGES / 2], times[CHANGES - 1]);
        println!("{what}: {median:.0?} (median), {most:.0?} at most until the packets know");
        assert!(median < SOON, "{what}: {times:?}");
    }
}
