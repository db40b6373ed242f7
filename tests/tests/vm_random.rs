//! Random experiments that overlap at random: the delay of every round trip is the sum of what its
//! experiments ask for, by a model that is a few lines long.

use std::net::{IpAddr, SocketAddr};

use netchaos_tests::{lab::Lab, random::Random, settings::new_seed};
use serde_json::{Value, json};

/// More than how late a round trip may be, so that one experiment too many is seen.
const STEP: u64 = 50;
const ROUNDS: usize = 4;
const EXPERIMENTS: usize = 9;
const WAYS: usize = 20;
/// Local ports from here on, one for each way.
const LOCAL: u16 = 5001;

/// Some addresses, and which ports there; no ports are all.
struct Target {
    address: IpAddr,
    length: u32,
    ports: Vec<(u16, u16)>,
}

struct Experiment {
    name: String,
    delay: u64,
    direction: &'static str,
    /// None is all traffic.
    to: Option<Vec<Target>>,
    except: Vec<Target>,
    ports: Vec<(u16, u16)>,
    local_ports: Vec<(u16, u16)>,
}

/// A round trip from a local port.
struct Way {
    to: SocketAddr,
    from: u16,
}

fn holds(ports: &[(u16, u16)], port: u16) -> bool {
    ports.is_empty()
        || ports
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&port))
}

fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

impl Target {
    fn covers(&self, peer: SocketAddr) -> bool {
        let ((own, whole), (other, width)) = (bits(self.address), bits(peer.ip()));
        // What is behind the prefix does not count; a shift by all bits leaves nothing of them.
        let differs = (own ^ other).checked_shr(whole - self.length).unwrap_or(0);
        whole == width && differs == 0 && holds(&self.ports, peer.port())
    }
}

impl Experiment {
    /// What a round trip takes longer. A packet and its answer have the same peer, and the same
    /// ports at the same ends.
    fn adds(&self, way: &Way) -> u64 {
        let among = |targets: &[Target]| targets.iter().any(|target| target.covers(way.to));
        let is_wanted = self.to.as_deref().is_none_or(among)
            && !among(&self.except)
            && holds(&self.ports, way.to.port())
            && holds(&self.local_ports, way.from);
        let times = if self.direction == "both" { 2 } else { 1 };
        u64::from(is_wanted) * times * self.delay
    }

    fn manifest(&self) -> Value {
        let list = |targets: &[Target]| -> Vec<String> { targets.iter().map(text).collect() };
        let mut manifest = json!({
            "apiVersion": "netchaos/v1",
            "kind": "Experiment",
            "name": self.name,
            "direction": self.direction,
            "fault": { "delay": { "latency": format!("{}ms", self.delay) } },
            "except": list(&self.except),
        });
        match &self.to {
            Some(targets) => manifest["to"] = list(targets).into(),
            None => manifest["allTraffic"] = true.into(),
        }
        for (field, ports) in [("ports", &self.ports), ("localPorts", &self.local_ports)] {
            if !ports.is_empty() {
                manifest[field] = ports_text(ports).into();
            }
        }
        manifest
    }
}

fn ports_text(ports: &[(u16, u16)]) -> String {
    let range = |(first, last): &(u16, u16)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    };
    ports.iter().map(range).collect::<Vec<_>>().join(",")
}

fn text(target: &Target) -> String {
    let Target {
        address,
        length,
        ports,
    } = target;
    let whole = bits(*address).1;
    let net = if *length == whole {
        address.to_string()
    } else {
        format!("{address}/{length}")
    };
    match (ports.is_empty(), address) {
        (true, _) => net,
        (false, IpAddr::V4(_)) => format!("{net}:{}", ports_text(ports)),
        (false, IpAddr::V6(_)) => format!("[{net}]:{}", ports_text(ports)),
    }
}

fn address(random: &mut Random) -> IpAddr {
    let host = 2 + random.below(8);
    let text = if random.once_in(2) {
        format!("10.77.0.{host}")
    } else {
        format!("fd77::{host}")
    };
    text.parse().expect("an address")
}

/// One or two ranges from `first` on, close enough to `first` to be met.
fn ports(random: &mut Random, first: u16, count: usize) -> Vec<(u16, u16)> {
    let mut range = || {
        let low = first + random.below(count) as u16;
        (low, low + random.below(count / 2) as u16)
    };
    let one = range();
    let two = range();
    // Neither of them is inside the other: their text is one that people write, too.
    if two.0 > one.1 + 1 {
        vec![one, two]
    } else {
        vec![one]
    }
}

