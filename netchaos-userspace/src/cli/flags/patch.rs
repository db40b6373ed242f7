//! The flags of a fault as a change of it. A new fault is a change of none at all.

use std::time::Duration;

use super::{Sink, args};
use crate::experiment::{
    Bandwidth, Chance, Delay, Distribution, Fault, GilbertElliott, Invalid, JitterOrder, Loss,
    Percent, Problems, Rate, Reorder,
    units::{parse_gap, parse_jitter, parse_latency, parse_size, parse_whole},
};

/// What flags say of a part of a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Said<T> {
    #[default]
    Nothing,
    Is(T),
    /// `none`: it is to go.
    Gone,
}

/// What is mentioned of a fault. All else stays.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Patch {
    latency: Said<Duration>,
    jitter: Option<Duration>,
    correlation: Option<Percent>,
    distribution: Option<Distribution>,
    order: Option<JitterOrder>,
    reorder: Said<Percent>,
    reorder_correlation: Option<Percent>,
    reorder_gap: Option<u32>,
    loss: Said<Percent>,
    loss_correlation: Option<Percent>,
    chain: Said<Chain>,
    duplicate: Said<Percent>,
    duplicate_correlation: Option<Percent>,
    corrupt: Said<Percent>,
    corrupt_correlation: Option<Percent>,
    rate: Said<Rate>,
    bandwidth: Said<Rate>,
    limit: Option<u32>,
    buffer: Option<u32>,
    peakrate: Said<Rate>,
    minburst: Option<u32>,
    partition: Said<()>,
    seed: Said<u64>,
    strict_compat: Said<()>,
}

/// Worsen, recover, bad, good, as in [`GilbertElliott`].
type Chain = [Percent; 4];

impl Sink {
    fn part<T>(
        &mut self,
        flag: &str,
        text: Option<&String>,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Said<T> {
        match text.map(String::as_str) {
            None => Said::Nothing,
            Some("none") => Said::Gone,
            text => self.take(flag, text, parse).map_or(Said::Nothing, Said::Is),
        }
    }

    fn detail<T>(
        &mut self,
        flag: &str,
        text: Option<&String>,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        self.take(flag, text.map(String::as_str), parse)
    }

    /// The part that details belong to. Each detail is told where it is missing.
    fn owner<'a, P>(
        &mut self,
        flag: &str,
        part: &'a mut Option<P>,
        details: &[(&str, bool)],
    ) -> Option<&'a mut P> {
        if part.is_none() {
            for (detail, _) in details.iter().filter(|(_, is_said)| *is_said) {
                let message = "belongs to a part that the fault does not have";
                self.add(
                    detail,
                    Invalid::field(message, Some(format!("{flag} beside it"))),
                );
            }
        }
        part.as_mut()
    }
}

impl<T: Copy> Said<T> {
    /// Makes the part what is said of it.
    fn put<P>(self, part: &mut Option<P>, new: impl FnOnce(T, Option<P>) -> P) {
        match self {
            Self::Nothing => {}
            Self::Is(value) => *part = Some(new(value, part.take())),
            Self::Gone => *part = None,
        }
    }

    fn is_said(self) -> bool {
        !matches!(self, Self::Nothing)
    }
}

