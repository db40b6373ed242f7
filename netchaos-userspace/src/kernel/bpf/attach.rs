//! Attaching a program to clsact.

use std::mem;

use aya::programs::{
    SchedClassifier, TcAttachType,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
};

use super::Error;
use crate::kernel::netlink::Hook;

/// The program at egress of the device that the faults are on.
pub const EGRESS: &str = "netchaos_egress";
/// The program at its ingress. The kernel keeps 15 characters of a program's name
/// (BPF_OBJ_NAME_LEN), by which it is found again: "ingress" does not fit.
pub const INGRESS: &str = "netchaos_in";
/// The program at clsact egress of a pair's lower device.
pub const BACK: &str = "netchaos_back";

/// The name of our program at a hook of the device that the faults are on.
pub const fn name_at(hook: Hook) -> &'static str {
    match hook {
        Hook::Ingress => INGRESS,
        Hook::Egress => EGRESS,
    }
}

/// `pref` of our filters: first in line. Whoever comes before us and ends the chain would hide
/// the packets from us; we never end it.
pub const PREFERENCE: u16 = 1;
/// `handle` of our filters, "NC".
pub const HANDLE: u32 = 0x4e43;
/// `handle` of our filter on a device that had no clsact before: with the last filter it goes.
pub const HANDLE_WITH_CLSACT: u32 = 0x4e44;

/// Attaches a program as a direct-action filter.
///
/// It is bound by netlink and not by a BPF link: a link would be gone with this process or need a
/// pin in a bpffs. The device is looked up by name in the calling thread's namespace.
///
/// # Errors
/// The kernel's refusal, EEXIST where our filter is there already.
pub fn attach(
    program: &mut SchedClassifier,
    device: &str,
    hook: Hook,
    handle: u32,
) -> Result<(), Error> {
    let options = NlOptions {
        priority: PREFERENCE,
        handle: TcHandle::from(handle),
        classid: None,
    };
    let id = program
        .attach_with_options(device, attach_type(hook), TcAttachOptions::Netlink(options))
        .map_err(|error| Error::new(format!("attach the classifier to {device}"), error))?;
    let_go(program, id)
}

/// Replaces the program of our filter in one step: each packet sees the old one or the new one.
///
/// # Errors
/// The kernel's refusal.
pub fn replace(
    program: &mut SchedClassifier,
    device: &str,
    hook: Hook,
    handle: u32,
) -> Result<(), Error> {
    let what = || format!("replace the classifier on {device}");
    let handle = TcHandle::from(handle);
    let link = SchedClassifierLink::attached(device, attach_type(hook), PREFERENCE, handle, None)
        .map_err(|error| Error::new(what(), error))?;
    let id = program
        .attach_to_link(link)
        .map_err(|error| Error::new(what(), error))?;
    let_go(program, id)
}

/// The filter outlives this process: aya's link would delete it on drop.
fn let_go(
    program: &mut SchedClassifier,
    id: aya::programs::tc::SchedClassifierLinkId,
) -> Result<(), Error> {
    let link = program
        .take_link(id)
        .map_err(|error| Error::new("let go of the classifier", error))?;
    mem::forget(link);
    Ok(())
}

const fn attach_type(hook: Hook) -> TcAttachType {
    match hook {
        Hook::Ingress => TcAttachType::Ingress,
        Hook::Egress => TcAttachType::Egress,
    }
}
