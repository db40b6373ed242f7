//! Somebody else in the namespace, who has things of his own there and is in netchaos' way. What
//! is his has to be there in the end.

use std::os::fd::OwnedFd;

use netchaos::kernel::{bpf::tcx, netlink::Hook};
use nix::net::if_::if_nametoindex;

use crate::{
    command::run,
    foreign::{self, Tcx, Verdict},
    lab::{DEVICE, Lab},
    lost::detach_from_tcx,
    random::Random,
};

/// What he has done so far and takes back in the end.
#[derive(Default)]
pub struct Rival {
    clsact: bool,
    filters: Vec<(&'static str, u16)>,
    qdisc: bool,
    programs: Vec<(OwnedFd, Hook)>,
    pub acts: usize,
}

/// What an act does to netchaos' experiments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Nothing at all.
    None,
    /// Some do nothing until they are repaired.
    Lost,
}

impl Rival {
    /// Does something, and says what.
    ///
    /// # Panics
    /// When he cannot do with his own things as he likes.
    pub fn act(&mut self, lab: &Lab, random: &mut Random) -> (String, Harm) {
        self.acts += 1;
        match random.below(8) {
            0 if self.filters.len() < 4 => self.add_filter(lab, random),
            1 => {
                let limit = 100 + random.below(400);
                let line = format!("qdisc replace dev {DEVICE} root handle 7: pfifo limit {limit}");
                lab.client.tc(&line);
                self.qdisc = true;
                (line, Harm::None)
            }
            2 if self.programs.len() < 4 => self.attach(lab, random),
            3 => (ours(lab, random, "link del"), Harm::Lost),
            4 => {
                let hook = random.pick(&Hook::BOTH);
                lab.client.run(|| detach_from_tcx(hook));
                (format!("netchaos' program leaves {hook:?}"), Harm::Lost)
            }
            5 => (ours(lab, random, "link set down"), Harm::Lost),
            6 => {
                let other = "renamed";
                // Only a device that is down has been renamed before Linux 6.2.
                let lines = [
                    format!("link set {DEVICE} down"),
                    format!("link set {DEVICE} name {other}"),
                    format!("link set {other} up"),
                    format!("link set {other} down"),
                    format!("link set {other} name {DEVICE}"),
                    format!("link set {DEVICE} up"),
                ];
                lab.client.ip_batch("", &lines);
                (
                    "the device goes down, gets another name, and all is back".into(),
                    Harm::None,
                )
            }
            _ => (ours(lab, random, "link set up"), Harm::None),
        }
    }

    fn add_filter(&mut self, lab: &Lab, random: &mut Random) -> (String, Harm) {
        let mut lines = Vec::new();
        if !self.clsact {
            lines.push(format!("qdisc add dev {DEVICE} clsact"));
            self.clsact = true;
        }
        let hook = random.pick(&["ingress", "egress"]);
        let preference = 50 + self.filters.len() as u16;
        let line = format!(
            "filter add dev {DEVICE} {hook} pref {preference} protocol ip u32 match u32 0 0 flowid 1:1"
        );
        lines.push(line.clone());
        lab.client.tc_batch(&lines);
        self.filters.push((hook, preference));
        (line, Harm::None)
    }

    fn attach(&mut self, lab: &Lab, random: &mut Random) -> (String, Harm) {
        let program = foreign::load(Verdict::GoesOn);
        let (hook, kind) =
            random.pick(&[(Hook::Ingress, Tcx::Ingress), (Hook::Egress, Tcx::Egress)]);
        let is_first = random.once_in(2);
        let attached = lab.client.run(|| match is_first {
            true => foreign::attach_first(&program, kind),
            false => foreign::attach(&program, kind),
        });
        if attached {
            self.programs.push((program, hook));
        }
        (
            format!("a program at {hook:?}, in front: {is_first}"),
            Harm::None,
        )
    }

    /// Takes back what he has done: all of it is still there, and of programs nothing else.
    ///
    /// # Panics
    /// When something of his has gone.
    pub fn leave(&mut self, lab: &Lab) {
        lab.client.run(|| {
            let index = if_nametoindex(DEVICE).expect("the device is there");
            for hook in Hook::BOTH {
                let there = tcx::programs(index, hook).expect("root can ask");
                let own = self.programs.iter().filter(|(_, at)| *at == hook).count();
                assert_eq!(there.iter().flatten().count(), own, "programs at {hook:?}");
                for id in there.into_iter().flatten() {
                    tcx::detach(id, index, hook).expect("root can detach it");
                }
            }
        });
        self.programs.clear();
        let mut lines: Vec<String> = self
            .filters
            .drain(..)
            .map(|(hook, preference)| format!("filter del dev {DEVICE} {hook} pref {preference}"))
            .collect();
        if std::mem::take(&mut self.clsact) {
            lines.push(format!("qdisc del dev {DEVICE} clsact"));
        }
        if std::mem::take(&mut self.qdisc) {
            lines.push(format!("qdisc del dev {DEVICE} root handle 7:"));
        }
        if !lines.is_empty() {
            lab.client.tc_batch(&lines);
        }
    }
}

/// Does something to one of netchaos' devices, if there is any.
fn ours(lab: &Lab, random: &mut Random, what: &str) -> String {
    let devices = lab.devices_of_netchaos();
    if devices.is_empty() {
        return format!("no device of netchaos to {what}");
    }
    let device = &devices[random.below(devices.len())];
    let line = match what.rsplit_once(' ') {
        Some(("link set", state)) => format!("link set {device} {state}"),
        _ => format!("{what} {device}"),
    };
    // netchaos may just be taking it away itself.
    let words: Vec<&str> = line.split(' ').collect();
    run("ip", &[&["-n", lab.client.name()], &*words].concat());
    line
}
