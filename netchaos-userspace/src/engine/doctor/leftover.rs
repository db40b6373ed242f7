//! What lies about in a place, whoever has left it there.

use serde::Serialize;

use super::foreign::{self, Finding, Node};
use crate::{
    engine::{Session, error::Error, ours::Own},
    kernel::{
        iptables,
        netlink::{
            Link, Qdisc,
            netfilter::{self, Set},
        },
    },
};

pub(super) const NETCHAOS: &str = "netchaos";

/// Something that lies about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
    /// Who has left it: `netchaos`, or the tool that it looks like.
    pub owner: &'static str,
    /// Nobody else makes it so; otherwise it may be somebody's own.
    pub is_certain: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    pub what: String,
    /// `doctor --clean` takes it away, or finishes it: nothing is at work there.
    pub is_dead: bool,
    /// How to take it away by hand.
    pub undo: String,
}

/// What was found in a place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Looked {
    pub place: String,
    pub leftovers: Vec<Leftover>,
    /// What could not be looked at, and why.
    pub unseen: Vec<String>,
    /// What `--clean` has done.
    pub cleaned: Vec<String>,
}

impl Leftover {
    pub fn is_own(&self) -> bool {
        self.owner == NETCHAOS
    }

    /// In one line, without the undo.
    pub fn words(&self) -> String {
        match &self.device {
            Some(device) => format!("{device}: {}", self.what),
            None => self.what.clone(),
        }
    }

    fn foreign(finding: Finding, device: Option<&Link>, undo: String) -> Self {
        Self {
            owner: finding.owner,
            is_certain: finding.is_certain,
            device: device.map(|device| device.name.clone()),
            what: finding.what,
            is_dead: false,
            undo,
        }
    }
}

impl Session<'_> {
    /// What lies about in the place: of netchaos, what no longer works; of others, what harms the
    /// network, whether it is at work or not.
    ///
    /// # Errors
    /// The kernel's refusal to list devices or qdiscs.
    pub async fn look_around(&self, place: String) -> Result<Looked, Error> {
        let mut looked = Looked {
            place,
            ..Looked::default()
        };
        self.own_leftovers(&mut looked).await?;
        self.foreign_devices(&mut looked).await?;
        self.foreign_filters(&mut looked);
        Ok(looked)
    }

    /// What a command has in front of it to be about this place.
    pub(super) fn enter(&self) -> String {
        let namespace = &self.place.namespace;
        if namespace.is_this_threads() {
            String::new()
        } else {
            format!("nsenter --net={} ", namespace.path().display())
        }
    }

    async fn foreign_devices(&self, looked: &mut Looked) -> Result<(), Error> {
        let links = self.netlink.links().await?;
        let qdiscs = self.netlink.qdiscs().await?;
        let enter = self.enter();
        for link in links.iter().filter(|link| Own::recognise(link).is_none()) {
            let on_it = qdiscs.iter().filter(|qdisc| qdisc.ifindex == link.index);
            let nodes: Vec<Node> = on_it.map(node).collect();
            let name = &link.name;
            if let Some(finding) = foreign::of_qdiscs(&nodes) {
                let undo = format!("{enter}tc qdisc del dev {name} root");
                let left = Leftover::foreign(finding, Some(link), undo);
                looked.leftovers.push(left);
            }
            if let Some(finding) = foreign::of_ifb(name, &link.kind, &nodes) {
                let undo = format!(
                    "{enter}ip link del {name}, and `tc qdisc del dev DEVICE ingress` of the device \
                     whose ingress leads there"
                );
                let left = Leftover::foreign(finding, Some(link), undo);
                looked.leftovers.push(left);
            }
        }
        Ok(())
    }

    fn foreign_filters(&self, looked: &mut Looked) {
        let enter = self.enter();
        let unseen = |what: &str, error: std::io::Error| {
            let takes = if error.kind() == std::io::ErrorKind::PermissionDenied {
                " (needs CAP_NET_ADMIN)"
            } else {
                ""
            };
            format!("{what}{takes}: {error}")
        };
        let of_chains = |program: &str, chains: &mut dyn Iterator<Item = &str>| {
            let finding = foreign::of_chains(chains)?;
            let undo = format!(
                "for both of INPUT and OUTPUT: `{enter}{program} -D INPUT -j CHAOS-INPUT`, then -F and \
                 -X of the chains in it, the inner ones last"
            );
            Some(Leftover::foreign(finding, None, undo))
        };
        match iptables::chains() {
            Ok(chains) => {
                let mut names = chains.iter().map(String::as_str);
                let left = of_chains("iptables-legacy", &mut names);
                looked.leftovers.extend(left);
            }
            Err(error) => looked.unseen.push(unseen("iptables (legacy)", error)),
        }
        match netfilter::chains() {
            Ok(chains) => {
                let in_filter = chains.iter().filter(|chain| chain.table == "filter");
                let mut names = in_filter.map(|chain| chain.name.as_str());
                looked
                    .leftovers
                    .extend(of_chains("iptables-nft", &mut names));
            }
            Err(error) => looked.unseen.push(unseen("iptables (nft)", error)),
        }
        match netfilter::sets() {
            Ok(sets) => looked.leftovers.extend(of_sets(&sets, &enter)),
            Err(error) => looked.unseen.push(unseen("ipset", error)),
        }
    }
}

/// Chaos Mesh's sets, which it never takes away.
fn of_sets(sets: &[Set], enter: &str) -> Option<Leftover> {
    let is_its = |set: &&Set| foreign::is_set_of_chaos_mesh(&set.name, &set.kind);
    let mut its: Vec<&Set> = sets.iter().filter(is_its).collect();
    // Those that hold others first: a set in another one cannot go.
    its.sort_by_key(|set| (set.kind != "list:set", &set.name));
    let names: Vec<&str> = its.iter().map(|set| set.name.as_str()).collect();
    (!names.is_empty()).then(|| Leftover {
        owner: foreign::CHAOS_MESH,
        is_certain: true,
        device: None,
        what: format!("ipsets {}", names.join(", ")),
        is_dead: false,
        undo: format!(
            "after its chains: {enter}ipset destroy NAME, for {}",
            names.join(", ")
        ),
    })
}

fn node(qdisc: &Qdisc) -> Node {
    Node {
        kind: qdisc.kind.clone(),
        handle: qdisc.handle,
        parent: qdisc.parent,
        prio: qdisc.prio(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_that_hold_others_go_first() {
        let set = |name: &str, kind: &str| Set {
            name: name.into(),
            kind: kind.into(),
        };
        let sets = [
            set("cut_net_tgt", "hash:net"),
            set("cut_set_tgt", "list:set"),
            set("mine", "hash:net"),
        ];
        let left = of_sets(&sets, "").unwrap();
        assert_eq!(left.what, "ipsets cut_set_tgt, cut_net_tgt");
        assert_eq!(of_sets(&sets[2..], ""), None);
    }
}
