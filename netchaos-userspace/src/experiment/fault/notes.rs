//! What is legal about a fault and still worth a word to whoever asked for it.

use super::{Chance, Delay, Distribution, Fault, Loss, Percent, units};

impl Fault {
    /// One sentence each.
    pub fn notes(&self) -> Vec<String> {
        if self.partition {
            let others = Self {
                partition: false,
                ..self.clone()
            };
            let alone = others.is_empty();
            let note = "partition lets nothing through, so the other parts of the fault do nothing";
            return if alone { vec![] } else { vec![note.into()] };
        }
        let mut notes = Vec::new();
        if let Some(delay) = &self.delay {
            delay.note(&mut notes);
        }
        if let Some(Loss::Random(chance)) = &self.loss {
            self.note_loss(chance, &mut notes);
        }
        if let Some(Loss::GilbertElliott(chain)) = &self.loss
            && chain.recover.is_zero()
            && !chain.worsen.is_zero()
        {
            notes.push("loss never leaves the bad state, since it recovers with 0%".into());
        }
        if let Some(reorder) = &self.reorder
            && !reorder.correlation.is_zero()
        {
            notes.push(note_of_netem("reorder", reorder.correlation));
        }
        for (name, correlation) in [
            ("duplicate", self.duplicate.as_ref().map(correlation_of)),
            ("corrupt", self.corrupt.as_ref().map(correlation_of)),
        ] {
            let Some(correlation) = correlation.filter(|correlation| !correlation.is_zero()) else {
                continue;
            };
            notes.push(if self.strict_compat {
                note_of_netem(name, correlation)
            } else {
                format!(
                    "correlation {correlation} of {name} is not passed on, because netem's would \
                     change how many packets it hits; --strict-compat (strictCompat: true) passes it"
                )
            });
        }
        notes
    }

    fn note_loss(&self, chance: &Chance, notes: &mut Vec<String>) {
        let correlation = chance.correlation;
        if correlation.is_zero() {
            return;
        }
        if self.strict_compat {
            notes.push(note_of_netem("loss", correlation));
        } else if correlation.get() > 99.0 && chance.percent != Percent::ALL {
            notes.push(format!(
                "correlation {correlation} of loss is taken for 99%, because with 100% the first \
                 packet would decide for all others"
            ));
        }
    }
}

fn correlation_of(chance: &Chance) -> Percent {
    chance.correlation
}

/// `get_crandom()` in net/sched/sch_netem.c mixes the last number into the next, so that they crowd
/// around the middle and fewer of them are small: 10% with 25% is really 1.8%.
fn note_of_netem(name: &str, correlation: Percent) -> String {
    format!(
        "correlation {correlation} of {name} goes to netem, where it changes how many packets are \
         hit: 10% with a correlation of 25% is really 1.8%"
    )
}

impl Delay {
    /// Whether netem's correlation shows in the delays.
    ///
    /// `tabledist()` in net/sched/sch_netem.c takes a random number of 32 bits modulo the width of
    /// the jitter in nanoseconds (modulo the length of the table, if there is one). Only a share of
    /// `1 - correlation` of the number is new each time. Where that alone is wider than the jitter
    /// the rest of the division is as good as independent of the last one; otherwise the delays
    /// follow each other, and crowd where the number does.
    fn is_correlated(&self) -> bool {
        let width = 2.0 * self.jitter.as_secs_f64() * 1e9;
        let new = (1.0 - self.correlation.get() / 100.0) * f64::from(u32::MAX);
        self.distribution.is_uniform() && width > new / 2.0
    }

    fn note(&self, notes: &mut Vec<String>) {
        if self.jitter.is_zero() {
            self.note_without_jitter(notes);
            return;
        }
        if self.jitter > self.latency {
            notes.push(format!(
                "jitter {} is more than latency {}: where the sum would be below zero the packet is \
                 not delayed, so the mean is more than the latency",
                units::format_duration(self.jitter),
                units::format_duration(self.latency),
            ));
        }
        let correlation = self.correlation;
        if correlation.is_zero() {
            return;
        }
        notes.push(if self.is_correlated() {
            format!(
                "correlation {correlation} of delay makes the delays follow each other, and in \
                 netem also changes their spread: it is no longer what the jitter says"
            )
        } else {
            format!(
                "correlation {correlation} of delay has hardly any effect in netem at a jitter of \
                 {}: the delays are as independent, and as widely spread, as without it",
                units::format_duration(self.jitter)
            )
        });
    }

    fn note_without_jitter(&self, notes: &mut Vec<String>) {
        if !self.correlation.is_zero() {
            notes.push(format!(
                "correlation {} has no effect without jitter",
                self.correlation
            ));
        }
        if self.distribution != Distribution::Uniform {
            notes.push(format!(
                "distribution {} has no effect without jitter",
                self.distribution
            ));
        }
        if !self.order.is_reorder() {
            notes.push("the order keep has no effect without jitter, which alone breaks it".into());
        }
    }
}
