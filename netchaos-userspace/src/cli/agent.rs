//! `netchaos agent`.

use std::time::Duration;

use super::{Failure, Shape, args};
use crate::{
    agent,
    experiment::{Invalid, Problem, units},
};

/// A shorter lease could run out between two renewals on a busy node.
const SHORTEST_LEASE: Duration = Duration::from_secs(10);

pub fn agent(agent: args::Agent) -> Result<(), Failure> {
    let lease = units::parse_lifetime(&agent.lease).and_then(|lease| {
        let too_short = || Invalid::value(&agent.lease, "is too short", "10s or more");
        (lease >= SHORTEST_LEASE)
            .then_some(lease)
            .ok_or_else(too_short)
    });
    let settings = agent::Settings {
        node: agent.node,
        namespace: agent.namespace,
        group: agent.group,
        lease: lease.map_err(|invalid| Failure::usage(Problem::of("--lease", invalid).into()))?,
        listen: agent.listen,
        socket: agent.socket,
        socket_group: agent.socket_group,
        allow_host_network: agent.allow_host_network,
    };
    agent::run(settings).map_err(|error| Failure::new(Shape::Refused, error.to_string()))
}
