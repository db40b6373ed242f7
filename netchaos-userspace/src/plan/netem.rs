//! A fault -> netem's parameters.

use std::time::Duration;

use crate::{
    experiment::{Delay, Fault},
    qdisc::Netem,
};

/// The rate that a band has to take without losing a packet: a 10-Gbit/s link full of 1500-byte
/// packets has 0.8 million a second.
const PACKETS_PER_SECOND: u128 = 1_000_000;

/// Room for packets that come at once, whatever the delay.
const SHORTEST_QUEUE: u32 = 20_000;

/// A packet waiting costs about a kilobyte and a small one no less, so this is a gigabyte: where
/// the node's memory has to be protected from the fault.
const LONGEST_QUEUE: u32 = 1_000_000;

/// netem's parameters for a fault.
pub fn of(fault: &Fault) -> Netem {
    let Delay {
        latency,
        jitter,
        correlation,
        ..
    } = fault.delay.clone().unwrap_or_default();
    Netem {
        latency: nanoseconds(latency),
        jitter: nanoseconds(jitter),
        delay_correlation: correlation.as_probability_u32(),
        limit: limit(latency + jitter),
        ..Netem::default()
    }
}

/// netem drops what goes beyond its limit, and its default of 1000 packets turns every delay of a
/// busy link into loss: so many packets come while the first one waits.
fn limit(longest_wait: Duration) -> u32 {
    let packets = longest_wait.as_nanos() * PACKETS_PER_SECOND / 1_000_000_000;
    u32::try_from(packets)
        .unwrap_or(LONGEST_QUEUE)
        .saturating_add(SHORTEST_QUEUE)
        .min(LONGEST_QUEUE)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Percent;

    fn delay(latency: Duration, jitter: Duration, correlation: &str) -> Netem {
        of(&Fault {
            delay: Some(Delay {
                latency,
                jitter,
                correlation: correlation.parse::<Percent>().unwrap(),
                ..Delay::default()
            }),
            ..Fault::default()
        })
    }

    #[test]
    fn the_queue_holds_what_comes_during_the_delay() {
        let netem = delay(Duration::from_millis(500), Duration::ZERO, "0");
        // 500 ms at 20,000 packets a second.
        assert!(netem.limit >= 10_000, "{}", netem.limit);
        // A burst that is due at once.
        assert!(delay(Duration::from_micros(1), Duration::ZERO, "0").limit >= 10_000);
    }

    #[test]
    fn the_queue_is_bounded_however_long_the_delay() {
        let netem = delay(Duration::from_secs(3600), Duration::from_secs(1), "0");
        assert_eq!(netem.limit, LONGEST_QUEUE);
    }

    #[test]
    fn times_are_nanoseconds_and_half_a_percent_is_half_a_percent() {
        let netem = delay(Duration::from_millis(50), Duration::from_millis(1), "0.5");
        assert_eq!((netem.latency, netem.jitter), (50_000_000, 1_000_000));
        assert_eq!(netem.delay_correlation, 21_474_836);
    }
}
