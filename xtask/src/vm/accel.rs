//! KVM or emulation: found out by booting, since there are machines where `/dev/kvm` opens and guests die.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use clap::ValueEnum;

use crate::ctx::Ctx;

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    /// KVM where a VM boots with it, else emulation
    Auto,
    /// The host's processor
    Kvm,
    /// QEMU's emulation
    Tcg,
}

impl Choice {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// QEMU's accelerators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// The host's processor.
    Kvm,
    /// Emulation.
    Tcg,
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

impl Accel {
    /// The VM's processors where nobody asks for a number.
    ///
    /// Under emulation more than one run in threads of their own, and QEMU (seen with 7.2) does not keep a processor
    /// from running old code while another one patches it, as Linux does when a static key flips: the guest dies by
    /// "Oops: int3" at one of the key's places. Reported in July 2023 to the kernel's list as "qemu-x86_64 booting
    /// with 8.0.0 stil see int3", and as bug 2216496 to Red Hat's Bugzilla.
    pub fn default_cpus(self) -> u32 {
        match self {
            Self::Kvm => 2,
            Self::Tcg => 1,
        }
    }
}

/// One try at booting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// How.
    pub accel: Accel,
    /// The VM has to be up within this.
    pub bound: Duration,
}

/// Boots in two to three seconds on an idle machine, and is given time for a busy one.
const TCG: Attempt = Attempt {
    accel: Accel::Tcg,
    bound: Duration::from_secs(90),
};
const KVM: Attempt = Attempt {
    accel: Accel::Kvm,
    bound: Duration::from_secs(30),
};
/// Where KVM does not work a guest often hangs: nobody should wait long for that.
const KVM_PROBE: Attempt = Attempt {
    accel: Accel::Kvm,
    bound: Duration::from_secs(8),
};

/// The boots to be tried, in this order, until one works.
pub fn attempts(ctx: &Ctx, choice: Choice) -> Vec<Attempt> {
    plan(choice, known(ctx), Path::new("/dev/kvm").exists())
}

fn plan(choice: Choice, known: Option<Accel>, has_kvm: bool) -> Vec<Attempt> {
    match (choice, known) {
        (Choice::Tcg, _) | (Choice::Auto, Some(Accel::Tcg)) => vec![TCG, TCG],
        (Choice::Auto, _) if !has_kvm => vec![TCG, TCG],
        (Choice::Kvm, _) => vec![KVM, KVM],
        (Choice::Auto, Some(Accel::Kvm)) => vec![KVM, KVM, TCG],
        (Choice::Auto, None) => vec![KVM_PROBE, TCG, TCG],
    }
}

/// Two VMs may find it out at the same time.
static KEEPING: Mutex<()> = Mutex::new(());

/// Keeps what `auto` has found out, until the machine boots again.
pub fn boot_worked(ctx: &Ctx, choice: Choice, accel: Accel) {
    let Some(boot) = boot_id() else { return };
    let _one_at_a_time = KEEPING.lock();
    if choice != Choice::Auto || known(ctx) == Some(accel) {
        return;
    }
    // Not to be kept is no reason to fail: the next run finds out again.
    let half = ctx.cache.join(format!(".accel-{}", std::process::id()));
    if fs::write(&half, format!("{boot} {accel}\n")).is_ok() {
        fs::rename(half, file(ctx)).ok();
    }
}

fn known(ctx: &Ctx) -> Option<Accel> {
    let text = fs::read_to_string(file(ctx)).ok()?;
    let (boot, accel) = text.trim().split_once(' ')?;
    (boot == boot_id()?).then(|| {
        [Accel::Kvm, Accel::Tcg]
            .into_iter()
            .find(|known| known.to_string() == accel)
    })?
}

fn file(ctx: &Ctx) -> PathBuf {
    ctx.cache.join("accel")
}

fn boot_id() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .map(|id| id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_tries_kvm_once_and_remembers() {
        let accels = |choice, known, has_kvm| {
            plan(choice, known, has_kvm)
                .iter()
                .map(|a| a.accel.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(accels(Choice::Auto, None, true), ["kvm", "tcg", "tcg"]);
        assert_eq!(accels(Choice::Auto, None, false), ["tcg", "tcg"]);
        assert_eq!(accels(Choice::Auto, Some(Accel::Tcg), true), ["tcg", "tcg"]);
        assert_eq!(
            accels(Choice::Auto, Some(Accel::Kvm), true),
            ["kvm", "kvm", "tcg"]
        );
        assert_eq!(accels(Choice::Kvm, Some(Accel::Tcg), true), ["kvm", "kvm"]);
        assert_eq!(accels(Choice::Tcg, Some(Accel::Kvm), true), ["tcg", "tcg"]);
    }
}
