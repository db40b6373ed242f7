use super::*;
use crate::{
    experiment::Rule,
    plan::{Band, tests::laid},
};

const BAND: Band = Band { pair: 0, band: 2 };

fn host(address: &str, port: u16) -> HostKey {
    let (family, address) = family_and_bytes(address.parse().unwrap());
    HostKey {
        address,
        port,
        family,
    }
}

fn prefix(text: &str, port: u16) -> Prefix {
    prefix_key(&text.parse().unwrap(), port)
}

fn wants(want: u64, except: u64) -> Wants {
    Wants { want, except }
}

#[test]
fn single_addresses_are_hosts_and_the_rest_prefixes() {
    let laid = laid(
        3,
        BAND,
        &[
            "10.0.0.1",
            "10.0.0.2:80",
            "10.0.0.0/8",
            "fd00::/64",
            "fd00::1",
        ],
    );
    let tables = Tables::of([&laid].into_iter());
    assert_eq!(tables.hosts[&host("10.0.0.1", 0)], wants(8, 0));
    assert_eq!(tables.hosts[&host("10.0.0.2", 80)], wants(8, 0));
    assert_eq!(tables.hosts[&host("fd00::1", 0)], wants(8, 0));
    assert_eq!(tables.prefixes[&prefix("10.0.0.0/8", 0)], wants(8, 0));
    assert_eq!(tables.hosts.len() + tables.prefixes.len(), 5);
    assert_eq!(
        tables.lookups(),
        Commit::HOSTS | Commit::HOST_PORTS | Commit::PREFIXES
    );
}

