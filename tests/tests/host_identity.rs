//! Experiments of one name and several Kubernetes namespaces, on whatever kernel this machine has.

use netchaos_tests::lab::Lab;

/// A partition from one peer, as a NetworkChaos.
fn manifest(namespace: &str, target: &str) -> String {
    format!(
        "apiVersion: chaos-mesh.org/v1alpha1
kind: NetworkChaos
metadata: {{name: cut, namespace: {namespace}}}
spec: {{action: partition, mode: all, selector: {{}}, externalTargets: ['{target}']}}
"
    )
}

#[test]
fn experiments_of_one_name_and_several_namespaces_live_side_by_side() {
    Lab::test_with(&[], |lab| {
        let all = [
            manifest("one", "10.77.0.3"),
            manifest("two", "fd77::4"),
            "apiVersion: netchaos/v1\nkind: Experiment\nname: alone\nfault: {partition: true}\n\
             to: [10.77.0.5]\n"
                .to_owned(),
        ]
        .join("---\n");
        let apply = |text: &str| {
            let done = lab.netchaos_with_input("apply -f - -o json", text).ok();
            done.json()
        };
        let done = apply(&all);
        for (number, namespace) in [(0, "one"), (1, "two")] {
            assert_eq!(done[number]["namespace"], namespace, "{done}");
            assert_eq!(done[number]["name"], "cut", "{done}");
            assert_eq!(done[number]["effect"], "created", "{done}");
        }
        assert_eq!(done[2].get("namespace"), None, "{done}");
        lab.assert_cut(
            "all",
            &[
                ("10.77.0.3", true),
                ("fd77::4", true),
                ("10.77.0.5", true),
                ("10.77.0.6", false),
            ],
        );
        // Applying one of them again is about this one alone.
        assert_eq!(apply(&manifest("two", "fd77::4"))[0]["effect"], "unchanged");
        assert_eq!(apply(&manifest("two", "fd77::6"))[0]["effect"], "changed");
        lab.assert_cut(
            "another target",
            &[("10.77.0.3", true), ("fd77::4", false), ("fd77::6", true)],
        );
        let list = lab.netchaos("list -o json").ok().json();
        assert_eq!(list[1]["namespace"], "two", "{list}");
        assert_eq!(list[1]["name"], "cut", "{list}");
        lab.netchaos("list").ok().says(&["one/cut", "two/cut"]);

        // What fits both is refused everywhere, and changes nothing.
        for command in [
            "show cut",
            "show cut --follow",
            "target list cut",
            "target add cut 10.77.0.7",
            "target remove cut 10.77.0.3",
            "change cut --partition=none --loss 5%",
            "pause cut",
            "resume cut",
            "remove cut",
            "explain cut",
        ] {
            lab.netchaos(command)
                .fails_with(1)
                .says(&["one/cut, two/cut"]);
        }
        lab.netchaos("show one/cut").ok().says(&["10.77.0.3"]);
        lab.netchaos("explain two/cut").ok().says(&["fd77::6"]);
        lab.netchaos("target add one/cut 10.77.0.7")
            .ok()
            .says(&["one/cut changed"]);
        lab.netchaos("pause two/cut")
            .ok()
            .says(&["two/cut changed"]);
        lab.assert_cut(
            "paused",
            &[("10.77.0.3", true), ("10.77.0.7", true), ("fd77::6", false)],
        );
        lab.netchaos("resume two/cut alone")
            .ok()
            .says(&["two/cut changed", "alone unchanged"]);

        // One without namespace is a third one, and its bare name is an id.
        lab.netchaos("add cut --partition --to 10.77.0.8").ok();
        lab.netchaos("remove cut").ok().says(&["cut removed"]);
        lab.assert_cut("the third", &[("10.77.0.8", false), ("fd77::6", true)]);

        lab.netchaos("remove one/cut").ok();
        lab.assert_cut("one is gone", &[("10.77.0.3", false), ("fd77::6", true)]);
        lab.netchaos("show one/cut")
            .fails_with(1)
            .says(&["two/cut"]);
        // The name alone is clear again.
        lab.netchaos("remove cut").ok().says(&["two/cut removed"]);
        lab.assert_cut("two is gone", &[("fd77::6", false), ("10.77.0.5", true)]);
    });
}

#[test]
fn run_keeps_to_its_own_of_two_namespaces() {
    Lab::test_with(&[], |lab| {
        lab.netchaos_with_input("apply -f -", &manifest("one", "10.77.0.3"))
            .ok();
        let file = std::env::temp_dir().join(format!("netchaos-{}.yaml", std::process::id()));
        std::fs::write(
            &file,
            manifest("two", "10.77.0.4").replace("spec: {", "spec: {duration: 2s, "),
        )
        .expect("the folder for temporary files can be written to");
        let run = lab.netchaos(&format!("run -f {}", file.display()));
        std::fs::remove_file(&file).expect("it is there");
        run.ok().says(&["two/cut created"]);
        lab.assert_cut("its end", &[("10.77.0.3", true), ("10.77.0.4", false)]);
        let list = lab.netchaos("list -o json").ok().json();
        assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    });
}
