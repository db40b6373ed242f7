//! The command line: what is refused and changes nothing, what is printed, where faults go.

use netchaos_tests::{
    command::{Done, run},
    lab::{Lab, connect, ms},
    netchaos::{netchaos, program},
    probe::find,
    snapshot::Snapshot,
};

/// Refused, with a reason, in an orderly way.
#[track_caller]
fn refused(done: Done) -> Done {
    let code = done.status.code();
    assert!(matches!(code, Some(1 | 2)), "should be refused: {done}");
    assert!(!done.stderr.trim().is_empty(), "says nothing: {done}");
    assert!(!done.stderr.contains("panicked"), "{done}");
    done
}

#[test]
fn wrong_input_is_refused_and_changes_nothing() {
    Lab::test(&[], |lab| {
        for usage in [
            "",
            "add",
            "add slow --delay",
            "add slow --nonsense 1 --to 10.77.0.3",
            "add slow --delay 100ms --to 10.77.0.3 --all-traffic",
            "remove",
            "remove slow --all",
            "list --all",
            "apply",
            "nonsense",
        ] {
            lab.netchaos(usage).fails_with(2);
        }
        for (wrong, says) in [
            ("add slow --to 10.77.0.3", ""),
            ("add slow --delay 100ms", ""),
            ("add slow --delay 100ms --to 10.77.0.0/33", "10.77.0.0/33"),
            ("add slow --delay 100ms --to 10.77.0.3:70000", "70000"),
            ("add slow --delay 100ms --to 10.77.0.3:0", "10.77.0.3:0"),
            ("add slow --delay 100ms --to bad..name", "bad..name"),
            ("add slow --delay 100 --to 10.77.0.3", "100"),
            ("add slow --delay 0ms --to 10.77.0.3", "0ms"),
            ("add slow --delay=-5ms --to 10.77.0.3", "-5ms"),
            ("add slow --delay 9999h --to 10.77.0.3", "9999h"),
            ("add slow --delay 5ms --jitter x --to 10.77.0.3", "x"),
            (
                "add slow --delay 5ms --jitter 1ms --correlation 101% --to 10.77.0.3",
                "101",
            ),
            ("add slow --delay 100ms --for 0s --to 10.77.0.3", "0s"),
            (
                "add slow --delay 100ms --to 10.77.0.3 --direction sideways",
                "sideways",
            ),
            (
                "add slow --delay 100ms --to 10.77.0.3 --device eth7",
                "eth7",
            ),
            ("add b/ad --delay 100ms --to 10.77.0.3", "b/ad"),
            ("change slow --delay 100ms", "slow"),
            ("target add slow 10.77.0.3", "slow"),
            ("target list slow", "slow"),
            ("show slow", "slow"),
            ("pause slow", "slow"),
            ("resume slow", "slow"),
            ("remove slow", "slow"),
            ("apply -f /nonexistent.yaml", "/nonexistent.yaml"),
        ] {
            refused(lab.netchaos(wrong)).says(&[says]);
        }
        lab.assert_nothing_left();
        lab.assert_prompt("10.77.0.3");
        let list = lab.netchaos("list -o json").ok().json();
        assert_eq!(list.as_array().map(Vec::len), Some(0), "{list}");
    });
}

#[test]
fn all_wrong_parameters_are_told_at_once() {
    Lab::test(&[], |lab| {
        refused(lab.netchaos("add slow --delay soon --jitter never --to 10.77.0.0/40 1.2.3.4:x"))
            .says(&["soon", "never", "10.77.0.0/40", "1.2.3.4:x"]);
    });
}

#[test]
fn no_such_place_is_refused() {
    Lab::test(&[], |_| {
        let add = ["add", "slow", "--delay", "100ms", "--to", "10.77.0.3"];
        for (place, says) in [
            (["--netns", "nct-nowhere"], "nct-nowhere"),
            (["--netns", "/etc/passwd"], "/etc/passwd"),
            (["--pid", "4194305"], "4194305"),
        ] {
            refused(netchaos(&[&add[..], &place].concat())).says(&[says]);
        }
    });
}

#[test]
fn a_name_is_used_once_in_a_place() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 100ms --to 10.77.0.3").ok();
        let before = Snapshot::at_rest(&lab.client);
        lab.netchaos("add slow --delay 200ms --to 10.77.0.4")
            .fails_with(1)
            .says(&["slow"]);
        Snapshot::of(&lab.client).assert_same_as(&before);
        lab.assert_delayed("10.77.0.3", ms(100));
        lab.assert_prompt("10.77.0.4");
        // Wrong input to an experiment that is there does not change it either.
        for wrong in [
            "change slow --delay 0ms",
            "change slow --delay x",
            "change slow",
            "target add slow 10.77.0.0/99",
            "target add slow 10.77.0.4 bad..name",
            "add more --delay 10ms",
        ] {
            refused(lab.netchaos(wrong));
        }
        Snapshot::of(&lab.client).assert_same_as(&before);
        lab.assert_delayed("10.77.0.3", ms(100));
        lab.assert_prompt("10.77.0.4");
    });
}