#[test]
fn a_name_is_the_addresses_of_both_families_that_it_had() {
    let mut laid = laid(0, BAND, &["db.example:5432"]);
    let addresses = ["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()];
    laid.addresses.insert("db.example".into(), addresses.into());
    let tables = Tables::of([&laid].into_iter());
    assert_eq!(tables.hosts[&host("10.0.0.7", 5432)], wants(1, 0));
    assert_eq!(tables.hosts[&host("fd00::7", 5432)], wants(1, 0));
    assert_eq!(tables.hosts.len(), 2);
}

#[test]
fn a_prefix_holds_what_the_prefixes_around_it_want() {
    let wide = laid(0, BAND, &["10.0.0.0/8"]);
    let mut narrow = laid(1, BAND, &["10.1.0.0/16"]);
    narrow.experiment.except = vec!["10.1.2.0/24".parse().unwrap()];
    let port = laid(2, BAND, &["10.1.2.0/24:443"]);
    let other = laid(3, BAND, &["11.0.0.0/8"]);
    let tables = Tables::of([&wide, &narrow, &port, &other].into_iter());
    assert_eq!(tables.prefixes[&prefix("10.0.0.0/8", 0)], wants(0b0001, 0));
    assert_eq!(tables.prefixes[&prefix("10.1.0.0/16", 0)], wants(0b0011, 0));
    assert_eq!(
        tables.prefixes[&prefix("10.1.2.0/24", 0)],
        wants(0b0011, 0b0010)
    );
    assert_eq!(tables.prefixes[&prefix("11.0.0.0/8", 0)], wants(0b1000, 0));
    // A port's prefixes are a trie of their own.
    assert_eq!(
        tables.prefixes[&prefix("10.1.2.0/24", 443)],
        wants(0b0100, 0)
    );
}

#[test]
fn a_list_of_ports_is_a_key_for_each() {
    let mut laid = laid(1, BAND, &["10.0.0.1:80,443", "10.0.0.0/8:8000-8002"]);
    laid.experiment.except = vec!["10.0.0.2:22,8000".parse().unwrap()];
    let tables = Tables::of([&laid].into_iter());
    for (address, ports, value) in [
        ("10.0.0.1", [80, 443], wants(2, 0)),
        ("10.0.0.2", [22, 8000], wants(0, 2)),
    ] {
        for port in ports {
            assert_eq!(tables.hosts[&host(address, port)], value);
        }
    }
    for port in 8000..=8002 {
        assert_eq!(tables.prefixes[&prefix("10.0.0.0/8", port)], wants(2, 0));
    }
    assert_eq!((tables.hosts.len(), tables.prefixes.len()), (4, 3));
}

#[test]
fn a_rule_limits_its_own_experiment() {
    let ruled = |slot, rule: Rule| {
        let mut laid = laid(slot, BAND, &["10.0.0.1"]);
        laid.experiment.rule = rule;
        laid
    };
    let all = [
        ruled(0, Rule::default()),
        ruled(
            1,
            Rule {
                protocols: vec!["tcp".parse().unwrap(), "icmp".parse().unwrap()],
                include: vec![Vital::Dhcp, Vital::Arp],
                ..Rule::default()
            },
        ),
        ruled(
            2,
            Rule {
                ports: "80,443".parse().unwrap(),
                local_ports: "1-2".parse().unwrap(),
                include: vec![Vital::Nd, Vital::Arp],
                ..Rule::default()
            },
        ),
        ruled(
            3,
            Rule {
                ports: "443".parse().unwrap(),
                protocols: vec!["tcp".parse().unwrap()],
                ..Rule::default()
            },
        ),
    ];
    let tables = Tables::of(all.iter());
    let limited = Limited {
        remote: 0b1100,
        local: 0b0100,
        protocol: 0b1010,
    };
    assert_eq!(tables.limited, limited);
    assert_eq!(tables.vital, [0b0110, 0b0100, 0b0010], "ARP, ND, DHCP");
    assert_eq!(tables.remote, BTreeMap::from([(80, 0b0100), (443, 0b1100)]));
    assert_eq!(tables.local, BTreeMap::from([(1, 0b0100), (2, 0b0100)]));
    let protocols = BTreeMap::from([(1, 0b0010), (6, 0b1010), (58, 0b0010)]);
    assert_eq!(tables.protocols, protocols);
    let limits = Commit::REMOTE_PORTS | Commit::LOCAL_PORTS | Commit::PROTOCOLS;
    assert_eq!(tables.lookups(), Commit::HOSTS | limits);
    assert!(tables.need_ports());
    let plain = Tables::of(all[..2].iter());
    assert_eq!(plain.lookups(), Commit::HOSTS | Commit::PROTOCOLS);
    assert!(!plain.need_ports());
    // And the way from one to the other is about the ports alone, whose hosts differ as well.
    let keys: Vec<Key> = plain
        .changes_to(&tables)
        .iter()
        .map(|change| change.key)
        .collect();
    let expected = [
        Key::Host(host("10.0.0.1", 0)),
        Key::RemotePort(80),
        Key::RemotePort(443),
        Key::LocalPort(1),
        Key::LocalPort(2),
        Key::Protocol(6),
    ];
    assert_eq!(keys, expected);
}

#[test]
fn more_keys_than_there_is_room_for_are_refused_before_they_take_memory() {
    let few = laid(0, BAND, &["10.0.0.1", "10.0.0.0/8:1-1000"]);
    // 17 addresses with 65,535 ports each.
    let targets: Vec<String> = (0..17)
        .map(|host| format!("10.0.1.{host}:1-65535"))
        .collect();
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let many = laid(1, BAND, &targets);
    assert_eq!(check_size([&few].into_iter()), Ok(()));
    let error = check_size([&few, &many].into_iter()).unwrap_err();
    let keys = 17 * 65_535;
    let expected = TooManyKeys {
        id: "e1".into(),
        keys,
        all: keys + 1001,
    };
    assert_eq!(error, expected);
    assert!(
        error.to_string().contains("e1 needs 1114095 entries"),
        "{error}"
    );
    // A name counts for each of its addresses.
    let mut named = laid(0, BAND, &["db.example:1-65535"]);
    let addresses = (0..17).map(|host| [10, 0, 0, host].into());
    assert_eq!(check_size([&named].into_iter()), Ok(()));
    named
        .addresses
        .insert("db.example".into(), addresses.collect());
    assert_eq!(check_size([&named].into_iter()).unwrap_err().all, keys);
    // As many as there may be.
    let exactly: Vec<String> = (0..16)
        .map(|host| format!("10.0.1.{host}:1-65535"))
        .chain((0..16).map(|host| format!("10.0.2.{host}")))
        .collect();
    let exactly: Vec<&str> = exactly.iter().map(String::as_str).collect();
    assert_eq!(check_size([&laid(0, BAND, &exactly)].into_iter()), Ok(()));
}

#[test]
fn only_keys_that_differ_are_changed() {
    let one = Tables::of([&laid(0, BAND, &["10.0.0.1", "10.0.0.2", "10.0.0.0/8"])].into_iter());
    let other = Tables::of([&laid(0, BAND, &["10.0.0.2", "10.0.0.3", "10.0.0.0/8"])].into_iter());
    let mut changes = one.changes_to(&other);
    changes.sort_by_key(|change| change.key);
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0].key, Key::Host(host("10.0.0.1", 0)));
    assert_eq!(
        (changes[0].before, changes[0].after),
        (wants(1, 0), wants(0, 0))
    );
    assert_eq!(
        (changes[1].before, changes[1].after),
        (wants(0, 0), wants(1, 0))
    );
    assert!(one.changes_to(&one).is_empty());
}
