//! What an experiment and a device may be called.

use super::problem::Invalid;

/// Checks the name of an experiment: an RFC 1123 subdomain as Kubernetes has it for object names,
/// so that a `NetworkChaos` keeps its name.
///
/// # Errors
/// Anything but 1 to 253 of `a-z`, `0-9`, `-` and `.`, with a letter or digit at both ends of each
/// part between dots.
pub fn check_name(name: &str) -> Result<(), Invalid> {
    if name.len() <= 253 && name.split('.').all(is_label) {
        return Ok(());
    }
    Err(Invalid::value(
        name,
        "is not a name",
        "1 to 253 lower-case letters, digits, '-' and '.', with a letter or digit at both ends of \
         each part",
    ))
}

/// Checks the name of a Kubernetes namespace: an RFC 1123 label.
///
/// # Errors
/// Anything but 1 to 63 of `a-z`, `0-9` and `-`, with a letter or digit at both ends.
pub(super) fn check_namespace(name: &str) -> Result<(), Invalid> {
    if name.len() <= 63 && is_label(name) {
        return Ok(());
    }
    Err(Invalid::value(
        name,
        "is not the name of a namespace",
        "1 to 63 lower-case letters, digits and '-', with a letter or digit at both ends",
    ))
}

fn is_label(label: &str) -> bool {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !label.is_empty()
        && label.bytes().all(known)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Checks the name of a network device by the kernel's rule (`dev_valid_name()` in
/// net/core/dev.c).
///
/// # Errors
/// Anything but 1 to 15 bytes without `/`, `:` and white space; `.` and `..`.
pub fn check_device(name: &str) -> Result<(), Invalid> {
    // The kernel's isspace() also takes 0xa0, byte by byte.
    let is_space = |b: u8| b.is_ascii_whitespace() || b == b'\x0b' || b == 0xa0;
    let forbidden = |b: u8| b == b'/' || b == b':' || is_space(b);
    if (1..=15).contains(&name.len()) && !matches!(name, "." | "..") && !name.bytes().any(forbidden)
    {
        return Ok(());
    }
    Err(Invalid::value(
        name,
        "is not the name of a device",
        "1 to 15 bytes without '/', ':' and white space, such as eth0",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_rfc_1123_subdomains() {
        let (longest, too_long) = ("a".repeat(253), "a".repeat(254));
        for name in ["a", "slow-db", "web.delay.v1", "0", &longest] {
            assert_eq!(check_name(name), Ok(()));
        }
        for name in [
            "", "-a", "a-", "a.", ".a", "a..b", "a.-b", "A", "a_b", "a b", "ä", &too_long,
        ] {
            assert_eq!(check_name(name).unwrap_err().value.as_deref(), Some(name));
        }
    }

    #[test]
    fn namespaces_are_rfc_1123_labels() {
        assert_eq!(check_namespace("chaos-mesh"), Ok(()));
        for name in ["", "a.b", "A", "a-", &"a".repeat(64)] {
            assert!(check_namespace(name).is_err(), "{name}");
        }
    }

    #[test]
    fn devices_are_what_the_kernel_takes() {
        for name in [
            "eth0",
            "veth-a.100",
            "enp0s31f6",
            "x",
            "fifteen-letters",
            "wlän",
        ] {
            assert_eq!(check_device(name), Ok(()));
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a:1",
            "a b",
            "a\tb",
            "a\x0bb",
            "à",
            "sixteen-letters-",
        ] {
            assert!(check_device(name).is_err(), "{name:?}");
        }
    }
}
