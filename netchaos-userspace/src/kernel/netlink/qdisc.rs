//! Qdiscs.

use bytes::Bytes;
use netlink_packet_core::{DefaultNla, Nla as _};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcHandle, TcHeader, TcMessage, TcOption, TcStats2},
};

use super::{Error, Mode, Netlink, encode};
use crate::qdisc::{ClassId, Netem, Prio, Tbf};

const TCA_OPTIONS: u16 = 2;

/// The parameters of a kind of qdisc.
pub trait Parameters {
    /// As tc names it.
    const KIND: &str;

    /// TCA_OPTIONS, as the kernel takes them.
    fn encode(&self) -> Bytes;
}

impl Parameters for Prio {
    const KIND: &str = "prio";

    fn encode(&self) -> Bytes {
        encode::prio(self)
    }
}

impl Parameters for Netem {
    const KIND: &str = "netem";

    fn encode(&self) -> Bytes {
        encode::netem(self)
    }
}

impl Parameters for Tbf {
    const KIND: &str = "tbf";

    fn encode(&self) -> Bytes {
        encode::tbf(self)
    }
}

/// What a qdisc has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QdiscStatistics {
    /// Segments and bytes that left it.
    pub packets: u64,
    pub bytes: u64,
    /// Packets it did not let through, whatever the reason; a GSO packet counts once.
    pub drops: u64,
    /// Times that it had to wait before it could go on.
    pub overlimits: u64,
    /// Packets and bytes that it holds now, its children's among them.
    pub queued: u32,
    pub backlog: u32,
}

/// A qdisc as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qdisc {
    pub ifindex: u32,
    pub kind: String,
    pub handle: ClassId,
    pub parent: ClassId,
    options: Vec<u8>,
    pub statistics: QdiscStatistics,
}

impl Qdisc {
    /// Its options, where it is a netem.
    pub fn netem(&self) -> Option<Netem> {
        (self.kind == "netem").then(|| encode::read_netem(&self.options))?
    }

    /// Its options, where it is a tbf; its buckets are rounded, see [`Tbf::reads_as`].
    pub fn tbf(&self) -> Option<Tbf> {
        (self.kind == "tbf").then(|| encode::read_tbf(&self.options))?
    }

    /// Its options, where it is a prio.
    pub fn prio(&self) -> Option<Prio> {
        (self.kind == "prio").then(|| encode::read_prio(&self.options))?
    }

    pub(super) fn of_options(kind: &str, options: &[u8]) -> Self {
        Self {
            ifindex: 0,
            kind: kind.to_owned(),
            handle: ClassId(0),
            parent: ClassId(0),
            options: options.to_owned(),
            statistics: QdiscStatistics::default(),
        }
    }

    pub(super) fn from_message(message: TcMessage) -> Self {
        let mut qdisc = Self {
            ifindex: message.header.index as u32,
            handle: ClassId(message.header.handle.into()),
            parent: ClassId(message.header.parent.into()),
            ..Self::of_options("", &[])
        };
        for attribute in message.attributes {
            match attribute {
                TcAttribute::Kind(kind) => qdisc.kind = kind,
                TcAttribute::Options(options) => qdisc.options = raw(&options),
                TcAttribute::Stats2(parts) => qdisc.statistics.take(&parts),
                _ => {}
            }
        }
        qdisc
    }
}

/// The bytes of options that the crate does not know: it keeps them whole as one attribute.
fn raw(options: &[TcOption]) -> Vec<u8> {
    match options {
        [TcOption::Other(whole)] => {
            let mut bytes = vec![0; whole.value_len()];
            whole.emit_value(&mut bytes);
            bytes
        }
        _ => Vec::new(),
    }
}

impl QdiscStatistics {
    fn take(&mut self, parts: &[TcStats2]) {
        for part in parts {
            match part {
                TcStats2::Basic(basic) => {
                    self.packets = basic.packets.into();
                    self.bytes = basic.bytes;
                }
                TcStats2::Queue(queue) => {
                    self.drops = queue.drops.into();
                    self.overlimits = queue.overlimits.into();
                    self.queued = queue.qlen;
                    self.backlog = queue.backlog;
                }
                _ => {}
            }
        }
    }
}

