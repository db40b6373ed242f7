//! Filters on clsact, which classifiers are attached as.

use std::fmt;

use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcHeader, TcMessage, TcOption},
};

use super::{Device, Error, Mode, Netlink};

/// Where on clsact a filter sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Ingress,
    Egress,
}

impl Hook {
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    const fn parent(self) -> TcHandle {
        TcHandle {
            major: 0xffff,
            minor: match self {
                Self::Ingress => TcHandle::MIN_INGRESS,
                Self::Egress => TcHandle::MIN_EGRESS,
            },
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// A filter as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub hook: Hook,
    /// `pref` of tc(8): the lowest comes first.
    pub preference: u16,
    /// EtherType, network order.
    protocol: u16,
    pub handle: u32,
    pub kind: String,
    /// Name and id of a bpf filter's program.
    pub program: Option<(String, u32)>,
}

impl Netlink {
    /// The filters of a device's clsact; none where it has no clsact.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub async fn filters(&self, link: Device<'_>) -> Result<Vec<Filter>, Error> {
        let mut filters = Vec::new();
        for hook in Hook::BOTH {
            let mut message = TcMessage::with_index(link.index as i32);
            message.header.parent = hook.parent();
            let message = RouteNetlinkMessage::GetTrafficFilter(message);
            let what = || format!("list the filters of {}", link.name);
            let answers = self.dump(what, message).await?;
            filters.extend(answers.into_iter().filter_map(|answer| match answer {
                RouteNetlinkMessage::NewTrafficFilter(message) => {
                    Filter::from_message(hook, message)
                }
                _ => None,
            }));
        }
        Ok(filters)
    }

    /// Deletes a filter. One that is gone already is fine.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub async fn delete_filter(&self, link: Device<'_>, filter: &Filter) -> Result<(), Error> {
        let header = TcHeader {
            index: link.index as i32,
            handle: TcHandle::from(filter.handle),
            parent: filter.hook.parent(),
            info: u32::from(filter.preference) << 16 | u32::from(filter.protocol),
            ..Default::default()
        };
        let attributes = vec![TcAttribute::Kind(filter.kind.clone())];
        let message = TcMessage::from_parts(header, attributes);
        let what = || format!("delete the filter {} of {}", filter.describe(), link.name);
        match self
            .send(
                what,
                RouteNetlinkMessage::DelTrafficFilter(message),
                Mode::Delete,
            )
            .await
        {
            Err(error) if matches!(error.errno(), libc::ENOENT | libc::ENODEV | libc::EINVAL) => {
                Ok(())
            }
            other => other,
        }
    }
}

impl Filter {
    /// Whether it leaves room for a bpf filter of all protocols at its own pref: the kernel takes but
    /// one kind and one protocol there (net/sched/cls_api.c, `tcf_chain_tp_find`).
    pub fn shares_its_preference(&self) -> bool {
        const ETH_P_ALL: u16 = 3;
        self.kind == "bpf" && self.protocol == ETH_P_ALL.to_be()
    }

    /// In a user's words, near to what tc prints.
    pub fn describe(&self) -> String {
        let name = self.program.as_ref().map_or("", |(name, _)| name);
        format!("pref {} {} {name}", self.preference, self.kind)
            .trim_end()
            .to_owned()
    }

    /// None for the messages that stand for a whole pref (handle 0) rather than for a filter.
    fn from_message(hook: Hook, message: TcMessage) -> Option<Self> {
        let handle = u32::from(message.header.handle);
        let mut filter = Self {
            hook,
            preference: (message.header.info >> 16) as u16,
            protocol: message.header.info as u16,
            handle,
            kind: String::new(),
            program: None,
        };
        let mut name = None;
        let mut id = None;
        for attribute in message.attributes {
            match attribute {
                TcAttribute::Kind(kind) => filter.kind = kind,
                TcAttribute::Options(options) => {
                    for option in options {
                        match option {
                            TcOption::Bpf(TcFilterBpfOption::ProgName(text)) => name = Some(text),
                            TcOption::Bpf(TcFilterBpfOption::ProgId(number)) => id = Some(number),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        filter.program = name.zip(id);
        (handle != 0 || filter.kind == "matchall").then_some(filter)
    }
}
