#![no_main]

use libfuzzer_sys::fuzz_target;
use netchaos_tests::fuzz::named;

fuzz_target!(
    init: named("names").leave_seeds(),
    |input: &[u8]| named("names").feed(input)
);
