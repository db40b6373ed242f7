//! The hosts file, hosts(5).

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    str::FromStr as _,
};

use hickory_resolver::proto::rr::Name;

/// Names as [`absolute`] has them.
pub(super) type InHosts = HashMap<Name, BTreeSet<IpAddr>>;

/// The addresses of each of the wanted names that the file has, both families, never none.
///
/// The text is gone through once for all names and nothing else of it is kept: whoever is inside the
/// place writes it. (hickory's own table copies all addresses of a name for each further one, so that
/// 16 MB of them take days.)
pub(super) fn find(text: &str, wanted: impl Iterator<Item = Name>) -> InHosts {
    let mut found: InHosts = wanted
        .map(|name| (absolute(name), BTreeSet::new()))
        .collect();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for line in text.lines() {
        let line = line.split_once('#').map_or(line, |(line, _)| line);
        let mut words = line.split_whitespace();
        let Some(Ok(address)) = words.next().map(IpAddr::from_str) else {
            continue;
        };
        let address = address.to_canonical();
        // Some lists have it for names that they block. It is no peer.
        if address.is_unspecified() {
            continue;
        }
        for word in words {
            let name = Name::from_str(&word.to_lowercase()).map(absolute);
            if let Some(addresses) = name.ok().and_then(|name| found.get_mut(&name)) {
                addresses.insert(address);
            }
        }
    }
    found.retain(|_, addresses| !addresses.is_empty());
    found
}

/// In the file a name is whole, with a dot at its end or without.
pub(super) fn absolute(mut name: Name) -> Name {
    name.set_fqdn(true);
    name
}
