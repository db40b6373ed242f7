//! The programs of Kubernetes, etcd and Helm, built from their Go modules into the cache.
//!
//! `xtask/kubernetes/go.mod` and `go.sum` say which versions, to the hash. One go.mod for all, so that what they share
//! is compiled once. A version is changed by `go get -tool k8s.io/kubernetes/cmd/kubelet@v…` there, and by hand in the
//! lines `replace`, which are the versions of the parts that the same release consists of.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::ctx::Ctx;
use crate::setup::go::Go;
use crate::ui::Step;

const MODULES: &str = include_str!("../../kubernetes/go.mod");

/// A program, and the package that it is built from.
struct Program {
    name: &'static str,
    package: &'static str,
}

const fn program(name: &'static str, package: &'static str) -> Program {
    Program { name, package }
}

/// What a control plane without nodes needs, and the tests call.
const PLANE: [Program; 4] = [
    program("etcd", "go.etcd.io/etcd/server/v3"),
    program("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    program("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    program("helm", "helm.sh/helm/v3/cmd/helm"),
];
/// What real nodes need besides.
const NODES: [Program; 4] = [
    program(
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    program("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    program("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    program("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
];

/// The folder with the programs that are needed, built when they are not there.
///
/// # Errors
/// When there is no Go, or the build fails.
pub fn ready(ctx: &Ctx, with_nodes: bool) -> Result<PathBuf> {
    let _lock = ctx.lock("kubernetes")?;
    let version = version_of("k8s.io/kubernetes").context("go.mod names no Kubernetes")?;
    let dir = ctx.cache.join(format!("kubernetes-{version}"));
    let (bin, stamp) = (dir.join("bin"), dir.join("go.mod"));
    if fs::read_to_string(&stamp).ok().as_deref() != Some(MODULES) {
        fs::remove_dir_all(&dir).ok();
        fs::create_dir_all(&bin).with_context(|| format!("cannot make {}", bin.display()))?;
        fs::write(&stamp, MODULES)?;
    }
    let nodes: &[Program] = if with_nodes { &NODES } else { &[] };
    let missing: Vec<_> = PLANE
        .iter()
        .chain(nodes)
        .filter(|program| !bin.join(program.name).exists())
        .collect();
    if !missing.is_empty() {
        build(ctx, version, &missing, &dir)?;
    }
    Ok(bin)
}

fn build(ctx: &Ctx, version: &str, programs: &[&Program], dir: &Path) -> Result<()> {
    let go = Go::ready(ctx)?;
    // A program is in bin whole or not at all.
    let new = dir.join("new");
    fs::remove_dir_all(&new).ok();
    fs::create_dir_all(&new)?;
    let has = |all: &[Program]| {
        programs
            .iter()
            .any(|one| all.iter().any(|is| is.name == one.name))
    };
    let minutes = match (has(&PLANE), has(&NODES)) {
        (true, true) => "five",
        (true, false) => "four",
        _ => "two",
    };
    let names: Vec<_> = programs.iter().map(|program| program.name).collect();
    let what = format!(
        "building {} of Kubernetes {version} (once per machine, about {minutes} minutes with two processors)",
        names.join(", ")
    );
    let mut command = go.command();
    command
        .args([
            "build",
            "-v",
            "-mod=readonly",
            "-trimpath",
            "-buildvcs=false",
        ])
        .args(["-ldflags", &linked(version), "-o"])
        .arg(&new)
        .args(programs.iter().map(|program| program.package))
        .current_dir(ctx.root.join("xtask/kubernetes"));
    Step::new(&what).run(&mut command)?;
    for program in programs {
        let built = new.join(file_of(program.package));
        fs::rename(&built, dir.join("bin").join(program.name))
            .with_context(|| format!("go built no {}", built.display()))?;
    }
    fs::remove_dir_all(&new)?;
    Ok(())
}

/// The version goes in by the linker; without it a kubelet calls itself v0.0.0, and its API server refuses it.
fn linked(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let mut number = || numbers.next().unwrap_or_default();
    let values = [
        ("gitVersion", version),
        ("gitMajor", number()),
        ("gitMinor", number()),
        ("gitTreeState", "clean"),
    ];
    let flags =
        values.map(|(name, value)| format!(" -X k8s.io/component-base/version.{name}={value}"));
    format!("-s -w{}", flags.concat())
}

/// What go calls the program of a package: the last part of its path that is no major version.
fn file_of(package: &str) -> &str {
    let is_version = |part: &&str| {
        part.strip_prefix('v')
            .is_none_or(|rest| rest.parse::<u32>().is_err())
    };
    package.rsplit('/').find(is_version).unwrap_or(package)
}

/// The version of a module in the lines `require`.
fn version_of(module: &str) -> Option<&'static str> {
    MODULES.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == module).then(|| words.next())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_a_tool_of_the_go_mod() {
        for program in PLANE.iter().chain(&NODES) {
            let line = format!("\t{}", program.package);
            assert!(MODULES.lines().any(|is| is == line), "{}", program.package);
        }
        assert_eq!(file_of(PLANE[0].package), "server");
        assert_eq!(file_of(PLANE[2].package), "kubectl");
    }

    #[test]
    fn all_parts_of_kubernetes_are_of_one_release() {
        let version = version_of("k8s.io/kubernetes").unwrap();
        let part = version.replacen("v1.", "v0.", 1);
        let replaced: Vec<_> = MODULES
            .lines()
            .filter_map(|line| line.split_once(" => "))
            .collect();
        assert!(replaced.len() > 20);
        for (name, by) in replaced {
            assert_eq!(by, format!("{} {part}", name.trim()));
        }
        assert!(linked(version).contains("gitMinor=34"));
    }
}
