//! Names of what is in the kernel's packet filter: the sets of ipset(8), the chains of nft(8). They
//! are only looked at: netchaos makes none.

use std::io;

use bytes::{BufMut as _, BytesMut};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use rtnetlink::sys::{Socket, protocols::NETLINK_NETFILTER};

use super::encode::{attributes, put_attribute};

/// `struct nlmsghdr` and, behind it, `struct nfgenmsg` (linux/netfilter/nfnetlink.h).
const HEADER: usize = 16;
const FAMILY: usize = 4;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// IPv4, the only family that iptables(8) and Chaos Mesh know chains of.
const NFPROTO_IPV4: u8 = 2;

/// A set of ipset(8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub name: String,
    /// `hash:net` and so on.
    pub kind: String,
}

/// A chain of nft(8), which the newer iptables(8) makes too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub table: String,
    pub name: String,
}

/// The sets of the calling thread's namespace; none where the kernel has no ipset.
///
/// # Errors
/// The kernel's refusal: asking takes CAP_NET_ADMIN.
pub fn sets() -> io::Result<Vec<Set>> {
    const NFNL_SUBSYS_IPSET: u16 = 6;
    const IPSET_CMD_LIST: u16 = 7;
    const IPSET_ATTR_PROTOCOL: u16 = 1;
    const IPSET_ATTR_SETNAME: u16 = 2;
    const IPSET_ATTR_TYPENAME: u16 = 3;
    const IPSET_ATTR_FLAGS: u16 = 6;
    /// The protocol of Linux 3.8 and newer.
    const PROTOCOL: u8 = 6;
    /// Names and types, without what is in them.
    const IPSET_FLAG_LIST_HEADER: u32 = 1 << 2;
    const NLA_F_NET_BYTEORDER: u16 = 1 << 14;
    let mut asked = BytesMut::new();
    put_attribute(&mut asked, IPSET_ATTR_PROTOCOL, |value| {
        value.put_u8(PROTOCOL);
    });
    let flags = IPSET_ATTR_FLAGS | NLA_F_NET_BYTEORDER;
    put_attribute(&mut asked, flags, |value| {
        value.put_u32(IPSET_FLAG_LIST_HEADER);
    });
    let answers = dump(NFNL_SUBSYS_IPSET << 8 | IPSET_CMD_LIST, &asked)?;
    let set = |answer: &Vec<u8>| {
        Some(Set {
            name: text(answer, IPSET_ATTR_SETNAME)?,
            kind: text(answer, IPSET_ATTR_TYPENAME).unwrap_or_default(),
        })
    };
    Ok(answers.iter().filter_map(set).collect())
}

/// The chains for IPv4 of the calling thread's namespace; none where the kernel has no nf_tables.
///
/// # Errors
/// The kernel's refusal: asking takes CAP_NET_ADMIN.
pub fn chains() -> io::Result<Vec<Chain>> {
    const NFNL_SUBSYS_NFTABLES: u16 = 10;
    const NFT_MSG_GETCHAIN: u16 = 4;
    const NFTA_CHAIN_TABLE: u16 = 1;
    const NFTA_CHAIN_NAME: u16 = 3;
    let answers = dump(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, &[])?;
    let chain = |answer: &Vec<u8>| {
        Some(Chain {
            table: text(answer, NFTA_CHAIN_TABLE)?,
            name: text(answer, NFTA_CHAIN_NAME)?,
        })
    };
    Ok(answers.iter().filter_map(chain).collect())
}

/// The attributes of each answer to a question for all that there are.
fn dump(kind: u16, asked: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    /// The kernel packs no more than this into one answer.
    const LONGEST: usize = 64 << 10;
    let mut socket = match Socket::new(NETLINK_NETFILTER) {
        Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => return Ok(Vec::new()),
        other => other?,
    };
    socket.bind_auto()?;
    let mut request = BytesMut::new();
    request.put_u32_ne((HEADER + FAMILY + asked.len()) as u32);
    request.put_u16_ne(kind);
    request.put_u16_ne(NLM_F_REQUEST | NLM_F_DUMP);
    // The number of the request, and the port of the kernel.
    request.put_u64_ne(0);
    request.put_slice(&[NFPROTO_IPV4, 0, 0, 0]);
    request.put_slice(asked);
    socket.send(&request, 0)?;
    let mut answers = Vec::new();
    loop {
        let mut bytes = Vec::with_capacity(LONGEST);
        socket.recv(&mut bytes, 0)?;
        if take(&bytes, &mut answers)? {
            return Ok(answers);
        }
    }
}

/// Takes the messages out of what has come; true with the last one.
fn take(mut bytes: &[u8], answers: &mut Vec<Vec<u8>>) -> io::Result<bool> {
    let cut_short = || io::Error::from(io::ErrorKind::UnexpectedEof);
    if bytes.is_empty() {
        return Err(cut_short());
    }
    while !bytes.is_empty() {
        let header = bytes.get(..HEADER).ok_or_else(cut_short)?;
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let payload = bytes.get(HEADER..length).ok_or_else(cut_short)?;
        match kind {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let code = payload.get(..4).ok_or_else(cut_short)?;
                let code = -i32::from_ne_bytes([code[0], code[1], code[2], code[3]]);
                // Neither the subsystem nor a module for it, or (of sets) nothing there.
                let is_nothing = [0, libc::EINVAL, libc::EOPNOTSUPP, libc::ENOENT];
                return if is_nothing.contains(&code) {
                    Ok(true)
                } else {
                    Err(io::Error::from_raw_os_error(code))
                };
            }
            _ => answers.push(payload.get(FAMILY..).unwrap_or_default().to_vec()),
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// An attribute that is a text.
fn text(answer: &[u8], kind: u16) -> Option<String> {
    let (_, value) = attributes(answer).find(|(found, _)| *found == kind)?;
    let text = value.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + payload.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn answers_are_taken_until_the_last_one() {
        let mut attribute = BytesMut::from(&[NFPROTO_IPV4, 0, 0, 0][..]);
        put_attribute(&mut attribute, 3, |value| value.put_slice(b"CHAOS-INPUT\0"));
        let mut answers = Vec::new();
        let more = message(0x0a03, &attribute);
        assert!(!take(&more, &mut answers).unwrap());
        assert!(take(&[more, message(NLMSG_DONE, &[0; 4])].concat(), &mut answers).unwrap());
        let names: Vec<_> = answers.iter().map(|answer| text(answer, 3)).collect();
        assert_eq!(names, vec![Some("CHAOS-INPUT".to_owned()); 2]);
    }

    #[test]
    fn a_refusal_is_told_and_a_kernel_without_it_has_nothing() {
        let refused = |code: i32| {
            let payload = (-code).to_ne_bytes();
            take(&message(NLMSG_ERROR, &payload), &mut Vec::new())
        };
        assert!(refused(libc::EINVAL).unwrap());
        let error = refused(libc::EPERM).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        let whole = message(0x0a03, &[0; 12]);
        for length in 0..whole.len() {
            assert!(take(&whole[..length], &mut Vec::new()).is_err(), "{length}");
        }
    }
}
