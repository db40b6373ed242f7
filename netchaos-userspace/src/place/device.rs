//! Which device of a place faults go on.

use super::Error;
use crate::kernel::netlink::Link;

/// The device that faults go on: the one asked for, else that of the default route, else the only
/// one that is up. `is_own` tells the devices that netchaos made.
///
/// # Errors
/// There is no such device, or the choice is not clear; the devices are listed.
pub fn choose_device<'a>(
    links: &'a [Link],
    default_routes: &[u32],
    asked: Option<&str>,
    is_own: impl Fn(&Link) -> bool,
) -> Result<&'a Link, Error> {
    if let Some(name) = asked {
        let link = links.iter().find(|link| link.name == name);
        return match link {
            Some(link) if is_own(link) => Err(Error::OwnDevice { name: name.into() }),
            Some(link) => Ok(link),
            None => Err(Error::NoSuchDevice {
                name: name.into(),
                devices: names_of(links.iter().filter(|link| !is_own(link))),
            }),
        };
    }
    let candidates = || {
        links
            .iter()
            .filter(|link| !is_own(link) && !link.is_loopback)
    };
    for index in default_routes {
        if let Some(link) = candidates().find(|link| link.index == *index) {
            return Ok(link);
        }
    }
    let up: Vec<_> = candidates().filter(|link| link.is_up).collect();
    match up[..] {
        [only] => Ok(only),
        _ => Err(Error::WhichDevice {
            devices: names_of(up.into_iter()),
        }),
    }
}

fn names_of<'a>(links: impl Iterator<Item = &'a Link>) -> Vec<String> {
    links.map(|link| link.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, is_up: bool) -> Link {
        Link {
            index,
            name: name.into(),
            kind: String::new(),
            address: Vec::new(),
            alias: None,
            is_up,
            is_loopback: name == "lo",
            is_layer3: false,
            mtu: 1500,
            gso_max_segs: 65535,
        }
    }

    fn choose(links: &[Link], routes: &[u32], asked: Option<&str>) -> Result<String, String> {
        choose_device(links, routes, asked, |link| link.name.starts_with("nc"))
            .map(|link| link.name.clone())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_device_asked_for_wins_then_the_default_route_then_the_only_one_that_is_up() {
        let links = [
            link(1, "lo", true),
            link(2, "eth0", true),
            link(3, "eth1", true),
            link(4, "ncb2-0", true),
        ];
        assert_eq!(choose(&links, &[3], Some("eth0")).unwrap(), "eth0");
        assert_eq!(choose(&links, &[3, 2], None).unwrap(), "eth1");
        assert_eq!(choose(&links[..2], &[], None).unwrap(), "eth0");
        assert_eq!(choose(&links, &[], Some("lo")).unwrap(), "lo");
    }

    #[test]
    fn where_the_choice_is_not_clear_the_devices_are_listed() {
        let links = [
            link(1, "lo", true),
            link(2, "eth0", true),
            link(3, "eth1", true),
            link(4, "ncb2-0", true),
        ];
        let error = choose(&links, &[], None).unwrap_err();
        assert!(error.contains("eth0, eth1;"), "{error}");
        let error = choose(&links, &[], Some("eth7")).unwrap_err();
        assert!(
            error.contains("\"eth7\"") && error.contains("lo, eth0, eth1"),
            "{error}"
        );
        assert!(choose(&links, &[], Some("ncb2-0")).is_err());
        assert!(
            choose(&links[..1], &[], None)
                .unwrap_err()
                .contains("no device is up")
        );
    }
}
