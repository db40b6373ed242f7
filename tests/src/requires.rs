//! What a test needs of the kernel. A test that cannot run says so where nobody overlooks it, and
//! fails on a kernel that must have what it needs.

use std::{collections::BTreeMap, io::Write as _, sync::Mutex, thread};

use nix::sys::utsname::uname;

use crate::{
    command::{run, words},
    netns::Netns,
};

/// Something that not every kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    Prio,
    Netem,
    Macvlan,
    Dummy,
    Htb,
    Flower,
    Vlan,
}

/// What netchaos itself needs for a delay.
pub const DELAY: &[Need] = &[Need::Prio, Need::Netem, Need::Macvlan, Need::Dummy];

/// The name that `xtask vm` gives to its machines. Their kernels are Debian's, which have had all
/// of [`Need`] as modules since 5.10.
const VM: &str = "netchaos-vm";

impl Need {
    /// The commands that work where the kernel has it.
    const fn trial(self) -> &'static [&'static str] {
        match self {
            Self::Prio => &["tc qdisc add dev lo root prio bands 16"],
            Self::Netem => &["tc qdisc add dev lo root netem delay 1ms"],
            Self::Macvlan => &[
                "ip link add v0 type veth peer name v1",
                "ip link add m0 link v0 type macvlan mode private",
            ],
            Self::Dummy => &["ip link add d0 type dummy"],
            Self::Htb => &["tc qdisc add dev lo root htb"],
            Self::Flower => &[
                "tc qdisc add dev lo clsact",
                "tc filter add dev lo ingress protocol ip flower ip_proto udp dst_port 9 action drop",
            ],
            Self::Vlan => &[
                "ip link add v0 type veth peer name v1",
                "ip link add v0.5 link v0 type vlan id 5",
            ],
        }
    }

    /// Tries it in a namespace made for that; the kernel's words where it does not work.
    fn missing(self) -> Option<String> {
        let scratch = Netns::new("try");
        self.trial().iter().find_map(|line| {
            let words = words(line);
            let done = run(words[0], &[&["-n", scratch.name()], &words[1..]].concat());
            let words = done.stderr.trim().replace('\n', " ");
            (!done.status.success()).then(|| format!("{self:?}: `{line}`: {words}"))
        })
    }
}

/// Whether the calling test can run here. If not, that has been said on stderr, past the test
/// harness.
///
/// # Panics
/// When it cannot run in a VM of ours, where it must.
pub fn can_run(needs: &[Need]) -> bool {
    let Some(why) = reason_against(needs) else {
        return true;
    };
    not_run(&why);
    false
}

/// Whether the calling test, which is about what happens without these, can run here. If not, that
/// has been said as [`can_run`] says it.
pub fn can_run_without(needs: &[Need]) -> bool {
    if reason_against(needs).is_some() {
        return true;
    }
    not_run("the kernel lacks nothing");
    false
}

fn not_run(why: &str) {
    // The harness calls a test's thread by the test's name.
    let thread = thread::current();
    let test = thread.name().expect("a test's thread has a name");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("/proc is mounted");
    assert_ne!(host.trim(), VM, "{test} must run in this VM: {why}");
    // Not eprintln!, which the test harness swallows when a test passes.
    writeln!(std::io::stderr(), "NOT RUN: {test}: {why}").expect("stderr is open");
}

/// Major and minor number of the running kernel's version.
///
/// # Panics
/// Never: every kernel has them.
pub fn kernel_version() -> (u32, u32) {
    let name = uname().expect("every kernel has a name");
    let release = name.release().to_string_lossy().into_owned();
    let mut numbers = release.split('.').map(|number| {
        let end = number.find(|character: char| !character.is_ascii_digit());
        number[..end.unwrap_or(number.len())]
            .parse()
            .expect("a number")
    });
    let mut next = || numbers.next().expect("two numbers at least");
    (next(), next())
}

fn reason_against(needs: &[Need]) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("it needs root".to_owned());
    }
    // Tried once: a kernel does not change under a test.
    static TRIED: Mutex<BTreeMap<Need, Option<String>>> = Mutex::new(BTreeMap::new());
    let mut tried = TRIED.lock().expect("trying does not panic");
    let missing: Vec<String> = needs
        .iter()
        .filter_map(|need| tried.entry(*need).or_insert_with(|| need.missing()).clone())
        .collect();
    (!missing.is_empty()).then(|| format!("the kernel lacks {}", missing.join("; ")))
}