impl Netlink {
    /// The qdiscs of all devices of the namespace.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub async fn qdiscs(&self) -> Result<Vec<Qdisc>, Error> {
        let message = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        let answers = self.dump(|| "list the qdiscs".into(), message).await?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewQueueDiscipline(message) => {
                    Some(Qdisc::from_message(message))
                }
                _ => None,
            })
            .collect())
    }

    /// Puts a qdisc at the root of a device, into a class of a prio, or into the class of a netem
    /// (minor 1 of its handle), which gets packets when their time has come.
    ///
    /// # Errors
    /// The kernel's refusal; [`Error::is_unknown_kind`] where it has no such qdisc,
    /// [`Error::is_duplicate_rule`] where a netem that duplicates has to be alone on its device.
    /// EINVAL of a tbf means a bucket of 0 bytes, or a peak rate that is not above the rate.
    pub async fn add_qdisc<P: Parameters>(
        &self,
        link: Device<'_>,
        parent: ClassId,
        handle: ClassId,
        parameters: &P,
    ) -> Result<(), Error> {
        let place = (P::KIND, handle, parent);
        self.qdisc(Mode::Create, link, place, Some(parameters.encode()))
            .await
    }

    /// Changes a qdisc in place: the packets that it holds stay, in a netem with the times that they
    /// have. A netem's distribution stays too, where the new parameters have none; the buckets of a
    /// tbf are full again.
    ///
    /// # Errors
    /// As for [`Self::add_qdisc`]; by [`Error::is_duplicate_rule`] it has done half of the change.
    pub async fn change_qdisc<P: Parameters>(
        &self,
        link: Device<'_>,
        parent: ClassId,
        handle: ClassId,
        parameters: &P,
    ) -> Result<(), Error> {
        let place = (P::KIND, handle, parent);
        self.qdisc(Mode::Change, link, place, Some(parameters.encode()))
            .await
    }

    /// Adds clsact (tc(8)), which only carries filters. False where there is one already.
    ///
    /// # Errors
    /// The kernel's refusal; [`Error::is_unknown_kind`] where it has no sch_ingress.
    pub async fn add_clsact(&self, link: Device<'_>) -> Result<bool, Error> {
        let handle = ClassId::new(0xffff, 0);
        match self
            .qdisc(
                Mode::Create,
                link,
                ("clsact", handle, ClassId::CLSACT),
                None,
            )
            .await
        {
            Err(error) if error.errno() == libc::EEXIST => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Deletes a qdisc and the packets in it. One that is gone already is fine.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub async fn delete_qdisc(&self, link: Device<'_>, qdisc: &Qdisc) -> Result<(), Error> {
        let place = (qdisc.kind.as_str(), qdisc.handle, qdisc.parent);
        match self.qdisc(Mode::Delete, link, place, None).await {
            // No such class, no such qdisc, no such device.
            Err(error) if matches!(error.errno(), libc::ENOENT | libc::ENODEV | libc::EINVAL) => {
                Ok(())
            }
            other => other,
        }
    }

    async fn qdisc(
        &self,
        mode: Mode,
        link: Device<'_>,
        (kind, handle, parent): (&str, ClassId, ClassId),
        options: Option<Bytes>,
    ) -> Result<(), Error> {
        let header = TcHeader {
            index: link.index as i32,
            handle: TcHandle::from(handle.0),
            parent: TcHandle::from(parent.0),
            ..Default::default()
        };
        let mut attributes = vec![TcAttribute::Kind(kind.into())];
        attributes.extend(
            options.map(|bytes| TcAttribute::Other(DefaultNla::new(TCA_OPTIONS, bytes.to_vec()))),
        );
        let message = TcMessage::from_parts(header, attributes);
        let (verb, message) = match mode {
            Mode::Create => ("add", RouteNetlinkMessage::NewQueueDiscipline(message)),
            Mode::Change => ("change", RouteNetlinkMessage::NewQueueDiscipline(message)),
            Mode::Delete => ("delete", RouteNetlinkMessage::DelQueueDiscipline(message)),
        };
        let what = || {
            format!(
                "{verb} the qdisc {kind} {handle} on {} at {parent}",
                link.name
            )
        };
        self.send(what, message, mode).await
    }
}

/// A device as a request names it: the index counts, the name is for the error's text.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    pub index: u32,
    pub name: &'a str,
}
