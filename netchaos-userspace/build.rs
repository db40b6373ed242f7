//! Builds the kernel side and leaves it as `$OUT_DIR/netchaos-classifier`.
//!
//! The BPF target comes with no core library, so that one build uses `-Z build-std`. The compiler
//! is the one that builds everything else: a stable one is allowed unstable flags for this
//! sub-build alone (RUSTC_BOOTSTRAP).

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const PACKAGE: &str = "netchaos-ebpf";
const PROGRAM: &str = "netchaos-classifier";
/// Editors and lint jobs set it to do without bpf-linker.
const SKIP: &str = "NETCHAOS_SKIP_EBPF";

fn main() {
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let output = PathBuf::from(variable("OUT_DIR")).join(PROGRAM);
    for source in ["netchaos-ebpf", "netchaos-common"] {
        println!("cargo::rerun-if-changed=../{source}");
    }
    println!("cargo::rerun-if-env-changed={SKIP}");
    if env::var_os(SKIP).is_some() {
        // Enough for `include_bytes!`; loading it fails.
        fs::write(&output, []).expect("OUT_DIR can be written");
        return;
    }
    let target = match variable("CARGO_CFG_TARGET_ENDIAN").as_str() {
        "big" => "bpfeb-unknown-none",
        _ => "bpfel-unknown-none",
    };
    // OUT_DIR is TARGET/PROFILE/build/PACKAGE-HASH/out. The program is the same for all profiles and features: built once.
    let out_dir = PathBuf::from(variable("OUT_DIR"));
    let target_dir = out_dir.ancestors().nth(4).unwrap_or(&out_dir).join("ebpf");
    let flags = [
        format!(
            "--cfg=bpf_target_arch=\"{}\"",
            variable("CARGO_CFG_TARGET_ARCH")
        ),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
    ];
    let status = Command::new(variable("CARGO"))
        .args(["build", "--release", "--package", PACKAGE, "--bins"])
        .args(["-Z", "build-std=core", "--target", target, "--target-dir"])
        .arg(&target_dir)
        .current_dir(Path::new(&variable("CARGO_MANIFEST_DIR")).join(".."))
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        // The host's wrappers (clippy's driver among them) know nothing of this target.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTC_WRAPPER")
        .status()
        .unwrap_or_else(|error| panic!("cannot run cargo for {PACKAGE}: {error}"));
    assert!(
        status.success(),
        "building {PACKAGE} failed. It needs rust-src and bpf-linker: `cargo xtask build` gets both"
    );
    fs::copy(
        target_dir.join(target).join("release").join(PROGRAM),
        &output,
    )
    .expect("cargo has built the program");
}
