#![no_main]

use libfuzzer_sys::fuzz_target;
use netchaos_tests::fuzz::named;

fuzz_target!(
    init: named("manifest").leave_seeds(),
    |input: &[u8]| named("manifest").feed(input)
);
