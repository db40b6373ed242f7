use super::*;

const OUTPUT: &str = "   Compiling x v0.1.0
     Running tests/vm_delay.rs (target/debug/deps/vm_delay-0123abc)

running 5 tests
test a ... ok
test b ... FAILED
test c ... ok
test d ... ignored, too slow
test e ... ok

successes:

---- c stdout ----
NOT RUN: c: no module sch_netem

successes:
    a
    c

failures:

---- b stdout ----
NOT RUN: b: half of it
thread 'b' panicked at tests/vm_delay.rs:5:9:
no

failures:
    b

test result: FAILED. 3 passed; 1 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.20s

     Ended vm_delay: exit status: 101
";

fn fed(output: &str, all_must_run: bool) -> Results {
    let mut results = Results::new("stage", all_must_run);
    // Pieces that cut lines and words.
    for piece in output.as_bytes().chunks(7) {
        results.feed(piece);
    }
    results.end(None);
    results
}

#[test]
fn tests_that_did_not_run_are_counted_apart() {
    let results = fed(OUTPUT, false);
    assert_eq!(
        results.counts,
        Counts {
            passed: 2,
            failed: 1,
            skipped: 2
        }
    );
    assert_eq!(results.failures, ["vm_delay: b"]);
    assert_eq!(
        results.not_run,
        ["vm_delay: d: too slow", "vm_delay: c: no module sch_netem"]
    );
}

#[test]
fn where_all_must_run_they_have_failed() {
    let results = fed(OUTPUT, true);
    assert_eq!(
        results.counts,
        Counts {
            passed: 2,
            failed: 2,
            skipped: 1
        }
    );
    let not_run = "vm_delay: c: no module sch_netem (not run, and should have)";
    assert_eq!(results.failures, ["vm_delay: b", not_run]);
}

#[test]
fn a_test_without_captured_output_is_understood_too() {
    let output = "     Running vm_x (/t/vm_x-1)\ntest a ... NOT RUN: a: why\nok\n\
                  test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
    assert_eq!(
        fed(output, false).counts,
        Counts {
            passed: 0,
            failed: 0,
            skipped: 1
        }
    );
}

#[test]
fn a_binary_that_dies_has_failed() {
    let results = fed(
        "     Running vm_x (/t/vm_x-1)\ntest a ... \n     Ended vm_x: signal: 6 (SIGABRT)\n",
        false,
    );
    assert_eq!(
        results.counts,
        Counts {
            passed: 0,
            failed: 1,
            skipped: 0
        }
    );
    assert_eq!(
        results.failures,
        ["vm_x: a: ended before its tests did (vm_x: signal: 6 (SIGABRT))"]
    );
    let next = "     Running vm_x (/t/vm_x-1)\n     Running vm_y (/t/vm_y-1)\n";
    assert_eq!(fed(next, false).counts.failed, 2);
}

#[test]
fn a_lost_vm_is_one_failure_that_names_the_test() {
    let lost = |output: &str| {
        let mut results = Results::new("vm 6.1", true);
        results.feed(output.as_bytes());
        results.end(Some(Failure::Certain("the VM was lost".into())));
        assert_eq!(results.counts.failed, results.failures.len());
        results.failures
    };
    let begun = "     Running vm_x (/t/vm_x-1)\n\nrunning 3 tests\ntest a ... ok\n";
    assert_eq!(
        lost(&format!("{begun}test b ... ")),
        ["vm_x: b: running when it happened, no later test ran: the VM was lost"]
    );
    // A test's own words, past libtest.
    assert_eq!(
        lost(&format!("{begun}test b ... Warning: x\nmore\n")),
        ["vm_x: b: running when it happened, no later test ran: the VM was lost"]
    );
    assert_eq!(
        lost(&format!("{begun}test b ... Warning: x\nFAILED\n")),
        [
            "vm_x: b",
            "vm_x: running when it happened, no later test ran: the VM was lost"
        ]
    );
    assert_eq!(lost(""), ["the VM was lost"]);
}

#[test]
fn binaries_are_named_as_a_reader_knows_them() {
    let begun = |line| begun(line).unwrap();
    assert_eq!(
        begun("     Running unittests src/lib.rs (target/debug/deps/netchaos-0a)"),
        "netchaos (unittests src/lib.rs)"
    );
    assert_eq!(
        begun("   Doc-tests netchaos"),
        "netchaos (examples in its documentation)"
    );
    assert_eq!(
        begun("     Running vm_delay (/t/debug/deps/vm_delay-0a)"),
        "vm_delay"
    );
}

#[test]
fn what_keeps_a_stage_from_ending_is_a_failure() {
    let mut results = Results::new("vm 6.1", true);
    results.end(Some(Failure::Certain("the VM does not boot".into())));
    assert_eq!(results.counts.failed, 1);
    assert_eq!(results.counts.to_string(), "0 passed, 1 failed, 0 skipped");
    let mut results = fed(OUTPUT, false);
    results.end(Some(Failure::Unexplained("status 1".into())));
    assert_eq!(results.counts.failed, 1);
}
