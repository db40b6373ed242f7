//! The examples of what netem and tbf do, which a host's kernel may lack: on the pods of their shop, through an API
//! server and an agent, by cgroups of version 2 alone.

use std::{net::SocketAddr, path::Path};

use netchaos_tests::{
    kubernetes::{Chaos, Peer, Peers, example, kubectl, variable},
    lab::ms,
    probe::{EchoServer, Flow, Flowed, Options, assert_delayed, assert_prompt, udp_round_trips},
    statistics::{Chain, assert_share},
};
use serde_json::json;

const PODS: [&str; 4] = ["web-1", "web-2", "db", "other"];
/// Where each pod answers, and where it only takes.
const ECHO: u16 = 7001;
const TAKE: u16 = 7002;
/// Bytes of a datagram's payload, and of its frame besides: Ethernet, IPv4, UDP.
const PAYLOAD: usize = 1000;
const HEADERS: usize = 14 + 20 + 8;

/// The shop of the examples, and a pod that none of them is about. Nobody makes the pods of its deployments here, so
/// that the test does.
struct Shop {
    // Dropped in this order: threads inside keep a namespace alive.
    _echo: Vec<EchoServer>,
    peers: Peers,
}

impl Shop {
    fn open() -> Self {
        let shop = example("shop").display().to_string();
        kubectl(&["apply", "--filename", &shop]).ok();
        let pods = PODS.map(|name| {
            let app = name.split('-').next();
            (name, json!({"app": app}))
        });
        let peers = Peers::these_on_plane("shop", &pods);
        let echo = |peer: &Peer| EchoServer::start(&peer.netns, ECHO, 1);
        Self {
            _echo: peers.peers.iter().map(echo).collect(),
            peers,
        }
    }

    fn address(&self, name: &str, port: u16) -> SocketAddr {
        SocketAddr::new(self.peers.peer(name).address.into(), port)
    }

    /// Asserts that round trips between these two, whoever asks, take 40 ms at least and not much longer than the
    /// slowest of the example's; and that all others are prompt.
    #[track_caller]
    fn assert_slow(&self, what: &str, slow: &[[&str; 2]]) {
        for from in PODS {
            for to in PODS.into_iter().filter(|to| *to != from) {
                let way = format!("{what}: {from} asks {to}");
                let sender = &self.peers.peer(from).netns;
                let at = self.address(to, ECHO);
                let measure = || sender.run(|| udp_round_trips(at, 9));
                if slow.contains(&[from, to]) || slow.contains(&[to, from]) {
                    assert_delayed(&way, ms(40), measure);
                } else {
                    assert_prompt(&way, measure);
                }
            }
        }
    }

    fn flow(&self, from: &str, to: &str, options: Options) -> Flowed {
        let [sender, receiver] = [from, to].map(|name| &self.peers.peer(name).netns);
        Flow::start(sender, receiver, self.address(to, TAKE), options).finish(ms(1500))
    }

    /// Sends a hundred datagrams at once from web to the database, and asserts that they take as long as at so many
    /// bits per second, where so many bytes go at once; and that the same to another pod do not.
    #[track_caller]
    fn assert_narrow(&self, what: &str, bits: f64, bucket: usize) {
        let burst = |to| {
            let options = Options {
                bytes: PAYLOAD,
                ..Options::new(100, None)
            };
            let flow = self.flow("web-1", to, options);
            flow.assert_whole(what);
            *flow.arrivals().last().expect("all arrived")
        };
        let bytes = 99 * (PAYLOAD + HEADERS) - bucket;
        let (took, other) = (burst("db"), burst("other"));
        println!("{what}: {took:?}, to another {other:?}");
        // The first one may itself have been late.
        assert!(
            (took + ms(20)).as_secs_f64() >= bytes as f64 * 8.0 / bits,
            "{what}: too fast: {took:?}"
        );
        assert!(other < took, "{what}: {took:?}, to another {other:?}");
    }
}

#[test]
fn the_example_delays_what_web_sends_to_the_database_and_nothing_else() {
    let shop = Shop::open();
    let cgroups = variable("CLUSTER_CGROUPS");
    assert!(
        Path::new(&cgroups).join("cgroup.controllers").exists(),
        "the one hierarchy of version 2: {cgroups}"
    );
    shop.assert_slow("before", &[]);
    let delay = Chaos::example("delay");
    delay.wait_until_injected(2);
    shop.assert_slow("delay", &[["web-1", "db"], ["web-2", "db"]]);
    delay.delete();
    shop.assert_slow("afterwards", &[]);
    shop.peers.assert_nothing_left();
}

#[test]
fn examples_of_other_actions_do_what_they_say() {
    let shop = Shop::open();

    let rate = Chaos::example("rate");
    rate.wait_until_injected(2);
    shop.assert_narrow("rate", 1e6, 0);
    rate.delete();

    let bandwidth = Chaos::example("bandwidth");
    bandwidth.wait_until_injected(2);
    shop.assert_narrow("bandwidth", 8e6, 20_000);
    bandwidth.delete();

    let duplicate = Chaos::example("duplicate");
    duplicate.wait_until_injected(2);
    let options = Options {
        copies: 2,
        ..Options::new(1000, Some(500))
    };
    let copies = shop.flow("web-2", "db", options).copies();
    assert!(copies.iter().all(|copies| matches!(copies, 1 | 2)));
    let doubled = copies.iter().filter(|copies| **copies == 2).count();
    assert_share("duplicate", doubled as u64, 1000, &Chain::random(0.2));
    shop.flow("web-2", "other", options)
        .assert_whole("not duplicated");
    duplicate.delete();

    let corrupt = Chaos::example("corrupt");
    corrupt.wait_until_injected(1);
    // Its checksum gives most of them away. That none of 2000 is lost has a chance below 1 in 10^6.
    let lost = ["web-1", "web-2"].map(|web| {
        let flow = shop.flow("db", web, Options::new(2000, Some(500)));
        flow.lost().len()
    });
    println!("corrupt: {lost:?} of 2000 lost");
    assert!(
        (lost[0] == 0) != (lost[1] == 0),
        "half of the web pods: {lost:?}"
    );
    assert!(lost.iter().all(|lost| *lost < 50), "{lost:?}");
    corrupt.delete();

    shop.peers.assert_nothing_left();
}