/// Ports of its own only where there are none for all targets: those that go with no packet are
/// refused.
fn target(random: &mut Random, may_have_ports: bool) -> Target {
    let address = address(random);
    let (bits, whole) = bits(address);
    let length = whole - random.pick(&[0, 0, 0, 1, 2, 3, 8, 20]);
    let kept = bits >> (whole - length) << (whole - length);
    let address = match address {
        IpAddr::V4(_) => IpAddr::V4((kept as u32).into()),
        IpAddr::V6(_) => IpAddr::V6(kept.into()),
    };
    let ports = if random.once_in(3) && may_have_ports {
        ports(random, 7001, 4)
    } else {
        Vec::new()
    };
    Target {
        address,
        length,
        ports,
    }
}

fn experiment(random: &mut Random, number: usize) -> Experiment {
    let ports_of = |random: &mut Random, first, count| match random.once_in(5) {
        true => ports(random, first, count),
        false => Vec::new(),
    };
    let (ports, local_ports) = (ports_of(random, 7001, 4), ports_of(random, LOCAL, WAYS));
    let targets = |random: &mut Random, least: usize, with_ports: bool| -> Vec<Target> {
        let count = least + random.below(3);
        (0..count).map(|_| target(random, with_ports)).collect()
    };
    let to = targets(random, 1, ports.is_empty());
    Experiment {
        name: format!("e{number}"),
        delay: STEP * (1 + random.below(2) as u64),
        direction: random.pick(&["to", "to", "from", "both"]),
        to: (!random.once_in(5)).then_some(to),
        except: targets(random, 0, true),
        ports,
        local_ports,
    }
}

fn check(lab: &Lab, what: &str, experiments: &[Experiment], ways: &[Way]) {
    let expected: Vec<(String, u64)> = ways
        .iter()
        .map(|way| {
            let sum = experiments
                .iter()
                .map(|experiment| experiment.adds(way))
                .sum();
            (format!("{} from {}", way.to, way.from), sum)
        })
        .collect();
    lab.assert_delays(what, &expected);
    let list = lab.netchaos("list -o json").ok().json();
    let list = list.as_array().expect("an array");
    assert_eq!(list.len(), experiments.len(), "{what}");
    for (listed, experiment) in list.iter().zip(experiments) {
        assert_eq!(listed["name"], *experiment.name, "{what}");
        let hits = ["to", "from"].map(|way| listed[way]["packets"].as_u64());
        let is_hit = hits.into_iter().flatten().sum::<u64>() > 0;
        let should_be = ways.iter().any(|way| experiment.adds(way) > 0);
        assert_eq!(is_hit, should_be, "{what}: {listed:#}");
    }
}

#[test]
fn the_delay_of_every_packet_is_the_sum_of_its_experiments() {
    Lab::test(&[], |lab| {
        let seed = new_seed();
        let random = &mut Random(seed);
        for round in 0..ROUNDS {
            let mut experiments: Vec<Experiment> = (0..EXPERIMENTS)
                .map(|number| experiment(random, number))
                .collect();
            let ways: Vec<Way> = (0..WAYS as u16)
                .map(|number| Way {
                    to: SocketAddr::new(address(random), 7001 + random.below(5) as u16),
                    from: LOCAL + number,
                })
                .collect();
            let manifests: Vec<String> = experiments
                .iter()
                .map(|experiment| experiment.manifest().to_string())
                .collect();
            let manifests = manifests.join("\n---\n");
            let what = format!("seed {seed}, round {round}:\n{manifests}");
            lab.netchaos_with_input("apply -f -", &manifests).ok();
            check(lab, &what, &experiments, &ways);
            let gone = [random.below(EXPERIMENTS), random.below(EXPERIMENTS - 1)]
                .map(|number| experiments.remove(number.min(experiments.len() - 1)).name);
            lab.netchaos(&format!("remove {}", gone.join(" "))).ok();
            check(
                lab,
                &format!("without {gone:?}: {what}"),
                &experiments,
                &ways,
            );
            lab.netchaos("remove --all").ok();
            lab.assert_nothing_left();
        }
    });
}
