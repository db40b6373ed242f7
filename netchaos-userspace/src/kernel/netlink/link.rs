//! Devices.

use std::fs;

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{
        AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoMacVlan, InfoVeth,
        LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, MacVlanMode,
    },
};

use super::{Device, Error, Mode, Netlink};

/// A device as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// `dummy`, `macvlan`, `veth` and so on; empty for hardware.
    pub kind: String,
    /// Hardware address, empty where the device has none.
    pub address: Vec<u8>,
    pub alias: Option<String>,
    pub is_up: bool,
    pub is_loopback: bool,
    /// Packets start with the IP header (ARPHRD_NONE and the IP tunnels), not with Ethernet.
    pub is_layer3: bool,
    /// Bytes of the longest packet, link-layer header not counted.
    pub mtu: u32,
    /// Segments of the longest GSO packet that it takes whole; the stack cuts longer ones before
    /// it hands them over.
    pub gso_max_segs: u32,
}

/// A device to be made.
#[derive(Clone, Copy, Debug)]
pub enum NewLink<'a> {
    Dummy,
    /// Mode private: it exchanges packets with its lower device alone.
    Macvlan {
        lower: u32,
    },
    Veth {
        peer: &'a str,
        peer_address: [u8; 6],
    },
}

impl Netlink {
    /// All devices of the namespace.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub async fn links(&self) -> Result<Vec<Link>, Error> {
        let message = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let answers = self.dump(|| "list the devices".into(), message).await?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(message) => Some(Link::from_message(message)),
                _ => None,
            })
            .collect())
    }

    /// Makes a device that is down and has no IPv6 of its own: nothing but what is redirected to
    /// it is to leave through it. `queue` is its `txqueuelen`, in packets.
    ///
    /// # Errors
    /// The kernel's refusal; [`Error::is_unknown_kind`] where it lacks the kind.
    pub async fn add_link(
        &self,
        name: &str,
        kind: NewLink<'_>,
        address: [u8; 6],
        mtu: u32,
        queue: u32,
    ) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.into()),
            LinkAttribute::Address(address.to_vec()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::TxQueueLen(queue),
        ];
        let peer = match kind {
            NewLink::Veth { peer, .. } => Some(peer),
            _ => None,
        };
        let (kind, data) = match kind {
            NewLink::Dummy => (InfoKind::Dummy, None),
            NewLink::Macvlan { lower } => {
                message.attributes.push(LinkAttribute::Link(lower));
                let mode = InfoMacVlan::Mode(MacVlanMode::Private);
                (InfoKind::MacVlan, Some(InfoData::MacVlan(vec![mode])))
            }
            NewLink::Veth { peer, peer_address } => {
                let mut other = LinkMessage::default();
                other.attributes = vec![
                    LinkAttribute::IfName(peer.into()),
                    LinkAttribute::Address(peer_address.to_vec()),
                    LinkAttribute::Mtu(mtu),
                ];
                (InfoKind::Veth, Some(InfoData::Veth(InfoVeth::Peer(other))))
            }
        };
        let mut info = vec![LinkInfo::Kind(kind.clone())];
        info.extend(data.map(LinkInfo::Data));
        message.attributes.push(LinkAttribute::LinkInfo(info));
        let what = || format!("add the {kind} device {name}");
        self.send(what, RouteNetlinkMessage::NewLink(message), Mode::Create)
            .await?;
        for end in [Some(name), peer].into_iter().flatten() {
            self.without_ipv6(end).await?;
        }
        Ok(())
    }

    /// addrgenmode is not taken in the message that makes a device, and after "up" is too late.
    async fn without_ipv6(&self, name: &str) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.into()),
            LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(
                In6AddrGenMode::None,
            )])]),
        ];
        let what = || format!("set addrgenmode of {name}");
        let result = self
            .send(what, RouteNetlinkMessage::SetLink(message), Mode::Change)
            .await;
        // Where /proc/sys is read-only (a container), or IPv6 is not there at all, the device
        // sends some IPv6 chatter, which goes no further than the program behind it.
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
        match result {
            Err(error) if error.errno() == libc::EAFNOSUPPORT => Ok(()),
            other => other,
        }
    }

    /// # Errors
    /// The kernel's refusal.
    pub async fn set_link_up(&self, name: &str) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.into())];
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        let what = || format!("set the device {name} up");
        self.send(what, RouteNetlinkMessage::SetLink(message), Mode::Change)
            .await
    }

    /// # Errors
    /// The kernel's refusal.
    pub async fn set_link_alias(&self, name: &str, alias: &str) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.into()),
            LinkAttribute::IfAlias(alias.into()),
        ];
        let what = || format!("set the alias of {name}");
        self.send(what, RouteNetlinkMessage::SetLink(message), Mode::Change)
            .await
    }

    /// Sets how many segments a GSO packet may have; with 1 the stack cuts each one into the packets
    /// of the wire, behind the device's qdiscs. Before Linux 5.19 a macvlan that is made takes the
    /// number of its lower device, and later takes it again whenever that one's features change.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub async fn set_gso_max_segs(&self, link: Device<'_>, segments: u32) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.attributes = vec![LinkAttribute::GsoMaxSegs(segments)];
        let what = || format!("set gso_max_segs of {} to {segments}", link.name);
        self.send(what, RouteNetlinkMessage::SetLink(message), Mode::Change)
            .await
    }

    /// Deletes a device and with it what stands on it: its qdiscs, its filters, a macvlan. One
    /// that is gone already is fine.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub async fn delete_link(&self, link: &Link) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        let what = || format!("delete the device {}", link.name);
        match self
            .send(what, RouteNetlinkMessage::DelLink(message), Mode::Delete)
            .await
        {
            Err(error) if error.errno() == libc::ENODEV => Ok(()),
            other => other,
        }
    }
}

impl Link {
    pub fn as_device(&self) -> Device<'_> {
        Device {
            index: self.index,
            name: &self.name,
        }
    }

    pub(super) fn from_message(message: LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            kind: String::new(),
            address: Vec::new(),
            alias: None,
            is_up: flags.contains(LinkFlags::Up),
            is_loopback: flags.contains(LinkFlags::Loopback),
            is_layer3: !matches!(
                message.header.link_layer_type,
                LinkLayerType::Ether | LinkLayerType::Loopback
            ),
            mtu: 0,
            gso_max_segs: 0,
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Address(address) => link.address = address,
                LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::GsoMaxSegs(segments) => link.gso_max_segs = segments,
                LinkAttribute::LinkInfo(info) => {
                    for part in info {
                        if let LinkInfo::Kind(kind) = part {
                            link.kind = kind.to_string();
                        }
                    }
                }
                _ => {}
            }
        }
        link
    }
}
