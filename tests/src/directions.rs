//! The same fault in every direction at once, and what flows each way.

use std::{
    net::{IpAddr, SocketAddr},
    thread,
};

use crate::{
    lab::{CLIENT, CLIENT6, Lab, ms},
    probe::{Flow, Flowed, Options},
};

/// Peers, by the last part of their address, and the direction of the fault at each.
const PEERS: [(u16, Option<&str>); 4] = [
    (2, None),
    (3, Some("to")),
    (4, Some("from")),
    (5, Some("both")),
];

/// The family of the peers' addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    fn peer(self, host: u16) -> IpAddr {
        match self {
            Self::V4 => format!("10.77.0.{host}"),
            Self::V6 => format!("fd77::{host}"),
        }
        .parse()
        .expect("an address")
    }

    fn client(self) -> IpAddr {
        match self {
            Self::V4 => CLIENT.into(),
            Self::V6 => CLIENT6.into(),
        }
    }
}

/// Lays the fault with direction `to`, `from` and `both`, each for a peer of its own, and sends
/// flows in both directions between the client and these and one more peer. What the fault is not
/// aimed at has to arrive whole, in order and at once; what it is aimed at goes to `check`. Takes
/// the faults away again.
///
/// # Panics
/// When a flow is not as it should be.
#[track_caller]
pub fn in_each_direction(
    lab: &Lab,
    fault: &str,
    family: Family,
    options: Options,
    check: impl Fn(&str, &Flowed),
) {
    let options = Options {
        copies: if fault.contains("duplicate") { 2 } else { 1 },
        ..options
    };
    for (host, direction) in PEERS {
        if let Some(direction) = direction {
            let peer = family.peer(host);
            lab.netchaos(&format!(
                "add {direction} {fault} --direction {direction} --to {peer}"
            ))
            .ok();
        }
    }
    let mut flows = Vec::new();
    for (host, direction) in PEERS {
        let (peer, client) = (family.peer(host), family.client());
        let out = SocketAddr::new(peer, 6000);
        let flow = Flow::start(&lab.client, &lab.peer, out, options);
        let harmed = matches!(direction, Some("to" | "both"));
        flows.push((direction, "out", harmed, flow));
        let into = SocketAddr::new(client, 6000 + host);
        let options = Options {
            source: Some(SocketAddr::new(peer, 0)),
            ..options
        };
        let flow = Flow::start(&lab.peer, &lab.client, into, options);
        let harmed = matches!(direction, Some("from" | "both"));
        flows.push((direction, "in", harmed, flow));
    }
    // For all of them at once, and not for each after the other: what is lost does not come.
    let sent_in = options
        .rate
        .map_or(0, |rate| options.count * 1000 / u64::from(rate));
    thread::sleep(ms(sent_in + 500));
    for (direction, way, harmed, flow) in flows {
        let what = format!(
            "{fault}, {family:?}, direction {}: what goes {way}",
            direction.unwrap_or("none")
        );
        let flow = flow.finish(ms(300));
        if harmed {
            check(&what, &flow);
        } else {
            flow.assert_whole(&what);
            flow.assert_in_order(&what);
            assert!(flow.shortest() < ms(30), "{what} is delayed: {flow}");
        }
    }
    lab.netchaos("remove --all").ok();
}
