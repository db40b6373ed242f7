//! The experiments of a state map, a line each: another netchaos may have written them.

use netchaos::plan::{self, Laid, Tables, tables};
use netchaos_common::abi::SLOTS;

use super::{check_words, in_time, manifest};

/// A device has no more keys than [`tables::MOST_KEYS`]; for a fuzzer's sake it has fewer here.
const MOST_KEYS: usize = 20_000;

pub fn run(input: &[u8]) {
    if let Ok(text) = str::from_utf8(input) {
        in_time(|| check_lines(text));
    }
}

fn check_lines(text: &str) {
    let mut all: Vec<Laid> = Vec::new();
    for line in text.lines().take(SLOTS) {
        match serde_json::from_str::<Laid>(line) {
            Ok(mut laid) => {
                laid.slot = all.len() as u8;
                check(&laid);
                all.push(laid);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    if tables::check_size(all.iter()).is_ok() && keys(&all) < MOST_KEYS {
        check_plan(&all);
    }
}

fn keys(all: &[Laid]) -> usize {
    let lists = all.iter().map(|laid| {
        let rule = &laid.experiment.rule;
        let aimed_at = match &laid.experiment.targets {
            netchaos::experiment::Targets::List(list) => list.as_slice(),
            netchaos::experiment::Targets::AllTraffic => &[],
        };
        let targets = aimed_at.iter().chain(&laid.experiment.except);
        let ports: usize = targets.map(|target| target.ports.count() + 1).sum();
        let addresses: usize = laid.addresses.values().map(Vec::len).sum();
        ports * (1 + addresses) + rule.ports.count() + rule.local_ports.count()
    });
    lists.sum()
}

fn check(laid: &Laid) {
    manifest::check_experiment(&laid.experiment);
    let text = serde_json::to_string(laid).expect("it can be written");
    let mut again: Laid = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    again.slot = laid.slot;
    assert!(again.says_the_same(laid), "{text}");
    assert!(!text.contains('\n'), "{text}");
    for band in laid.bands() {
        let _ = (band.class(), band.handle(), band.inner_handle());
    }
    let _ = (laid.has_expired(u64::MAX), laid.experiment.id());
    if let Some(held) = &laid.held
        && let Some(netchaos::experiment::Targets::List(list)) = held.aim(&laid.experiment.targets)
    {
        assert!(!list.is_empty(), "nothing left is not everything");
    }
    for problem in laid.experiment.check() {
        check_words(&problem.to_string(), &problem);
    }
}

fn check_plan(all: &[Laid]) {
    let desired = plan::desired(all);
    let nothing = Tables::default();
    let there = nothing.changes_to(&desired.tables);
    for change in &there {
        assert!(
            !change.goes && change.before == Default::default(),
            "{change:?}"
        );
        assert!(!change.key.to_string().is_empty());
    }
    let back = desired.tables.changes_to(&nothing);
    assert_eq!(there.len(), back.len());
    assert_eq!(desired.tables.changes_to(&desired.tables), []);
    let slots = all.iter().fold(0, |slots, laid| slots | laid.bit());
    assert_eq!((desired.out | desired.into) & !slots, 0);
    assert_eq!(desired.tables.all.want & !slots, 0);
    for laid in all {
        // Who names no traffic at all is not aimed at all of it.
        let is_all = laid.experiment.targets == netchaos::experiment::Targets::AllTraffic;
        assert_eq!(desired.tables.all.want & laid.bit() != 0, is_all);
        if let Some(room) = plan::room(all, &laid.experiment) {
            let taken = |other: &Laid| other.slot == room.slot;
            assert!(!all.iter().any(taken), "{room:?}");
        }
    }
    let _ = plan::room_alone(all);
}

pub fn seeds() -> Vec<Vec<u8>> {
    SEEDS.map(|seed| seed.as_bytes().to_vec()).to_vec()
}

const SEEDS: [&str; 4] = [
    r#"{"pair":0,"band":2,"ends":7000000000,"experiment":{"apiVersion":"netchaos/v1","kind":"Experiment","name":"slow","direction":"to","fault":{"delay":{"latency":"50ms","jitter":"5ms","correlation":"25%","distribution":"normal"},"loss":{"percent":"5%"}},"to":["10.0.0.7:80,443","10.0.0.0/8","db.example.com"]},"addresses":{"db.example.com":["10.0.0.9","fd00::9"]}}"#,
    r#"{"pair":255,"band":255,"into":{"pair":3,"band":0},"ends":null,"experiment":{"apiVersion":"netchaos/v1","kind":"Experiment","name":"narrow","namespace":"shop","direction":"both","fault":{"bandwidth":{"rate":"10mbit","limit":20971520,"buffer":10000,"peakrate":"20mbit","minburst":1600}},"allTraffic":true,"except":["[fd00::/8]:53"],"protocols":["tcp","icmp"],"ports":"80,8000-8100","include":["arp"],"duration":"1h","paused":true},"addresses":{},"held":{"holder":"7d5ad3c8","lease":"90s","added":["10.0.0.1"],"removed":["10.0.0.2"]}}"#,
    r#"{"pair":1,"band":1,"ends":1,"experiment":{"apiVersion":"netchaos/v1","kind":"Experiment","name":"cut","direction":"from","fault":{"partition":true},"to":["2001:db8::/32"]},"addresses":{}}
{"pair":1,"band":3,"ends":18446744073709551615,"experiment":{"apiVersion":"netchaos/v1","kind":"Experiment","name":"mix","fault":{"delay":{"latency":"1h"},"reorder":{"percent":"25%","gap":4294967295,"correlation":"1%"},"duplicate":{"percent":"1%"},"corrupt":{"percent":"1%"},"rate":"18446744073709551615bps","strictCompat":true},"to":["db"]},"addresses":{"db":[]}}"#,
    r#"{"pair":0,"band":2,"ends":null,"experiment":{"apiVersion":"netchaos/v1","kind":"Experiment","name":"","fault":{"loss":{"gilbertElliott":{"worsen":"1%","recover":"10%","bad":"100%","good":"0%"}}},"to":["1.2.3.4:1-5000"],"localPorts":"1-65535"},"addresses":{"x":["::1"]}}"#,
];
