//! The running kernel's verifier takes every program.

use netchaos::kernel::bpf;

#[test]
fn the_verifier_takes_every_program() {
    let loaded = bpf::load_each().expect("the verifier refuses a program");
    for (name, instructions) in &loaded {
        println!("{name}: {instructions} instructions verified");
        assert!(*instructions > 0, "{name}: none verified");
    }
    assert_eq!(loaded.len(), bpf::PROGRAMS.len());
}
