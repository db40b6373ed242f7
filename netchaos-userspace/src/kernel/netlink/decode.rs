//! What this room makes of bytes, for fuzzing: there is no kernel that would send these.

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;

pub use super::qdisc::Parameters;
use super::{Error, Filter, Hook, Link, Qdisc, error::Kernel, route::metric_and_device};

/// An answer of the kernel.
#[derive(Debug)]
pub enum Decoded {
    Link(Link),
    Qdisc(Qdisc),
    Filter(Option<Filter>),
    /// Metric and device of a default route.
    Route(Option<(u32, u32)>),
    Refused(Error),
    Nothing,
}

/// What is made of one message; none where the netlink crates refuse it.
pub fn decode(bytes: &[u8]) -> Option<Decoded> {
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes).ok()?;
    Some(match message.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) => {
            Decoded::Link(Link::from_message(message))
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewQueueDiscipline(message)) => {
            Decoded::Qdisc(Qdisc::from_message(message))
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewTrafficFilter(message)) => {
            Decoded::Filter(Filter::from_message(Hook::Egress, message))
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(message)) => {
            Decoded::Route(metric_and_device(message))
        }
        NetlinkPayload::Error(error) => {
            Decoded::Refused(Error::refused(String::new(), Kernel::from_answer(&error)))
        }
        _ => Decoded::Nothing,
    })
}

/// A qdisc of that kind whose TCA_OPTIONS are these bytes.
pub fn qdisc(kind: &str, options: &[u8]) -> Qdisc {
    Qdisc::of_options(kind, options)
}