#[test]
fn a_dry_run_prints_tree_and_maps_and_changes_nothing() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 100ms --jitter 7ms --to 10.77.0.3 fd77::/64 --dry-run")
            .ok()
            .says(&["prio", "netem", "100ms", "7ms", "10.77.0.3", "fd77::/64"]);
        lab.assert_nothing_left();
        lab.assert_prompt("10.77.0.3");
        lab.netchaos("add slow --delay 50ms --to 10.77.0.3").ok();
        let before = Snapshot::at_rest(&lab.client);
        lab.netchaos("add more --delay 100ms --to 10.77.0.4 --dry-run")
            .ok();
        Snapshot::of(&lab.client).assert_same_as(&before);
        lab.assert_prompt("10.77.0.4");
    });
}

#[test]
fn list_and_show_tell_what_is_there_and_what_it_has_hit() {
    Lab::test(&[], |lab| {
        assert_eq!(
            lab.netchaos("list -o json").ok().json(),
            serde_json::json!([])
        );
        lab.netchaos("add slow --delay 100ms --to 10.77.0.3").ok();
        lab.netchaos("add other --delay 50ms --for 10m --to fd77::4")
            .ok();
        let list = lab.netchaos("list -o json").ok().json();
        let names: Vec<_> = list
            .as_array()
            .expect("an array")
            .iter()
            .map(|experiment| experiment["name"].as_str().expect("a name"))
            .collect();
        assert_eq!(names.len(), 2, "{list}");
        assert!(
            names.contains(&"slow") && names.contains(&"other"),
            "{list}"
        );
        lab.netchaos("list").ok().says(&["slow", "other"]);
        lab.netchaos("list -o yaml").ok().says(&["name: slow"]);

        let packets = || {
            let show = lab.netchaos("show slow -o json").ok().json();
            find(&show, "packets")
                .and_then(serde_json::Value::as_u64)
                .unwrap_or_else(|| panic!("no packets in {show:#}"))
        };
        assert_eq!(packets(), 0);
        assert_eq!(lab.round_trips("10.77.0.3", 7).lost, 0);
        assert_eq!(lab.round_trips("10.77.0.2", 7).lost, 0);
        assert_eq!(packets(), 7);
        lab.netchaos("show slow")
            .ok()
            .says(&["slow", "100ms", "10.77.0.3", "netem"]);
    });
}

#[test]
fn without_a_device_it_is_that_of_the_default_route_else_the_only_one_that_is_up() {
    Lab::test(&[], |lab| {
        connect(&lab.client, &lab.peer, "eth1");
        for (netns, host) in [(&lab.client, 1), (&lab.peer, 2)] {
            netns.ip(&format!("addr add 10.79.0.{host}/24 dev eth1"));
        }
        lab.is_the_users();
        let add = "add slow --delay 100ms --to 10.77.0.3 10.79.0.2";
        lab.netchaos(add)
            .fails_with(1)
            .says(&["eth0", "eth1", "--device"]);
        lab.assert_nothing_left();

        lab.client.ip("route add default via 10.79.0.2");
        lab.is_the_users();
        lab.netchaos(add).ok();
        lab.assert_delayed("10.79.0.2", ms(100));
        lab.assert_prompt("10.77.0.3");
        lab.netchaos("add here --delay 50ms --to 10.77.0.3 --device eth0")
            .ok();
        lab.assert_delayed("10.77.0.3", ms(50));
        lab.netchaos("remove slow here").ok();
        lab.assert_nothing_left();

        lab.client.ip_batch(
            "",
            &["route del default", "link set eth1 down"].map(str::to_owned),
        );
        lab.is_the_users();
        lab.netchaos(add).ok();
        lab.assert_delayed("10.77.0.3", ms(100));
    });
}

#[test]
fn without_the_rights_it_says_so_and_changes_nothing() {
    Lab::test(&[], |lab| {
        let program = program();
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", &program];
        let place = ["--netns", lab.client.name()];
        let add = ["add", "slow", "--delay", "100ms", "--to", "10.77.0.3"];
        run("setpriv", &[&nobody[..], &add, &place].concat())
            .fails_with(3)
            .says(&["CAP_"]);
        lab.assert_nothing_left();
    });
}

#[test]
fn doctor_says_that_this_kernel_can_delay() {
    Lab::test(&[], |lab| {
        lab.netchaos("doctor").ok().says(&["netem", "prio"]);
        lab.assert_nothing_left();
    });
}
