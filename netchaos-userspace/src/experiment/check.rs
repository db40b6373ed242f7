//! What can be wrong with an experiment although each of its values is right.

use super::{
    Experiment, Fault, Invalid, Ports, Rule, Targets,
    units::{check_jitter, check_latency},
};

#[cfg(test)]
mod tests;

/// What a problem is about. Flags and manifests have their own names for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Fault,
    Delay,
    Jitter,
    Reorder,
    Limit,
    Buffer,
    Peakrate,
    Minburst,
    To,
    Ports,
    LocalPorts,
}

impl Part {
    pub const fn flag(self) -> &'static str {
        match self {
            Self::Fault => "FAULT",
            Self::Delay => "--delay",
            Self::Jitter => "--jitter",
            Self::Reorder => "--reorder",
            Self::Limit => "--bandwidth-limit",
            Self::Buffer => "--bandwidth-buffer",
            Self::Peakrate => "--bandwidth-peakrate",
            Self::Minburst => "--bandwidth-minburst",
            Self::To => "--to",
            Self::Ports => "--port",
            Self::LocalPorts => "--local-port",
        }
    }

    /// The path to the field in a native manifest. In a `NetworkChaos` a part of `fault` has the
    /// same one under `spec`.
    pub const fn path(self) -> &'static [&'static str] {
        match self {
            Self::Fault => &["fault"],
            Self::Delay => &["fault", "delay", "latency"],
            Self::Jitter => &["fault", "delay", "jitter"],
            Self::Reorder => &["fault", "reorder"],
            Self::Limit => &["fault", "bandwidth", "limit"],
            Self::Buffer => &["fault", "bandwidth", "buffer"],
            Self::Peakrate => &["fault", "bandwidth", "peakrate"],
            Self::Minburst => &["fault", "bandwidth", "minburst"],
            Self::To => &["to"],
            Self::Ports => &["ports"],
            Self::LocalPorts => &["localPorts"],
        }
    }
}

const FAULTS: &str = "one or more of delay, loss, duplicate, corrupt, rate, bandwidth and \
     partition, and reorder beside delay; 0 percent is none";

impl Fault {
    /// What cannot be, and what it is about.
    pub(super) fn wrong(&self) -> Vec<(Part, Invalid)> {
        let mut wrong = Vec::new();
        if self.is_empty() {
            let invalid = Invalid::field("no fault is given", Some(FAULTS.to_owned()));
            wrong.push((Part::Fault, invalid));
        }
        if let Some(delay) = &self.delay {
            let latency = check_latency(delay.latency).err();
            wrong.extend(latency.map(|invalid| (Part::Delay, invalid)));
            let jitter = check_jitter(delay.jitter).err();
            wrong.extend(jitter.map(|invalid| (Part::Jitter, invalid)));
        } else if self.reorder.is_some() {
            let message = "has nothing to overtake, since nothing is delayed";
            let invalid = Invalid::field(message, Some("a delay beside it".to_owned()));
            wrong.push((Part::Reorder, invalid));
        }
        self.wrong_bandwidth(&mut wrong);
        wrong
    }

    /// By the rules of `tbf_change()` in net/sched/sch_tbf.c that need no device.
    fn wrong_bandwidth(&self, wrong: &mut Vec<(Part, Invalid)>) {
        let Some(bandwidth) = &self.bandwidth else {
            return;
        };
        let sizes = [
            (Part::Limit, Some(bandwidth.limit)),
            (Part::Buffer, Some(bandwidth.buffer)),
            (Part::Minburst, bandwidth.minburst),
        ];
        for (part, _) in sizes.into_iter().filter(|(_, size)| *size == Some(0)) {
            let allowed = "bytes, at least as many as the longest frame of the device has";
            wrong.push((part, Invalid::value("0", "holds nothing", allowed)));
        }
        let needs = |what: &str| Invalid::field("missing", Some(what.to_owned()));
        match (bandwidth.peakrate, bandwidth.minburst) {
            (Some(_), None) => wrong.push((
                Part::Minburst,
                needs("bytes of the bucket for peakrate, at least the longest frame of the device"),
            )),
            (None, Some(_)) => wrong.push((
                Part::Peakrate,
                needs("a rate above that of bandwidth, which minburst goes with"),
            )),
            (Some(peakrate), Some(_)) if peakrate <= bandwidth.rate => wrong.push((
                Part::Peakrate,
                Invalid::value(
                    peakrate.to_string(),
                    "is not above the rate",
                    format!("more than {}", bandwidth.rate),
                ),
            )),
            _ => {}
        }
    }
}

impl Experiment {
    /// What cannot be, and what it is about.
    pub(super) fn wrong(&self) -> Vec<(Part, Invalid)> {
        let mut wrong = self.fault.wrong();
        let Rule {
            protocols,
            ports,
            local_ports,
            ..
        } = &self.rule;
        let without = protocols.iter().find(|protocol| !protocol.has_ports());
        let mut needs_ports = |part, ports: &Ports| {
            let Some(protocol) = without.filter(|_| !ports.are_any()) else {
                return;
            };
            wrong.push((
                part,
                Invalid::value(
                    ports.to_string(),
                    format!("does not go with protocol {protocol}, in which there are no ports"),
                    "ports with the protocols tcp, udp and sctp, or no protocol",
                ),
            ));
        };
        needs_ports(Part::Ports, ports);
        needs_ports(Part::LocalPorts, local_ports);
        if let Targets::List(targets) = &self.targets {
            for target in targets.iter().filter(|target| !target.ports.are_any()) {
                needs_ports(Part::To, &target.ports);
            }
            for target in targets.iter().filter(|target| !target.ports.overlap(ports)) {
                let message = format!("has no port that is in {ports} too, as its packets had to");
                let allowed = "the target's ports, or those for all targets, not both";
                let invalid = Invalid::value(target.to_string(), message, allowed);
                wrong.push((Part::To, invalid));
            }
        }
        wrong
    }
}
