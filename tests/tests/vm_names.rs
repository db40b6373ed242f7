//! Host names as targets, looked up as the place itself would.

use std::net::IpAddr;

use netchaos_tests::{
    command::start,
    lab::{Lab, ms},
    name_server::NameServer,
    netchaos::netchaos,
    snapshot::Snapshot,
};

const AT: &str = "10.77.0.9";

fn name_server(lab: &Lab, names: &[(&str, &[&str])]) -> NameServer {
    let at: IpAddr = AT.parse().unwrap();
    NameServer::start(&lab.peer, at, names)
}

#[test]
fn a_name_in_the_namespaces_own_hosts_file_stands_for_both_families() {
    Lab::test(&[], |lab| {
        lab.write_etc("hosts", "10.77.0.3 db.lab\nfd77::3 db.lab\n");
        lab.netchaos("add slow --delay 100ms --to db.lab:7002").ok();
        for target in ["10.77.0.3:7002", "[fd77::3]:7002"] {
            lab.assert_delayed(target, ms(100));
        }
        for other in ["10.77.0.3:7001", "[fd77::3]:7001", "10.77.0.2:7002"] {
            lab.assert_prompt(other);
        }
        lab.netchaos("target list slow")
            .ok()
            .says(&["db.lab", "10.77.0.3", "fd77::3"]);
    });
}

#[test]
fn names_are_asked_of_a_server_that_only_the_namespace_can_reach() {
    Lab::test(&[], |lab| {
        let names: &[(&str, &[&str])] = &[
            ("db.corp.example.", &["10.77.0.3", "10.77.0.4", "fd77::3"]),
            ("four.corp.example.", &["10.77.0.6"]),
            ("empty.corp.example.", &[]),
        ];
        let _server = name_server(lab, names);
        lab.write_etc(
            "resolv.conf",
            &format!("search corp.example\nnameserver {AT}\n"),
        );
        lab.netchaos("add slow --delay 100ms --to db four.corp.example")
            .ok();
        for target in ["10.77.0.3", "10.77.0.4", "fd77::3", "10.77.0.6"] {
            lab.assert_delayed(target, ms(100));
        }
        for other in ["10.77.0.2", "fd77::4", "fd77::6"] {
            lab.assert_prompt(other);
        }

        let before = Snapshot::of(&lab.client);
        for nowhere in ["nowhere", "empty", "db empty"] {
            lab.netchaos(&format!("add more --delay 100ms --to {nowhere}"))
                .fails_with(1)
                .says(&[nowhere.split(' ').next_back().unwrap(), AT]);
            lab.netchaos(&format!("target add slow {nowhere}"))
                .fails_with(1);
        }
        Snapshot::of(&lab.client).assert_same_as(&before);
        lab.assert_prompt("10.77.0.2");
        let list = lab.netchaos("list -o json").ok().json();
        assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    });
}

#[test]
fn a_name_that_resolves_to_nothing_is_an_error_and_changes_nothing() {
    Lab::test(&[], |lab| {
        let _server = name_server(lab, &[]);
        lab.write_etc("resolv.conf", &format!("nameserver {AT}\n"));
        lab.netchaos("add slow --delay 100ms --to nowhere.example 10.77.0.3")
            .fails_with(1)
            .says(&["nowhere.example", AT]);
        lab.assert_nothing_left();
        for target in ["10.77.0.2", "10.77.0.3"] {
            lab.assert_prompt(target);
        }
    });
}

#[test]
fn a_place_given_by_pid_is_the_processs_namespace_with_its_own_hosts_file() {
    Lab::test(&[], |lab| {
        lab.write_etc("hosts", "10.77.0.3 db.lab\n");
        // It sees /etc/netns/NAME/hosts as its /etc/hosts (ip-netns(8)).
        let mut process = start("ip", &["netns", "exec", lab.client.name(), "sleep", "1000"]);
        let pid = process.id().to_string();
        std::thread::sleep(ms(1000));
        netchaos(&[
            "add", "slow", "--delay", "100ms", "--to", "db.lab", "--pid", &pid,
        ])
        .ok();
        lab.assert_delayed("10.77.0.3", ms(100));
        lab.assert_prompt("10.77.0.2");
        netchaos(&["list", "--pid", &pid]).ok().says(&["slow"]);
        lab.netchaos("list").ok().says(&["slow"]);
        netchaos(&["remove", "slow", "--pid", &pid]).ok();
        lab.assert_nothing_left();
        process.kill().expect("a child can be killed");
        process.wait().expect("a child can be waited for");
    });
}
