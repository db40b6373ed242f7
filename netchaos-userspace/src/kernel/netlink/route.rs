//! Routes, as far as they tell which device leads out.

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{RouteAttribute, RouteMessage, RouteType},
};

use super::{Error, Netlink};

/// The table of routes that are not policy's (linux/rtnetlink.h, RT_TABLE_MAIN).
const MAIN_TABLE: u8 = 254;

impl Netlink {
    /// Indexes of the devices of the default routes, IPv4 before IPv6, the preferred one (lowest
    /// metric) first.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub async fn default_route_devices(&self) -> Result<Vec<u32>, Error> {
        let mut devices = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            let what = || "list the routes".into();
            let answers = self
                .dump(what, RouteNetlinkMessage::GetRoute(message))
                .await?;
            let mut found: Vec<_> = answers
                .into_iter()
                .filter_map(|answer| match answer {
                    RouteNetlinkMessage::NewRoute(route) => metric_and_device(route),
                    _ => None,
                })
                .collect();
            found.sort_unstable();
            devices.extend(found.into_iter().map(|(_, device)| device));
        }
        Ok(devices)
    }
}

pub(super) fn metric_and_device(route: RouteMessage) -> Option<(u32, u32)> {
    let header = &route.header;
    let is_default = header.destination_prefix_length == 0
        && header.kind == RouteType::Unicast
        && header.table == MAIN_TABLE;
    if !is_default {
        return None;
    }
    let mut metric = 0;
    let mut device = None;
    for attribute in route.attributes {
        match attribute {
            RouteAttribute::Priority(value) => metric = value,
            RouteAttribute::Oif(index) => device = Some(index),
            RouteAttribute::MultiPath(hops) => {
                device = hops.first().map(|hop| hop.interface_index);
            }
            _ => {}
        }
    }
    Some((metric, device?))
}
