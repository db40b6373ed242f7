//! The files of `examples/`, as they are: each is laid and does what its first lines say.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use netchaos_tests::{
    lab::{DEVICE, Lab, ms, peer},
    probe::{EchoServer, Flow, Flowed, Options, TcpServer, assert_silent, tcp_connects},
    statistics::{Chain, assert_share},
};

/// A file, what tc(8) says of its qdiscs (nothing: there are none), and what comes of it.
struct Example(&'static str, &'static [&'static str], fn(&Lab));

const EXAMPLES: [Example; 14] = [
    Example(
        "all-traffic-except",
        &["delay 150ms  30ms"],
        all_traffic_except,
    ),
    Example(
        "bandwidth",
        &["tbf", "rate 8Mbit", "burst 20000b"],
        bandwidth,
    ),
    Example("both-directions", &["delay 50ms"], both_directions),
    Example("corrupt", &["corrupt 2%"], corrupt),
    Example(
        "delay-external-targets",
        &["delay 50ms  1ms 0.5%"],
        external_targets,
    ),
    Example("delay-jitter", &["delay 80ms  20ms"], delay_jitter),
    Example(
        "delay-native",
        &["delay 100ms  10ms 25%", "delay 200ms"],
        delay_native,
    ),
    Example("duplicate", &["duplicate 20%"], duplicate),
    Example("loss", &[], loss),
    Example("loss-burst", &[], loss_burst),
    Example("partition", &[], partition),
    Example("ports-and-protocol", &["delay 200ms"], ports_and_protocol),
    Example("rate", &["rate 1Mbit"], rate),
    Example("reorder", &["delay 20ms reorder 25% gap 1"], reorder),
];

/// Addresses that are kept free for documentation (RFC 5737, RFC 3849), and one network more.
const ADDRESSES: [&str; 11] = [
    "192.0.2.1/32",
    "192.0.2.10/32",
    "192.0.2.20/32",
    "192.0.2.30/32",
    "192.0.2.40/32",
    "192.0.2.53/32",
    "198.51.100.5/32",
    "10.0.0.20/32",
    "10.0.0.53/32",
    "2001:db8::10/128",
    "2001:db8:1::7/128",
];
const NETWORKS: [&str; 4] = [
    "192.0.2.0/24",
    "198.51.100.0/24",
    "10.0.0.0/24",
    "2001:db8::/32",
];
const HOSTS: &str = "192.0.2.30 target-one.lab\n2001:db8::10 target-one.lab\n\
                     192.0.2.40 db.example.com\n";

#[test]
fn each_example_does_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let files = fs::read_dir(&folder).expect("the examples are there");
    let files: BTreeSet<String> = files
        .map(|file| file.expect("readable").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .map(|path| {
            path.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let known = EXAMPLES.iter().map(|example| example.0.to_owned());
    assert_eq!(
        files,
        known.collect(),
        "files, and what is known of them here"
    );

    Lab::test(&[], |lab| {
        let addresses = ADDRESSES.map(|address| format!("addr add {address} dev {DEVICE}"));
        lab.peer.ip_batch("", &addresses);
        let routes = NETWORKS.map(|network| format!("route add {network} dev {DEVICE}"));
        lab.client.ip_batch("", &routes);
        lab.write_etc("hosts", HOSTS);
        let _echo = EchoServer::start(&lab.peer, 5432, 1);
        let _accept = TcpServer::start(&lab.peer, 8000, 1);
        lab.is_the_users();
        for Example(name, words, check) in EXAMPLES {
            println!("{name}");
            let file = folder.join(format!("{name}.yaml"));
            lab.netchaos(&format!("apply -f {}", file.display())).ok();
            let qdiscs = lab.client.tc("qdisc show");
            for word in words {
                assert!(qdiscs.contains(word), "{name}: no {word:?} in {qdiscs}");
            }
            let has_any = ["netem", "tbf"].iter().any(|kind| qdiscs.contains(kind));
            assert_eq!(has_any, !words.is_empty(), "{name}: {qdiscs}");
            check(lab);
            lab.netchaos("remove --all --now").ok();
        }
    });
}

/// Small datagrams, so many and so many a second, to a port where nothing answers.
fn flow(lab: &Lab, to: &str, count: u64, rate: u32) -> Flowed {
    let options = Options {
        copies: 2,
        ..Options::new(count, Some(rate))
    };
    Flow::start(&lab.client, &lab.peer, peer(to), options).finish(ms(400))
}

/// When the last of so many datagrams of 1000 bytes comes that were sent at once.
fn burst(lab: &Lab, to: &str, count: u64) -> Duration {
    let options = Options {
        bytes: 958,
        ..Options::new(count, None)
    };
    let flow = Flow::start(&lab.client, &lab.peer, peer(to), options).finish(ms(500));
    flow.assert_whole("a burst");
    *flow.arrivals().last().expect("it is whole")
}

fn all_traffic_except(lab: &Lab) {
    let slow = flow(lab, "192.0.2.10:6000", 500, 500);
    assert!(
        slow.shortest() >= ms(120) && slow.median() < ms(250),
        "{slow}"
    );
    let chain = Chain::correlated(0.02, 0.25);
    assert_share("all traffic", slow.lost().len() as u64, 500, &chain);
    for spared in ["198.51.100.5:6000", "192.0.2.53:53"] {
        let flow = flow(lab, spared, 50, 500);
        flow.assert_whole(spared);
        assert!(flow.shortest() < ms(40), "{spared}: {flow}");
    }
    lab.assert_delays("all traffic", &[("arp 10.77.0.2", 0), ("198.51.100.5", 0)]);
}

fn bandwidth(lab: &Lab) {
    // 20 of 110 kB go at once.
    let last = burst(lab, "192.0.2.10:6000", 110);
    assert!(last >= ms(85) && last < ms(300), "{last:?}");
}

fn both_directions(lab: &Lab) {
    lab.assert_delays(
        "both directions",
        &[
            ("192.0.2.10", 100),
            ("2001:db8::10", 100),
            ("192.0.2.20", 0),
        ],
    );
}

fn corrupt(lab: &Lab) {
    // A few wrong bits are in what no sum covers.
    let missing = flow(lab, "192.0.2.10:6000", 3000, 3000).lost().len() as u64;
    let least = *Chain::random(0.02 * 0.7).accepted(3000).start();
    let most = *Chain::random(0.02).accepted(3000).end();
    assert!((least..=most).contains(&missing), "{missing} of 3000");
}

fn external_targets(lab: &Lab) {
    lab.assert_delays(
        "a name of both families",
        &[("192.0.2.30", 49), ("2001:db8::10", 49), ("192.0.2.10", 0)],
    );
}

fn delay_jitter(lab: &Lab) {
    let flow = flow(lab, "192.0.2.40:5433", 50, 500);
    assert!(flow.median() < ms(40), "another port: {flow}");
    lab.assert_delays(
        "other ports",
        &[("192.0.2.40:7001", 0), ("192.0.2.20:5432", 0)],
    );
    let to = peer("192.0.2.40:5432");
    let trips = lab
        .client
        .run(|| netchaos_tests::probe::udp_round_trips(to, 15));
    // Half of what a bell around 80 ms gives is more.
    assert!(
        trips.longest() >= ms(80) && trips.shortest() < ms(140),
        "{trips}"
    );
}

fn delay_native(lab: &Lab) {
    lab.assert_delays(
        "native",
        &[
            ("10.0.0.20:5432", 290),
            ("[2001:db8:1::7]:5432", 290),
            ("10.0.0.53:5432", 200),
            ("10.0.0.20:7001", 200),
            ("ping 10.0.0.20", 200),
            ("192.0.2.1:5432", 0),
        ],
    );
}

fn duplicate(lab: &Lab) {
    let copies = flow(lab, "192.0.2.10:6000", 1000, 1000).copies();
    assert!(copies.iter().all(|copies| matches!(copies, 1 | 2)));
    let doubled = copies.iter().filter(|copies| **copies == 2).count();
    assert_share("duplicates", doubled as u64, 1000, &Chain::random(0.2));
}

fn loss(lab: &Lab) {
    let lost = flow(lab, "192.0.2.20:6000", 2000, 2000).lost();
    assert_share("loss", lost.len() as u64, 2000, &Chain::random(0.1));
}

fn loss_burst(lab: &Lab) {
    let lost = flow(lab, "192.0.2.20:6000", 6000, 4000).lost();
    let chain = Chain {
        worsen: 0.01,
        recover: 0.1,
        bad: 0.5,
        good: 0.0,
    };
    assert_share("loss in bursts", lost.len() as u64, 6000, &chain);
}

fn partition(lab: &Lab) {
    lab.client.run(|| assert_silent(peer("192.0.2.10")));
    lab.assert_delays("others", &[("192.0.2.20", 0), ("tcp 2001:db8::10", 0)]);
}

fn ports_and_protocol(lab: &Lab) {
    // One in a hundred is lost and sent again after a second; of five handshakes one is not.
    for to in ["192.0.2.10:8000", "[2001:db8::10]:8000"] {
        let handshakes = lab.client.run(|| tcp_connects(peer(to), 5));
        let shortest = handshakes.shortest();
        assert!((ms(200)..ms(260)).contains(&shortest), "{to}: {handshakes}");
    }
    lab.assert_delays(
        "others",
        &[
            ("tcp 192.0.2.10:7001", 0),
            ("192.0.2.10:7001", 0),
            ("ping 192.0.2.10", 0),
            ("ping 2001:db8::10", 0),
            ("tcp 198.51.100.5:8000", 0),
        ],
    );
}

fn rate(lab: &Lab) {
    // 8 ms for each of 1000 bytes.
    let last = burst(lab, "192.0.2.10:6000", 40);
    assert!(last >= ms(290) && last < ms(500), "{last:?}");
}

fn reorder(lab: &Lab) {
    let flow = flow(lab, "192.0.2.10:6000", 1000, 1000);
    flow.assert_whole("reordered");
    assert!(flow.is_reordered(), "{flow}");
    // A busy machine makes some of them late.
    let ahead = flow
        .delays()
        .iter()
        .filter(|delay| **delay < ms(20))
        .count() as u64;
    let accepted = Chain::random(0.25).accepted(1000);
    assert!(
        ahead <= *accepted.end() && ahead >= accepted.start() / 2,
        "{ahead}: {flow}"
    );
}