impl Patch {
    pub(super) fn read(flags: &args::Fault, sink: &mut Sink) -> Self {
        let percent = str::parse::<Percent>;
        let patch = Self {
            latency: sink.part("--delay", flags.delay.as_ref(), parse_latency),
            jitter: sink.detail("--jitter", flags.jitter.as_ref(), parse_jitter),
            correlation: sink.detail("--correlation", flags.correlation.as_ref(), percent),
            distribution: sink.detail("--distribution", flags.distribution.as_ref(), str::parse),
            order: sink.detail("--jitter-order", flags.jitter_order.as_ref(), str::parse),
            reorder: sink.part("--reorder", flags.reorder.as_ref(), percent),
            reorder_correlation: sink.detail(
                "--reorder-correlation",
                flags.reorder_correlation.as_ref(),
                percent,
            ),
            reorder_gap: sink.detail("--reorder-gap", flags.reorder_gap.as_ref(), parse_gap),
            loss: sink.part("--loss", flags.loss.as_ref(), percent),
            loss_correlation: sink.detail(
                "--loss-correlation",
                flags.loss_correlation.as_ref(),
                percent,
            ),
            chain: sink.part("--loss-gemodel", flags.loss_gemodel.as_ref(), parse_chain),
            duplicate: sink.part("--duplicate", flags.duplicate.as_ref(), percent),
            duplicate_correlation: sink.detail(
                "--duplicate-correlation",
                flags.duplicate_correlation.as_ref(),
                percent,
            ),
            corrupt: sink.part("--corrupt", flags.corrupt.as_ref(), percent),
            corrupt_correlation: sink.detail(
                "--corrupt-correlation",
                flags.corrupt_correlation.as_ref(),
                percent,
            ),
            rate: sink.part("--rate", flags.rate.as_ref(), str::parse),
            bandwidth: sink.part("--bandwidth", flags.bandwidth.as_ref(), str::parse),
            limit: sink.detail(
                "--bandwidth-limit",
                flags.bandwidth_limit.as_ref(),
                parse_size,
            ),
            buffer: sink.detail(
                "--bandwidth-buffer",
                flags.bandwidth_buffer.as_ref(),
                parse_size,
            ),
            peakrate: sink.part(
                "--bandwidth-peakrate",
                flags.bandwidth_peakrate.as_ref(),
                str::parse,
            ),
            minburst: sink.detail(
                "--bandwidth-minburst",
                flags.bandwidth_minburst.as_ref(),
                parse_size,
            ),
            partition: sink.part("--partition", flags.partition.as_ref(), parse_switch),
            seed: sink.part("--seed", flags.seed.as_ref(), |text| {
                parse_whole(text, u64::MAX)
            }),
            strict_compat: sink.part(
                "--strict-compat",
                flags.strict_compat.as_ref(),
                parse_switch,
            ),
        };
        if patch.loss.is_said() && patch.chain.is_said() {
            let message = "and --loss exclude each other";
            let allowed = "one of them; it takes the place of the other";
            sink.add(
                "--loss-gemodel",
                Invalid::field(message, Some(allowed.into())),
            );
        }
        patch
    }

    /// Changes a fault.
    ///
    /// # Errors
    /// Details of a part that is not there, and what cannot be, such as no fault at all. The fault
    /// is not to be used then.
    pub fn apply(&self, fault: &mut Fault) -> Result<(), Problems> {
        let mut sink = Sink::default();
        self.put_delay(fault, &mut sink);
        self.put_loss(fault, &mut sink);
        let chance = |percent, old: Option<Chance>| Chance {
            percent,
            ..old.unwrap_or_default()
        };
        for (said, correlation, part, flag, detail) in [
            (
                self.duplicate,
                self.duplicate_correlation,
                &mut fault.duplicate,
                "--duplicate",
                "--duplicate-correlation",
            ),
            (
                self.corrupt,
                self.corrupt_correlation,
                &mut fault.corrupt,
                "--corrupt",
                "--corrupt-correlation",
            ),
        ] {
            said.put(part, chance);
            if let Some(chance) = sink.owner(flag, part, &[(detail, correlation.is_some())]) {
                set(&mut chance.correlation, correlation);
            }
        }
        self.rate.put(&mut fault.rate, |rate, _| rate);
        self.put_bandwidth(fault, &mut sink);
        self.seed.put(&mut fault.seed, |seed, _| seed);
        switch(self.partition, &mut fault.partition);
        switch(self.strict_compat, &mut fault.strict_compat);
        *fault = std::mem::take(fault).without_idle();
        if sink.0.is_empty() {
            sink.0.extend(fault.check());
        }
        sink.end(())
    }

    fn put_delay(&self, fault: &mut Fault, sink: &mut Sink) {
        self.latency.put(&mut fault.delay, |latency, old| Delay {
            latency,
            ..old.unwrap_or_default()
        });
        let details = [
            ("--jitter", self.jitter.is_some()),
            ("--correlation", self.correlation.is_some()),
            ("--distribution", self.distribution.is_some()),
            ("--jitter-order", self.order.is_some()),
        ];
        if let Some(delay) = sink.owner("--delay", &mut fault.delay, &details) {
            set(&mut delay.jitter, self.jitter);
            set(&mut delay.correlation, self.correlation);
            set(&mut delay.distribution, self.distribution);
            set(&mut delay.order, self.order);
        }
        self.reorder
            .put(&mut fault.reorder, |percent, old| Reorder {
                percent,
                ..old.unwrap_or_default()
            });
        let details = [
            ("--reorder-correlation", self.reorder_correlation.is_some()),
            ("--reorder-gap", self.reorder_gap.is_some()),
        ];
        if let Some(reorder) = sink.owner("--reorder", &mut fault.reorder, &details) {
            set(&mut reorder.correlation, self.reorder_correlation);
            set(&mut reorder.gap, self.reorder_gap);
        }
    }

