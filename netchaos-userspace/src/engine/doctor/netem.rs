//! What of netem netchaos uses, each written and read back: a kernel passes over in silence what it
//! does not know.

use super::trial::{Probe, Words, module};
use crate::{
    engine::error::Error,
    kernel::netlink::Device,
    plan::PRIO_HANDLE,
    qdisc::{ClassId, Distribution, Netem},
};

const HANDLE: ClassId = ClassId::new(0x102, 0);
const TENTH: u32 = u32::MAX / 10;
const NEEDS_NETEM: &str = "sch_netem; the kernel's own words say what it does not take";

/// A part of netem: what is asked for, and whether what is read back is that.
struct Part {
    words: Words,
    asked: Netem,
}

const fn part(name: &'static str, without: &'static str, asked: Netem) -> Part {
    let remedy = NEEDS_NETEM;
    let words = Words {
        name,
        without,
        remedy,
    };
    Part { words, asked }
}

/// Not a whole number of the ticks that the older, 32-bit fields count in.
fn delay() -> Netem {
    Netem {
        latency: 300_000_000_001,
        limit: 1000,
        ..Netem::default()
    }
}

fn parts() -> Vec<Part> {
    let with = |change: fn(&mut Netem)| {
        let mut netem = delay();
        change(&mut netem);
        netem
    };
    let mut parts = vec![
        part(
            "netem jitter",
            "`--jitter` in steps of 64 ns, or not at all",
            with(|netem| netem.jitter = 1_000_001),
        ),
        part(
            "netem distribution",
            "`--distribution`: jitter is spread evenly. No kernel shows the table: it was taken",
            with(|netem| {
                netem.jitter = 1_000_001;
                netem.distribution = Some(Distribution::ParetoNormal);
            }),
        ),
        part(
            "netem correlation",
            "`--correlation` of delays, and those of `--strict-compat`",
            with(|netem| {
                netem.jitter = 1_000_001;
                netem.delay_correlation = TENTH;
            }),
        ),
        part(
            "netem loss",
            "`--loss` with `--strict-compat`; any other loss is made by the program",
            with(|netem| netem.loss = TENTH),
        ),
        part(
            "netem duplicate",
            "`--duplicate`",
            with(|netem| netem.duplicate = TENTH),
        ),
        part(
            "netem corrupt",
            "`--corrupt`",
            with(|netem| netem.corrupt = TENTH),
        ),
        part(
            "netem reorder",
            "`--reorder`, `--reorder-gap`",
            with(|netem| {
                netem.reorder = TENTH;
                netem.gap = 5;
            }),
        ),
        part("netem rate", "`--rate`", with(|netem| netem.rate = 125_000)),
        part(
            "netem rate of 64 bits",
            "`--rate` above 34 Gbit/s, and `--jitter-order keep`",
            with(|netem| netem.rate = Netem::IN_ORDER),
        ),
    ];
    let seed = part(
        "netem seed",
        "`--seed`: runs do not repeat",
        with(|netem| {
            netem.loss = TENTH;
            netem.seed = Some(0x4e43_4e43_4e43);
        }),
    );
    parts.push(Part {
        words: Words {
            remedy: "Linux 6.6 or newer",
            ..seed.words
        },
        ..seed
    });
    parts
}

/// Tries netem and its parts at the second band of a prio, or at the root where there is none.
pub(super) async fn try_all(probe: &mut Probe, upper: Device<'_>, has_prio: bool) {
    let parent = if has_prio {
        ClassId(PRIO_HANDLE.0 | 2)
    } else {
        ClassId::ROOT
    };
    let words = Words {
        name: "sch_netem",
        without: "no fault but loss, partition and bandwidth can be laid",
        remedy: module!("sch_netem", "CONFIG_NET_SCH_NETEM"),
    };
    let made = try_one(probe, upper, parent, &delay()).await;
    let has_netem = made.is_ok();
    probe.note(words, made, true);
    // Where there is none at all its parts say nothing new.
    if !has_netem {
        return;
    }
    for part in parts() {
        let made = try_one(probe, upper, parent, &part.asked).await;
        probe.note(part.words, made, true);
    }
    if has_prio {
        try_beside(probe, upper, parent).await;
    }
}

async fn try_one(
    probe: &Probe,
    upper: Device<'_>,
    parent: ClassId,
    asked: &Netem,
) -> Result<(), Error> {
    let made = probe.netlink.add_qdisc(upper, parent, HANDLE, asked).await;
    let found = probe.qdisc(upper, HANDLE).await;
    probe.delete_qdisc(upper, HANDLE).await;
    made?;
    let found = found.and_then(|found| found.netem());
    match &found {
        // Elsewhere a seed that is not shown is fine; here it is what was asked for.
        Some(read) if asked.reads_as(read) && (asked.seed.is_none() || asked.seed == read.seed) => {
            Ok(())
        }
        Some(read) => Err(Error::ReadBack(format!(
            "asked for {asked} and holds {read}"
        ))),
        None => Err(Error::ReadBack("it is not there".into())),
    }
}

async fn try_beside(probe: &mut Probe, upper: Device<'_>, parent: ClassId) {
    const BESIDE: (ClassId, ClassId) = (ClassId(PRIO_HANDLE.0 | 3), ClassId::new(0x103, 0));
    let plain = delay();
    let duplicating = Netem {
        duplicate: TENTH,
        ..delay()
    };
    let first = probe.netlink.add_qdisc(upper, parent, HANDLE, &plain);
    let made = match first.await {
        Ok(()) => {
            let (parent, handle) = BESIDE;
            let second = probe.netlink.add_qdisc(upper, parent, handle, &duplicating);
            second.await.map_err(Error::from)
        }
        Err(error) => Err(error.into()),
    };
    let words = Words {
        name: "netem duplicate beside others",
        without: "experiments that duplicate get a pair of devices of their own",
        remedy: "none needed; a kernel before 6.16 or after 7.0, and later stable ones of some lines",
    };
    probe.note(words, made, true);
    for handle in [HANDLE, BESIDE.1] {
        probe.delete_qdisc(upper, handle).await;
    }
}
