//! What the kernel says when it refuses.

use netlink_packet_core::ErrorMessage;
use nix::errno::Errno;

/// A request that the kernel refused: what was tried, on which object, and its own words.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}")]
pub struct Error {
    what: String,
    source: Kernel,
}

impl Error {
    pub(super) const fn refused(what: String, kernel: Kernel) -> Self {
        Self {
            what,
            source: kernel,
        }
    }

    /// The errno (errno(3)) of the answer; 0 where there was no answer.
    pub fn errno(&self) -> i32 {
        self.source.errno
    }

    /// Whether the caller's rights were not enough.
    pub fn is_about_rights(&self) -> bool {
        matches!(self.errno(), libc::EPERM | libc::EACCES)
    }

    /// The kernel lacks the kind of device, qdisc or filter that was asked for.
    pub fn is_unknown_kind(&self) -> bool {
        matches!(self.errno(), libc::EOPNOTSUPP)
            || (self.errno() == libc::ENOENT && self.source.words.contains("unknown"))
    }

    /// The kernel refuses a netem that duplicates beside another netem on the same device, in
    /// either order (`check_netem_in_tree()` in net/sched/sch_netem.c: 6.16 to 7.0, and the stable
    /// lines of that time).
    pub fn is_duplicate_rule(&self) -> bool {
        self.errno() == libc::EINVAL && self.source.words.contains("duplicating netems")
    }
}

/// The kernel's side of an [`Error`].
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub struct Kernel {
    errno: i32,
    words: String,
}

impl Kernel {
    pub(super) fn from_send(error: rtnetlink::Error) -> Self {
        Self {
            errno: 0,
            words: format!("netlink: {error}"),
        }
    }

    pub(super) fn from_answer(message: &ErrorMessage) -> Self {
        let errno = message.raw_code().saturating_abs();
        let name = Errno::from_raw(errno);
        let words = match extended_ack(&message.header) {
            Some(sentence) => format!("{sentence} ({name:?})"),
            None => name.to_string(),
        };
        Self { errno, words }
    }
}

/// The sentence behind an error (linux/netlink.h, NLMSGERR_ATTR_MSG). The answer repeats the
/// request's header, or the whole request where the attributes were not asked to be capped, and
/// attributes follow.
fn extended_ack(payload: &[u8]) -> Option<String> {
    const HEADER: usize = 16;
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let request = u32::from_ne_bytes(payload.get(..4)?.try_into().ok()?) as usize;
    // Where the request was repeated whole the attributes start behind it, else behind its header.
    [request.next_multiple_of(4), HEADER]
        .into_iter()
        .filter_map(|start| payload.get(start..))
        .find_map(|attributes| attribute(attributes, NLMSGERR_ATTR_MSG))
}

/// The first attribute of `kind` as text.
fn attribute(mut bytes: &[u8], kind: u16) -> Option<String> {
    while bytes.len() >= 4 {
        let length = u16::from_ne_bytes([bytes[0], bytes[1]]) as usize;
        let value = bytes.get(4..length)?;
        if u16::from_ne_bytes([bytes[2], bytes[3]]) == kind {
            let text = value.split(|byte| *byte == 0).next()?;
            return String::from_utf8(text.to_vec()).ok();
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kernel sends for an unknown qdisc kind: the request's header, then the attribute.
    fn answer(request_repeated: bool) -> Vec<u8> {
        let request_length = 36_u32;
        let mut bytes = request_length.to_ne_bytes().to_vec();
        bytes.resize(if request_repeated { 36 } else { 16 }, 0);
        let sentence = b"Specified qdisc kind is unknown\0";
        bytes.extend((4 + sentence.len() as u16).to_ne_bytes());
        bytes.extend(1_u16.to_ne_bytes());
        bytes.extend(sentence);
        bytes
    }

    #[test]
    fn the_kernels_sentence_is_found_behind_either_form_of_the_request() {
        for repeated in [true, false] {
            assert_eq!(
                extended_ack(&answer(repeated)).as_deref(),
                Some("Specified qdisc kind is unknown")
            );
        }
    }

    #[test]
    fn the_rule_about_duplicates_is_told_from_other_refusals() {
        let refused = |errno, words: &str| {
            let words = words.into();
            Error::refused("add the qdisc".into(), Kernel { errno, words })
        };
        let rule = "netem: cannot mix duplicating netems with other netems in tree (EINVAL)";
        assert!(refused(libc::EINVAL, rule).is_duplicate_rule());
        assert!(!refused(libc::EINVAL, "Invalid argument").is_duplicate_rule());
        assert!(!refused(libc::EPERM, rule).is_duplicate_rule());
    }

    #[test]
    fn a_code_that_has_no_positive_is_an_error_as_any_other() {
        let mut message = ErrorMessage::default();
        message.code = std::num::NonZeroI32::new(i32::MIN);
        assert_eq!(Kernel::from_answer(&message).errno, i32::MAX);
    }

    #[test]
    fn an_answer_cut_short_has_no_sentence() {
        let whole = answer(false);
        for length in 0..whole.len() {
            assert_eq!(extended_ack(&whole[..length]), None, "{length} bytes");
        }
    }
}
