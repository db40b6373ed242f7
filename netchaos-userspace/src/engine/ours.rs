//! How netchaos' own devices and filters are told from everybody else's, by names, addresses and
//! handles alone, so that `heal` needs nothing but netlink.

use crate::kernel::{
    bpf,
    netlink::{Filter, Hook, Link},
};

/// What a device of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// ncA: the macvlan whose root is the prio.
    Upper,
    /// ncB: the dummy under it, or one end of a veth.
    Lower,
    /// The other end of that veth.
    FarEnd,
}

/// Which device of ours: the faults' device by index, the pair, the role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    pub device: u32,
    pub pair: u8,
    pub role: Role,
}

/// Start of our hardware addresses: "NC", which makes them locally administered.
const ADDRESS: [u8; 2] = [0x4e, 0x43];

impl Role {
    const ALL: [Self; 3] = [Self::Upper, Self::Lower, Self::FarEnd];

    const fn letter(self) -> u8 {
        match self {
            Self::Upper => b'a',
            Self::Lower => b'b',
            Self::FarEnd => b'c',
        }
    }

    const fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Upper => &["macvlan"],
            Self::Lower => &["dummy", "veth"],
            Self::FarEnd => &["veth"],
        }
    }
}

impl Own {
    /// `nca2-0`: upper device of the first pair for the device with index 2.
    pub fn name(self) -> String {
        format!(
            "nc{}{}-{}",
            self.role.letter() as char,
            self.device,
            self.pair
        )
    }

    pub const fn address(self) -> [u8; 6] {
        let [_, _, high, low] = self.device.to_be_bytes();
        [
            ADDRESS[0],
            ADDRESS[1],
            self.role.letter(),
            self.pair,
            high,
            low,
        ]
    }

    /// Which of ours a device is; none where it is somebody else's, though its name be like ours.
    pub fn recognise(link: &Link) -> Option<Self> {
        let rest = link.name.strip_prefix("nc")?;
        let role = Role::ALL
            .into_iter()
            .find(|role| rest.as_bytes().first() == Some(&role.letter()))?;
        let (device, pair) = rest.get(1..)?.split_once('-')?;
        let own = Self {
            device: device.parse().ok()?,
            pair: pair.parse().ok()?,
            role,
        };
        let is_ours = link.name == own.name()
            && link.address == own.address()
            && role.kinds().contains(&link.kind.as_str());
        is_ours.then_some(own)
    }
}

/// Whether the faults' device has got its clsact from us. It is kept twice: in the handle of our
/// filter there and, before there is a filter, in the alias of the pair's lower device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clsact {
    Ours,
    Found,
}

impl Clsact {
    /// The alias says in words whose device it is, for whoever meets it in `ip link`.
    pub fn alias(self, device: &str) -> String {
        let clsact = match self {
            Self::Ours => "made",
            Self::Found => "found",
        };
        format!("netchaos: faults of {device}, clsact {clsact}; netchaos heal removes this")
    }

    pub const fn handle(self) -> u32 {
        match self {
            Self::Ours => bpf::HANDLE_WITH_CLSACT,
            Self::Found => bpf::HANDLE,
        }
    }

    pub fn of_alias(alias: Option<&str>) -> Self {
        match alias {
            Some(alias) if alias.contains("clsact made") => Self::Ours,
            _ => Self::Found,
        }
    }
}

/// Where one of our programs sits on the faults' device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seat {
    /// At tcx, the program's id.
    Tcx(u32),
    /// On a kernel that has no tcx.
    Clsact(Filter),
}

impl Seat {
    /// The program's id.
    pub fn program(&self) -> Option<u32> {
        match self {
            Self::Tcx(id) => Some(*id),
            Self::Clsact(filter) => filter.program.as_ref().map(|(_, id)| *id),
        }
    }
}

/// The seats of our programs on the faults' device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seats {
    pub egress: Option<Seat>,
    pub ingress: Option<Seat>,
    /// Programs of others in front of ours, in words.
    pub before: Vec<(Hook, String)>,
}

impl Seats {
    pub const fn at(&self, hook: Hook) -> Option<&Seat> {
        match hook {
            Hook::Egress => self.egress.as_ref(),
            Hook::Ingress => self.ingress.as_ref(),
        }
    }

    /// What keeps packets from the program at a hook if it ends the chain, in words.
    pub fn in_front(&self, hook: Hook, device: &str) -> Option<String> {
        let all = self.before.iter().filter(|(at, _)| *at == hook);
        let names: Vec<&str> = all.map(|(_, name)| name.as_str()).collect();
        (!names.is_empty()).then(|| {
            format!(
                "{} in front of the classifier at {hook} of {device}",
                names.join(", ")
            )
        })
    }

    pub fn set(&mut self, hook: Hook, seat: Option<Seat>) {
        match hook {
            Hook::Egress => self.egress = seat,
            Hook::Ingress => self.ingress = seat,
        }
    }
}

/// Whether a filter on clsact is ours.
pub fn is_own_filter(filter: &Filter) -> bool {
    [bpf::HANDLE, bpf::HANDLE_WITH_CLSACT].contains(&filter.handle)
        && filter.preference == bpf::PREFERENCE
        && matches!(
            &filter.program,
            Some((name, _)) if [bpf::EGRESS, bpf::INGRESS, bpf::BACK].contains(&name.as_str())
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(own: Own, kind: &str) -> Link {
        Link {
            index: 7,
            name: own.name(),
            kind: kind.into(),
            address: own.address().to_vec(),
            alias: None,
            is_up: true,
            is_loopback: false,
            is_layer3: false,
            mtu: 1500,
            gso_max_segs: 65_535,
        }
    }

    #[test]
    fn our_devices_are_recognised_and_their_names_fit() {
        for (role, kind) in [
            (Role::Upper, "macvlan"),
            (Role::Lower, "dummy"),
            (Role::Lower, "veth"),
            (Role::FarEnd, "veth"),
        ] {
            let own = Own {
                device: i32::MAX as u32,
                pair: 4,
                role,
            };
            assert!(own.name().len() <= 15, "IFNAMSIZ");
            assert_eq!(Own::recognise(&link(own, kind)), Some(own));
        }
    }

    #[test]
    fn a_device_with_a_name_like_ours_is_not_ours() {
        let own = Own {
            device: 2,
            pair: 0,
            role: Role::Upper,
        };
        let mut planted = link(own, "macvlan");
        planted.address[5] ^= 1;
        assert_eq!(Own::recognise(&planted), None);
        assert_eq!(Own::recognise(&link(own, "dummy")), None);
        for name in ["nca2-", "nca-0", "nca02-0", "ncx2-0", "nc", "nca2-0x"] {
            let mut other = link(own, "macvlan");
            other.name = name.into();
            assert_eq!(Own::recognise(&other), None, "{name}");
        }
    }

    #[test]
    fn the_alias_remembers_whose_clsact_it_is() {
        for clsact in [Clsact::Ours, Clsact::Found] {
            assert_eq!(Clsact::of_alias(Some(&clsact.alias("eth0"))), clsact);
        }
        assert_eq!(Clsact::of_alias(None), Clsact::Found);
    }
}
