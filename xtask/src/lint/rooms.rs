//! The rooms of netchaos-userspace and what each may use. Read off the sources' text: what a rule forbids is not
//! worth hiding from it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// What must not be named, and where.
struct Rule {
    why: &'static str,
    /// Paths as in a `use` line, or a crate's name.
    forbidden: &'static [&'static str],
    applies: fn(room: &str) -> bool,
}

const RULES: [Rule; 7] = [
    Rule {
        why: "experiment and plan are pure: same input, same plan",
        forbidden: &[
            "crate::kernel",
            "crate::engine",
            "crate::place",
            "crate::names",
            "crate::cli",
            "tokio",
            "nix",
            "libc",
            "aya",
            "rtnetlink",
            "std::fs",
            "std::env",
            "std::io",
            "std::process",
            "std::thread",
            "std::os",
            "std::time::SystemTime",
            "std::time::Instant",
            "std::net::TcpStream",
            "std::net::TcpListener",
            "std::net::UdpSocket",
        ],
        applies: |room| in_room(room, "experiment") || in_room(room, "plan"),
    },
    Rule {
        why: "only kernel/netlink speaks netlink",
        forbidden: &[
            "rtnetlink",
            "netlink_packet_core",
            "netlink_packet_route",
            "netlink_proto",
            "netlink_sys",
        ],
        applies: |room| !in_room(room, "kernel/netlink"),
    },
    Rule {
        why: "only kernel/bpf uses aya",
        forbidden: &["aya", "aya_log", "aya_obj"],
        applies: |room| !in_room(room, "kernel/bpf"),
    },
    Rule {
        why: "only kernel/netns changes namespaces",
        forbidden: &["nix::sched::setns", "libc::setns"],
        applies: |room| !in_room(room, "kernel/netns"),
    },
    Rule {
        why: "only agent speaks with Kubernetes",
        forbidden: &["kube", "k8s_openapi", "kube_lease_manager"],
        applies: |room| !in_room(room, "agent"),
    },
    Rule {
        why: "the faces use the other rooms, and not the other way round",
        forbidden: &["crate::agent", "crate::cli", "crate::door"],
        applies: |room| {
            !["agent", "cli", "door"]
                .iter()
                .any(|face| in_room(room, face))
        },
    },
    Rule {
        why: "netchaos runs no other programs",
        forbidden: &[
            "std::process::Command",
            "tokio::process",
            "nix::unistd::execv",
            "nix::unistd::execve",
        ],
        applies: |_| true,
    },
];

/// True for `plan.rs`, `plan/mod.rs`, `plan/tables.rs` in the room `plan`.
fn in_room(file: &str, room: &str) -> bool {
    file.strip_prefix(room)
        .is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

/// Every breach of a rule, as `file: what: why`.
///
/// # Errors
/// When the sources cannot be read.
pub fn violations(root: &Path) -> Result<Vec<String>> {
    let source = root.join("netchaos-userspace/src");
    let mut files = Vec::new();
    collect(&source, &mut files)?;
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let room = file.strip_prefix(&source)?.to_string_lossy().into_owned();
        if room.ends_with("tests.rs") || room.contains("/tests/") {
            continue;
        }
        found.extend(breaches(&room, &fs::read_to_string(&file)?));
    }
    Ok(found)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn breaches(room: &str, text: &str) -> Vec<String> {
    let paths = paths(text);
    let rules = RULES.iter().filter(|rule| (rule.applies)(room));
    let named = rules.flat_map(|rule| rule.forbidden.iter().map(move |name| (rule.why, *name)));
    named
        .filter(|(_, name)| {
            paths
                .iter()
                .any(|path| path == name || path.starts_with(&format!("{name}::")))
        })
        .map(|(why, name)| format!("{room}: {name}: {why}"))
        .collect()
}

/// The paths that a source file's code names, those of grouped `use` lines spelt out. Comments, and tests at the
/// file's end, do not count.
fn paths(text: &str) -> Vec<String> {
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text);
    let lines = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or(line));
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for statement in code.split(';') {
        if let Some((_, tree)) = statement.rsplit_once("use ") {
            spell_out("", tree, &mut found);
        }
    }
    let in_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let inline = code
        .split(|c: char| !in_path(c))
        .filter(|word| word.contains("::"));
    found.extend(inline.map(|word| word.trim_matches(':').to_owned()));
    found
}

/// Adds `a::b` and `a::c::d` for the tree `a::{b, c::{d}}`.
fn spell_out(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    if let Some((head, group)) = tree.split_once('{') {
        let group = group.trim_end().strip_suffix('}').unwrap_or(group);
        let prefix = format!("{prefix}{}", head.trim());
        for branch in branches(group) {
            spell_out(&prefix, branch, found);
        }
    } else if !tree.is_empty() {
        let path = tree.split_whitespace().next().unwrap_or(tree);
        let path = if path == "self" {
            prefix.trim_end_matches("::").to_owned()
        } else {
            format!("{prefix}{path}")
        };
        found.push(path);
    }
}

/// Splits at the commas that lie in no inner group.
fn branches(group: &str) -> Vec<&str> {
    let mut depth = 0;
    let split = |c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    };
    group.split(split).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(room: &str, text: &str) -> usize {
        breaches(room, text).len()
    }

    #[test]
    fn this_workspace_keeps_to_the_rules() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(violations(root).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn grouped_uses_are_spelt_out() {
        let paths = paths("use std::{fs::{self, File}, time::{Duration, Instant as Now}};\n");
        for path in [
            "std::fs",
            "std::fs::File",
            "std::time::Duration",
            "std::time::Instant",
        ] {
            assert!(
                paths.iter().any(|found| found == path),
                "{path} in {paths:?}"
            );
        }
    }

    #[test]
    fn pure_rooms_do_no_io() {
        assert_eq!(
            count("plan/mod.rs", "use std::{collections::BTreeMap, fs};\n"),
            1
        );
        assert_eq!(
            count(
                "experiment.rs",
                "fn f() { std::time::SystemTime::now(); }\n"
            ),
            1
        );
        assert_eq!(
            count(
                "plan/mod.rs",
                "use crate::{experiment::Peer, kernel::netlink};\n"
            ),
            1
        );
        assert_eq!(
            count(
                "plan/mod.rs",
                "use std::{net::IpAddr, time::Duration};\n// std::fs\n"
            ),
            0
        );
        assert_eq!(count("planner.rs", "use std::fs;\n"), 0);
    }

    #[test]
    fn each_library_has_its_room() {
        assert_eq!(
            count("engine/mod.rs", "use aya::Ebpf;\nuse rtnetlink::Handle;\n"),
            2
        );
        assert_eq!(count("kernel/bpf/load.rs", "use aya::Ebpf;\n"), 0);
        assert_eq!(
            count(
                "kernel/netlink/qdisc.rs",
                "use netlink_packet_route::tc::TcMessage;\n"
            ),
            0
        );
        assert_eq!(
            count("place/mod.rs", "use nix::sched::{CloneFlags, setns};\n"),
            1
        );
        assert_eq!(
            count(
                "cli/mod.rs",
                "fn f() { std::process::Command::new(\"tc\"); }\n"
            ),
            1
        );
        assert_eq!(count("cli/mod.rs", "use self::args::Command;\n"), 0);
    }
}
