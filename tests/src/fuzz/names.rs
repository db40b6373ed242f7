//! A place's resolv.conf and hosts file: whoever is inside writes them.

use std::path::PathBuf;

use netchaos::names::View;

use super::{check_words, in_time};

/// Between the two files.
const SEPARATOR: &[u8] = b"\n---\n";

pub const SEEDS: [&str; 4] = [
    "nameserver 10.0.0.53\nnameserver fd00::53\nsearch a.example b.example\noptions ndots:2 \
     timeout:1 attempts:3 rotate\n\n---\n127.0.0.1 localhost\n10.0.0.7 db.example db # ours\n\
     fd00::7\tdb.example\n",
    "domain example.com\nnameserver fe80::1%eth0\noptions use-vc edns0\n; no\n\n---\n::1 localhost",
    "\n---\n10.0.0.1 a\n10.0.0.2 a\n10.0.0.3 a\n",
    "nameserver\noptions ndots:99999999999 timeout:-1\n\n---\n300.1.1.1 x\n1.2.3.4 b\u{fc}cher \
     a..b -.- *.x\n",
];

pub fn run(input: &[u8]) {
    let mut places = input.windows(SEPARATOR.len());
    let (resolv_conf, hosts) = match places.position(|place| place == SEPARATOR) {
        Some(at) => (&input[..at], &input[at + SEPARATOR.len()..]),
        None => (input, input),
    };
    let path = |name| PathBuf::from(format!("/etc/{name}"));
    let read = in_time(|| View::parse(resolv_conf, path("resolv.conf"), hosts, path("hosts")));
    match read {
        Ok(view) => {
            assert!(str::from_utf8(hosts).is_ok(), "else it would be refused");
            in_time(|| check_hosts(&view));
        }
        Err(error) => {
            let words = error.to_string();
            check_words(&words, &input);
            assert!(words.contains("/etc/"), "{words}");
        }
    }
}

fn check_hosts(view: &View) {
    for name in ["db.example", "localhost", "a", "x"] {
        let Some(found) = view.in_hosts_file(name) else {
            continue;
        };
        assert!(!found.addresses.is_empty() && found.addresses.is_sorted());
        for address in &found.addresses {
            assert!(!address.is_unspecified(), "{address} is no peer");
        }
    }
}
