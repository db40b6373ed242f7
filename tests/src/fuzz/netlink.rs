//! What the kernel answers, of devices and qdiscs that anybody may have made.

use netchaos::{
    kernel::netlink::decode::{self, Decoded, Parameters as _},
    qdisc::{Distribution, Netem, Prio, Tbf},
};

/// By the first byte: a whole message, or the options of a qdisc.
pub fn run(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    match kind % 4 {
        0 => message(bytes),
        1 => netem(bytes),
        2 => tbf(bytes),
        _ => prio(bytes),
    }
}

fn message(bytes: &[u8]) {
    match decode::decode(bytes) {
        Some(Decoded::Refused(error)) => {
            let words = std::error::Error::source(&error).map(ToString::to_string);
            assert!(!words.unwrap_or_default().is_empty(), "{error:?}");
            let _ = (error.is_unknown_kind(), error.is_duplicate_rule());
        }
        Some(Decoded::Qdisc(qdisc)) => {
            let _ = (qdisc.netem(), qdisc.tbf(), qdisc.prio());
        }
        Some(Decoded::Filter(Some(filter))) => assert!(!filter.describe().is_empty()),
        _ => {}
    }
}

fn netem(options: &[u8]) {
    let netem = decode::qdisc("netem", options).netem();
    netem.iter().for_each(check_netem);
}

fn tbf(options: &[u8]) {
    let tbf = decode::qdisc("tbf", options).tbf();
    tbf.iter().for_each(check_tbf);
}

/// What is asked for is read as what was asked for.
pub fn check_netem(netem: &Netem) {
    let found = decode::qdisc("netem", &netem.encode()).netem();
    let reads_as = found.as_ref().is_some_and(|found| netem.reads_as(found));
    assert!(reads_as, "{netem:?} {found:?}");
}

/// As [`check_netem`].
pub fn check_tbf(tbf: &Tbf) {
    let found = decode::qdisc("tbf", &tbf.encode()).tbf();
    let reads_as = found.as_ref().is_some_and(|found| tbf.reads_as(found));
    assert!(reads_as, "{tbf:?} {found:?}");
}

fn prio(options: &[u8]) {
    if let Some(prio) = decode::qdisc("prio", options).prio() {
        assert_eq!(decode::qdisc("prio", &prio.encode()).prio(), Some(prio));
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let of = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    let whole = Netem {
        latency: 50_000_000,
        jitter: 1_500_000,
        delay_correlation: 1 << 31,
        limit: 70_000,
        loss: 1 << 20,
        gap: 5,
        rate: 12_500_000_000,
        seed: Some(7),
        ..Netem::default()
    };
    let shaped = Netem {
        distribution: Some(Distribution::Normal),
        ..Netem::default()
    };
    let tbf = Tbf {
        rate: 5_000_000_000,
        limit: 20_000,
        burst: 1_000_000,
        peakrate: 10_000_000_000,
        mtu: 9000,
    };
    let prio = Prio {
        bands: 16,
        priomap: [0; 16],
    };
    let mut seeds = vec![
        of(1, &whole.encode()),
        of(1, &shaped.encode()),
        of(2, &tbf.encode()),
        of(3, &prio.encode()),
    ];
    seeds.extend(messages().iter().map(|message| of(0, message)));
    seeds
}

/// linux/rtnetlink.h, linux/if_link.h, linux/pkt_cls.h, linux/netlink.h.
fn messages() -> [Vec<u8>; 5] {
    let text = |kind, text: &str| attribute(kind, &[text.as_bytes(), &[0]].concat());
    // struct ifinfomsg: an Ethernet device with index 7, up; its name, MTU, address and kind.
    let device = [&[0, 0, 1, 0, 7, 0, 0, 0, 1, 0, 0, 0][..], &[0; 4]].concat();
    let link = [
        device,
        text(3, "nca2-0"),
        attribute(4, &1500_u32.to_ne_bytes()),
        attribute(1, &[0x4e, 0x43, 0x61, 0, 0, 2]),
        text(20, "netchaos: faults of eth0, clsact made"),
        attribute(18, &text(1, "macvlan")),
    ];
    // struct tcmsg: of the same device, handle 102:, in class 4e43:2.
    let place = [0_u32, 7, 0x102_0000, 0x4e43_0002, 1 << 16 | 3].map(u32::to_ne_bytes);
    let qdisc = [
        place.concat(),
        text(1, "netem"),
        attribute(2, &Netem::default().encode()),
        attribute(7, &attribute(1, &[1; 16])),
    ];
    let program = [attribute(6, &[1, 0, 0, 0]), text(7, "netchaos_back")].concat();
    let program = [program, attribute(11, &9_u32.to_ne_bytes())].concat();
    let filter = [place.concat(), text(1, "bpf"), attribute(2, &program)];
    // struct rtmsg: unicast, of the main table.
    let route = [
        vec![2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0],
        attribute(4, &7_u32.to_ne_bytes()),
        attribute(6, &100_u32.to_ne_bytes()),
    ];
    let refused = [
        (-22_i32).to_ne_bytes().to_vec(),
        message(36, 1, &[])[..16].to_vec(),
        text(
            1,
            "netem: cannot mix duplicating netems with other netems in tree",
        ),
    ];
    return [
        message(16, 2, &link.concat()),
        message(36, 2, &qdisc.concat()),
        message(44, 2, &filter.concat()),
        message(24, 2, &route.concat()),
        message(2, 0x300, &refused.concat()),
    ];

    /// struct nlmsghdr and what is behind it.
    fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let length = 16 + payload.len() as u32;
        let header = [
            &length.to_ne_bytes()[..],
            &kind.to_ne_bytes(),
            &flags.to_ne_bytes(),
        ];
        [&header.concat(), &[0; 8][..], payload].concat()
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = 4 + value.len() as u16;
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