    fn put_loss(&self, fault: &mut Fault, sink: &mut Sink) {
        self.loss.put(&mut fault.loss, |percent, old| {
            let old = match old {
                Some(Loss::Random(chance)) => chance,
                _ => Chance::default(),
            };
            Loss::Random(Chance { percent, ..old })
        });
        self.chain.put(&mut fault.loss, |chain, _| {
            let [worsen, recover, bad, good] = chain;
            Loss::GilbertElliott(GilbertElliott {
                worsen,
                recover,
                bad,
                good,
            })
        });
        let details = [("--loss-correlation", self.loss_correlation.is_some())];
        match sink.owner("--loss", &mut fault.loss, &details) {
            Some(Loss::Random(chance)) => set(&mut chance.correlation, self.loss_correlation),
            Some(Loss::GilbertElliott(_)) if self.loss_correlation.is_some() => {
                let message = "says nothing beside --loss-gemodel, whose chances make the bursts";
                let allowed = Some("--loss beside it".into());
                sink.add("--loss-correlation", Invalid::field(message, allowed));
            }
            _ => {}
        }
    }

    fn put_bandwidth(&self, fault: &mut Fault, sink: &mut Sink) {
        self.bandwidth.put(&mut fault.bandwidth, |rate, old| {
            old.map_or_else(|| Bandwidth::of(rate), |old| old.at(rate))
        });
        let details = [
            ("--bandwidth-limit", self.limit.is_some()),
            ("--bandwidth-buffer", self.buffer.is_some()),
            ("--bandwidth-peakrate", matches!(self.peakrate, Said::Is(_))),
            ("--bandwidth-minburst", self.minburst.is_some()),
        ];
        let Some(bandwidth) = sink.owner("--bandwidth", &mut fault.bandwidth, &details) else {
            return;
        };
        set(&mut bandwidth.limit, self.limit);
        set(&mut bandwidth.buffer, self.buffer);
        self.peakrate.put(&mut bandwidth.peakrate, |rate, _| rate);
        if self.peakrate == Said::Gone {
            bandwidth.minburst = None;
        }
        bandwidth.minburst = self.minburst.or(bandwidth.minburst);
    }
}

fn set<T>(place: &mut T, said: Option<T>) {
    if let Some(value) = said {
        *place = value;
    }
}

fn switch(said: Said<()>, place: &mut bool) {
    match said {
        Said::Nothing => {}
        Said::Is(()) => *place = true,
        Said::Gone => *place = false,
    }
}

/// A flag that has no value, or the value `none`, which the caller knows.
fn parse_switch(text: &str) -> Result<(), Invalid> {
    match text {
        "" => Ok(()),
        _ => Err(Invalid::value(
            text,
            "is no value of this flag",
            "the flag alone, or none",
        )),
    }
}

/// tc's `loss gemodel p r 1-h 1-k` (tc-netem(8)) with commas.
fn parse_chain(text: &str) -> Result<Chain, Invalid> {
    let refuse = |message| {
        let allowed = "two to four percentages with commas between them: the chance to turn bad, \
             the chance to recover, what is lost while bad (100) and while good (0)";
        Invalid::value(text, message, allowed)
    };
    let parts: Vec<Percent> = text
        .split(',')
        .map(str::parse)
        .collect::<Result<_, Invalid>>()
        .map_err(|_| refuse("has a part that is not a percentage"))?;
    match *parts.as_slice() {
        [worsen, recover] => Ok([worsen, recover, Percent::ALL, Percent::default()]),
        [worsen, recover, bad] => Ok([worsen, recover, bad, Percent::default()]),
        [worsen, recover, bad, good] => Ok([worsen, recover, bad, good]),
        _ => Err(refuse("has not two to four parts")),
    }
}
