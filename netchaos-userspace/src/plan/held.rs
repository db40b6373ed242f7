//! An experiment that somebody holds: an object of a cluster, say, and not a person at a shell.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use crate::experiment::{Target, Targets, units};

/// An end that is off by no more than this is what was asked for: whoever asks counts from a clock
/// of its own.
const TOLERANCE: Duration = Duration::from_secs(2);

/// Until when an experiment is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// So long, renewed as long as the holder lives.
    Lease(Duration),
    /// So long from now on.
    In(Duration),
}

impl Until {
    pub const fn lease(self) -> Option<Duration> {
        match self {
            Self::Lease(length) => Some(length),
            Self::In(_) => None,
        }
    }

    /// The end of an experiment, in nanoseconds of the clock that says `now`. `old` is the end that
    /// it has, and the length of its lease if that is one: a lease is renewed when a third of it is
    /// gone, and an end stays where it is as long as it is the same moment.
    pub fn end(self, now: u64, old: Option<(u64, Option<Duration>)>) -> u64 {
        let nanoseconds = |duration: Duration| duration.as_nanos() as u64;
        match (self, old) {
            (Self::Lease(length), Some((end, Some(old)))) if length == old => {
                let (left, whole) = (end.saturating_sub(now), nanoseconds(length));
                if left >= whole / 3 * 2 && left <= whole {
                    end
                } else {
                    now.saturating_add(whole)
                }
            }
            (Self::In(rest), Some((end, None))) => {
                let wanted = now.saturating_add(nanoseconds(rest));
                if end.abs_diff(wanted) <= nanoseconds(TOLERANCE) {
                    end
                } else {
                    wanted
                }
            }
            (Self::Lease(rest) | Self::In(rest), _) => now.saturating_add(nanoseconds(rest)),
        }
    }
}

/// Who answers for an experiment, and what the command line has changed of its targets since.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// As whoever holds it calls itself: the uid of an object of a cluster, for one.
    pub holder: String,
    /// None where it has an end of its own.
    #[serde(
        default,
        with = "units::optional_duration",
        skip_serializing_if = "Option::is_none"
    )]
    pub lease: Option<Duration>,
    /// Each target is in one of the two at the most: the last word counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    added: Vec<Target>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removed: Vec<Target>,
}

impl Held {
    pub fn by(holder: &str) -> Self {
        Self {
            holder: holder.to_owned(),
            ..Self::default()
        }
    }

    /// Remembers that targets were added by hand.
    pub fn add(&mut self, targets: &[Target]) {
        say_last(&mut self.added, &mut self.removed, targets);
    }

    /// Remembers that targets were removed by hand.
    pub fn remove(&mut self, targets: &[Target]) {
        say_last(&mut self.removed, &mut self.added, targets);
    }

    /// What the experiment is aimed at where its holder aims it at `own`; none where nothing of
    /// that is left. All traffic has no list that could have been changed.
    pub fn aim(&self, own: &Targets) -> Option<Targets> {
        let Targets::List(own) = own else {
            return Some(Targets::AllTraffic);
        };
        let removed: BTreeSet<&Target> = self.removed.iter().collect();
        let mut seen = BTreeSet::new();
        let all = own.iter().chain(&self.added);
        let left = all.filter(|target| !removed.contains(target) && seen.insert(*target));
        let left: Vec<Target> = left.cloned().collect();
        (!left.is_empty()).then_some(Targets::List(left))
    }
}

