//! The namespace is deleted in the middle of a call: the call works on in what it holds, ends, and nothing stays.

use std::{thread, time::Duration};

use aya::programs::loaded_programs;
use netchaos_tests::{
    command::run,
    lab::connect,
    netchaos::netchaos,
    netns::Netns,
    requires::can_run,
    stepped::{Then, walk},
};

/// Our programs in the kernel, of whatever namespace.
fn programs() -> usize {
    let ours = loaded_programs().flatten().filter(|program| {
        let name = program.name_as_str();
        name.is_some_and(|name| name.starts_with("netchaos_"))
    });
    ours.count()
}

#[test]
fn a_namespace_that_is_deleted_before_any_step_takes_everything_along() {
    if !can_run(&[]) {
        return;
    }
    let before = programs();
    let (mut step, mut deleted) = (0, 0);
    loop {
        let (client, peer) = (Netns::new("gone"), Netns::new("peer"));
        connect(&client, &peer, "eth0");
        let name = client.name().to_owned();
        let words = format!("add cut --partition --direction both --to 10.77.0.3 --netns {name}");
        let words: Vec<&str> = words.split(' ').collect();
        let mut is_gone = false;
        let walked = walk(&words, |number, _| {
            if number == step {
                run("ip", &["netns", "delete", &name]).ok();
                is_gone = true;
            }
            Then::GoOn
        });
        if is_gone {
            // Before it was opened it is not there, afterwards it is held.
            assert!(
                matches!(walked.code, Some(0 | 1)),
                "{:?}: {}",
                walked.code,
                walked.stderr
            );
            deleted += 1;
            run("ip", &["netns", "add", &name]).ok();
        }
        let listed = netchaos(&["list", "--netns", &name, "-o", "json"])
            .ok()
            .json();
        let count = listed.as_array().map_or(0, Vec::len);
        assert_eq!(count, usize::from(!is_gone), "step {step}: {listed:#}");
        drop((client, peer));
        if !is_gone {
            break;
        }
        step += 9;
    }
    assert!(deleted >= 5, "{deleted} times in the middle");
    // The kernel takes a namespace apart in its own time.
    for _ in 0..100 {
        if programs() <= before {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("{} programs are left, of {before}", programs());
}
