//! Chains of the older iptables(8), whose tables are read by getsockopt(2) and not by netlink.
//! They are only looked at.

use std::{fs, io, mem, net::UdpSocket, os::fd::AsRawFd as _};

/// Tables of the calling thread's namespace that somebody has used. Asking the kernel for another
/// one would make it.
const TABLES: &str = "/proc/thread-self/net/ip_tables_names";
/// Where all of Chaos Mesh's chains are.
const FILTER: &str = "filter";

/// linux/netfilter_ipv4/ip_tables.h.
const IPT_SO_GET_INFO: libc::c_int = 64;
const IPT_SO_GET_ENTRIES: libc::c_int = 65;
/// `struct ipt_get_entries` before its entries.
const ENTRIES: usize = 40;
/// `struct ipt_entry` up to its match: where its target and the next entry begin.
const ENTRY: usize = 112;
const TARGET_OFFSET: usize = 88;
const NEXT_OFFSET: usize = 90;

/// `struct ipt_getinfo`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Info {
    name: [u8; 32],
    valid_hooks: u32,
    hook_entry: [u32; 5],
    underflow: [u32; 5],
    entries: u32,
    size: u32,
}

/// The chains that somebody has added to the table `filter` for IPv4; none where it is not in use.
///
/// # Errors
/// The kernel's refusal: asking takes CAP_NET_ADMIN.
pub fn chains() -> io::Result<Vec<String>> {
    let tables = match fs::read_to_string(TABLES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    if !tables.lines().any(|table| table == FILTER) {
        return Ok(Vec::new());
    }
    // Any socket of IPv4 does.
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    let mut info = [0; mem::size_of::<Info>()];
    info[..FILTER.len()].copy_from_slice(FILTER.as_bytes());
    get(&socket, IPT_SO_GET_INFO, &mut info)?;
    let size = u32_at(&info, mem::offset_of!(Info, size)).unwrap_or(0);
    let mut table = vec![0; ENTRIES + size as usize];
    table[..FILTER.len()].copy_from_slice(FILTER.as_bytes());
    table[32..36].copy_from_slice(&size.to_ne_bytes());
    // EAGAIN: it has changed in between, and somebody is at work with it.
    get(&socket, IPT_SO_GET_ENTRIES, &mut table)?;
    Ok(chains_of(&table[ENTRIES..]))
}

/// getsockopt(2) with a buffer that holds the question first and then the answer.
fn get(socket: &UdpSocket, option: libc::c_int, buffer: &mut [u8]) -> io::Result<()> {
    let mut length = buffer.len() as libc::socklen_t;
    // SAFETY: the kernel reads and writes no more bytes of the buffer than `length` says.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            option,
            buffer.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A chain that was added begins with an entry whose target is `ERROR` and has its name
/// (`struct xt_error_target`); so ends the table, with that name.
fn chains_of(mut entries: &[u8]) -> Vec<String> {
    const NAME: &[u8] = b"ERROR\0";
    /// `struct xt_entry_target`, and where the kind's name is in it.
    const TARGET: usize = 32;
    const KIND: usize = 2;
    /// And how long the name behind it is.
    const LONGEST: usize = 30;
    let mut chains = Vec::new();
    while entries.len() >= ENTRY {
        let target = u16_at(entries, TARGET_OFFSET).map_or(entries.len(), usize::from);
        let next = u16_at(entries, NEXT_OFFSET).map_or(0, usize::from);
        let target = entries.get(target..).unwrap_or_default();
        if target
            .get(KIND..)
            .is_some_and(|kind| kind.starts_with(NAME))
        {
            let name = target.get(TARGET..TARGET + LONGEST).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            chains.push(String::from_utf8_lossy(name).into_owned());
        }
        if next < ENTRY {
            break;
        }
        entries = entries.get(next..).unwrap_or_default();
    }
    chains.retain(|chain| !chain.is_empty() && chain != "ERROR");
    chains
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry without matches.
    fn entry(kind: &str, name: &str) -> Vec<u8> {
        let mut bytes = vec![0; ENTRY + 64];
        let length = bytes.len() as u16;
        bytes[TARGET_OFFSET..NEXT_OFFSET].copy_from_slice(&(ENTRY as u16).to_ne_bytes());
        bytes[NEXT_OFFSET..NEXT_OFFSET + 2].copy_from_slice(&length.to_ne_bytes());
        bytes[ENTRY + 2..ENTRY + 2 + kind.len()].copy_from_slice(kind.as_bytes());
        bytes[ENTRY + 32..ENTRY + 32 + name.len()].copy_from_slice(name.as_bytes());
        bytes
    }

    #[test]
    fn chains_are_found_by_their_first_entry() {
        let table = [
            entry("", "CHAOS-OUTPUT"),
            entry("ERROR", "CHAOS-INPUT"),
            entry("DROP", ""),
            entry("ERROR", "other"),
            entry("ERROR", "ERROR"),
        ]
        .concat();
        assert_eq!(chains_of(&table), ["CHAOS-INPUT", "other"]);
        for length in 0..table.len() {
            assert!(chains_of(&table[..length]).len() <= 2);
        }
    }

    #[test]
    fn an_entry_without_a_next_one_ends_the_table() {
        let mut table = entry("ERROR", "CHAOS-INPUT");
        table[NEXT_OFFSET..NEXT_OFFSET + 2].fill(0);
        assert_eq!(chains_of(&table), ["CHAOS-INPUT"]);
    }
}