fn say_last(said: &mut Vec<Target>, otherwise: &mut Vec<Target>, targets: &[Target]) {
    let targets: BTreeSet<&Target> = targets.iter().collect();
    for list in [&mut *said, otherwise] {
        list.retain(|target| !targets.contains(target));
    }
    said.extend(targets.into_iter().cloned());
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn list(texts: &[&str]) -> Vec<Target> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn aim(held: &Held, own: &[&str]) -> Vec<String> {
        match held.aim(&Targets::List(list(own))) {
            Some(Targets::List(list)) => list.iter().map(ToString::to_string).collect(),
            None => Vec::new(),
            Some(Targets::AllTraffic) => panic!("all traffic"),
        }
    }

    #[test]
    fn what_was_added_and_removed_by_hand_stays_whatever_the_holder_says() {
        let mut held = Held::by("me");
        held.add(&list(&["10.0.0.9", "db.example:5432"]));
        held.remove(&list(&["10.0.0.2"]));
        assert_eq!(
            aim(&held, &["10.0.0.1", "10.0.0.2"]),
            ["10.0.0.1", "10.0.0.9", "db.example:5432"]
        );
        assert_eq!(aim(&held, &["10.0.0.2"]), ["10.0.0.9", "db.example:5432"]);
        // The holder comes to the same: it is there once.
        assert_eq!(
            aim(&held, &["10.0.0.9", "10.0.0.9"]),
            ["10.0.0.9", "db.example:5432"]
        );
    }

    #[test]
    fn the_last_word_about_a_target_counts() {
        let mut held = Held::by("me");
        held.remove(&list(&["10.0.0.1"]));
        held.add(&list(&["10.0.0.1"]));
        assert_eq!(aim(&held, &["10.0.0.1"]), ["10.0.0.1"]);
        assert_eq!(aim(&held, &["10.0.0.2"]), ["10.0.0.2", "10.0.0.1"]);
        held.remove(&list(&["10.0.0.1"]));
        // Also where the holder has taken it up meanwhile.
        assert_eq!(aim(&held, &["10.0.0.1", "10.0.0.2"]), ["10.0.0.2"]);
        held.add(&list(&["10.0.0.1", "10.0.0.1"]));
        assert_eq!((held.added.len(), held.removed.len()), (1, 0));
    }

    #[test]
    fn nothing_left_is_nothing_and_never_everything() {
        let mut held = Held::by("me");
        held.remove(&list(&["10.0.0.1"]));
        assert_eq!(held.aim(&Targets::List(list(&["10.0.0.1"]))), None);
        assert_eq!(held.aim(&Targets::List(Vec::new())), None);
        assert_eq!(held.aim(&Targets::AllTraffic), Some(Targets::AllTraffic));
    }

    #[test]
    fn a_lease_is_renewed_when_a_third_of_it_is_gone_or_its_length_is_another() {
        let length = Duration::from_secs(90);
        let lease = Until::Lease(length);
        let now = 1000 * SECOND;
        let whole = now + 90 * SECOND;
        assert_eq!(lease.end(now, None), whole);
        for (left, end) in [
            (90, 90),
            (61, 61),
            (60, 60),
            (59, 90),
            (1, 90),
            // Somebody has set another end.
            (91, 90),
        ] {
            let old = Some((now + left * SECOND, Some(length)));
            assert_eq!(lease.end(now, old), now + end * SECOND, "{left}");
        }
        let other = Some(Duration::from_secs(89));
        assert_eq!(lease.end(now, Some((now + 80 * SECOND, other))), whole);
        assert_eq!(lease.end(now, Some((now + 80 * SECOND, None))), whole);
    }

    #[test]
    fn an_end_stays_unless_another_moment_is_asked_for() {
        let now = 1000 * SECOND;
        let until = |seconds| Until::In(Duration::from_secs(seconds));
        let end = now + 60 * SECOND;
        assert_eq!(until(60).end(now, None), end);
        for (rest, expected) in [(58, 60), (60, 60), (62, 60), (57, 57), (63, 63)] {
            let kept = until(rest).end(now, Some((end, None)));
            assert_eq!(kept, now + expected * SECOND, "{rest}");
        }
        // What was a lease has got an end.
        let old = Some((end, Some(Duration::from_secs(90))));
        assert_eq!(until(61).end(now, old), now + 61 * SECOND);
    }

    #[test]
    fn it_is_written_and_read_as_it_is() {
        let mut held = Held::by("7d5ad3c8");
        assert_eq!(
            serde_json::to_string(&held).unwrap(),
            r#"{"holder":"7d5ad3c8"}"#
        );
        held.lease = Some(Duration::from_secs(600));
        held.add(&list(&["[2001:db8::1]:443"]));
        held.remove(&list(&["db.example"]));
        let text = serde_json::to_string(&held).unwrap();
        assert_eq!(serde_json::from_str::<Held>(&text).unwrap(), held);
    }
}
