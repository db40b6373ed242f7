//! Random sequences of calls, some of them killed at random, with somebody else at work in between
//! and in the middle of them: by a small model no packet is ever treated wrongly, and in the end
//! nothing is left of netchaos and everything of the others' is still there.
//!
//! `NETCHAOS_SEQUENCES` says how many, `NETCHAOS_SEED` repeats one run, `NETCHAOS_AT_ONCE` how many
//! go on at the same time.

use std::{
    collections::BTreeSet,
    env, fs, mem,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use netchaos_tests::{
    command::Done,
    lab::{DEVICE, Lab},
    model::{Call, Cut, DIRECTIONS, Model, TARGETS, listed, reached},
    netchaos::netchaos,
    probe::{Reach, Reached},
    random::Random,
    requires::can_run,
    rival::{Harm, Rival},
    settings::{new_seed, setting},
    stepped::{Then, Walk, walk},
};

const SEQUENCES: u64 = 60;
const AT_ONCE: usize = 4;
/// Acts of a sequence, at the most.
const LONGEST: usize = 12;
/// More steps than most calls have.
const STEPS: usize = 110;
/// With more than this, what there may be is settled first.
const MOST_MODELS: usize = 64;

/// What was done, in all sequences.
#[derive(Debug, Default)]
struct Tally {
    sequences: u64,
    calls: u64,
    kills: u64,
    acts: u64,
}

struct Sequence<'a> {
    lab: &'a Lab,
    reach: &'a Reach,
    random: Random,
    rival: Rival,
    file: PathBuf,
    /// What there may be; one, unless a call was killed.
    models: BTreeSet<Model>,
    /// Packets may meet a mix of `met` until the next call that writes.
    is_open: bool,
    met: BTreeSet<Model>,
    /// Experiments may do nothing until then.
    is_lost: bool,
    /// The rival has acted since packets were looked at.
    has_acted: bool,
    log: Vec<String>,
    tally: Tally,
}

/// Prints what was done when the test fails.
impl Drop for Sequence<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("FAILED after:\n{}", self.log.join("\n"));
            println!("there may be: {:#?}", self.models);
        }
    }
}

impl Sequence<'_> {
    fn bits(&mut self) -> u32 {
        let bits = self.random.next() as u32 & self.random.next() as u32 & TARGETS;
        if bits == 0 {
            1 << (2 + self.random.below(7))
        } else {
            bits
        }
    }

    fn name(&mut self) -> String {
        self.random.pick(&["a", "b", "c", "d"]).to_owned()
    }

    fn cut(&mut self) -> Cut {
        let partition = self.random.once_in(2);
        let all = self.random.once_in(2);
        Cut {
            to: self.bits(),
            direction: self.random.pick(&DIRECTIONS),
            partition,
            loss: (!partition || self.random.once_in(4)).then_some(all),
            paused: false,
        }
    }

    fn names(&mut self) -> Vec<String> {
        let count = 1 + self.random.below(2);
        let names: BTreeSet<String> = (0..count).map(|_| self.name()).collect();
        names.into_iter().collect()
    }

    fn call(&mut self) -> Call {
        match self.random.below(16) {
            0..=3 => Call::Add(self.name(), self.cut()),
            4..=6 => {
                let names = [self.names(), self.names()].concat();
                let names: BTreeSet<String> = names.into_iter().collect();
                Call::Apply(names.into_iter().map(|name| (name, self.cut())).collect())
            }
            7 => Call::Change(self.name(), self.random.once_in(2)),
            8 | 9 => Call::AddTargets(self.name(), self.bits()),
            10 => Call::RemoveTargets(self.name(), self.bits()),
            11 => Call::Pause(self.names(), true),
            12 => Call::Pause(self.names(), false),
            13 => Call::Remove(self.names()),
            14 => self.random.pick(&[0, 1, 2]).into_call(),
            _ => Call::Repair,
        }
    }

    fn words(&self, call: &Call) -> Vec<String> {
        if let Some(manifests) = call.manifests() {
            fs::write(&self.file, manifests).expect("a file for the manifests");
        }
        let mut line = call.line(&self.file.to_string_lossy());
        if matches!(call, Call::Add(..) | Call::Apply(_)) {
            line += &format!(" --device {DEVICE}");
        }
        line += &format!(" --netns {}", self.lab.client.name());
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn act(&mut self) {
        let (what, harm) = self.rival.act(self.lab, &mut self.random);
        self.has_acted = true;
        self.log.push(format!("rival: {what}"));
        self.tally.acts += 1;
        self.is_harmed(harm);
    }

    fn is_harmed(&mut self, harm: Harm) {
        if harm == Harm::Lost {
            self.is_lost = true;
            // With the last program the maps are gone.
            self.models.insert(Model::new());
            self.met.insert(Model::new());
        }
    }

    /// A call that nobody disturbs.
    fn undisturbed(&mut self, call: &Call) {
        let words = self.words(call);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.log.push(format!("{call:?}"));
        self.tally.calls += 1;
        let done = netchaos(&words);
        self.has_ended(call, &done);
    }

    fn has_ended(&mut self, call: &Call, done: &Done) {
        let before = mem::take(&mut self.models);
        match done.status.code() {
            Some(0) => {
                self.models = before.iter().filter_map(|model| call.done(model)).collect();
                self.met.clone_from(&self.models);
                (self.is_open, self.is_lost) = (false, false);
            }
            Some(1) => {
                let refuses = |model: &Model| call.done(model).is_none();
                self.models = before.into_iter().filter(refuses).collect();
            }
            _ => {}
        }
        assert!(
            !self.models.is_empty(),
            "by the model it ends otherwise: {done}"
        );
    }

    /// A call that is killed at some step, or finds the rival at work there.
    fn disturbed(&mut self, call: &Call) {
        let words = self.words(call);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // Most calls have few steps.
        let most = self.random.pick(&[12, 30, STEPS]);
        let at = self.random.below(most);
        let is_killed = !self.random.once_in(4);
        let (mut rival, mut random) = (mem::take(&mut self.rival), Random(self.random.next()));
        let mut acted = None;
        let Walk { code, stderr, .. } = walk(&words, |step, _| match step == at {
            true if is_killed => Then::Kill,
            true => {
                acted = Some(rival.act(self.lab, &mut random));
                Then::GoOn
            }
            false => Then::GoOn,
        });
        self.rival = rival;
        self.tally.calls += 1;
        self.tally.kills += u64::from(code.is_none());
        self.log.push(format!(
            "{call:?} before step {at}: {acted:?}, {code:?} {stderr}"
        ));
        assert!(matches!(code, None | Some(0 | 1 | 4)), "{code:?}: {stderr}");
        self.models = self
            .models
            .iter()
            .flat_map(|model| call.perhaps_done(model))
            .collect();
        self.met.extend(self.models.iter().cloned());
        self.is_open = true;
        if let Some((_, harm)) = acted {
            self.tally.acts += 1;
            self.has_acted = true;
            self.is_lost = true;
            self.is_harmed(harm);
        }
    }

    /// Whether packets meet what they should.
    fn look(&mut self) {
        let wrong = |seen: Reached| {
            let seen = Reached {
                to: seen.to & TARGETS,
                from: seen.from & TARGETS,
            };
            if !self.is_open && !self.is_lost {
                return self.models.iter().all(|model| reached(model) != seen);
            }
            let all: Vec<Reached> = self.met.iter().map(reached).collect();
            // Of each peer what one of them says.
            let mut some = all.iter().fold(Reached::default(), |sum, one| Reached {
                to: sum.to | one.to,
                from: sum.from | one.from,
            });
            let each = all.iter().fold(
                Reached {
                    to: TARGETS,
                    from: TARGETS,
                },
                |sum, one| Reached {
                    to: sum.to & one.to,
                    from: sum.from & one.from,
                },
            );
            if self.is_lost {
                some = Reached {
                    to: TARGETS,
                    from: TARGETS,
                };
            }
            (each.to & !seen.to)
                | (seen.to & !some.to)
                | (each.from & !seen.from)
                | (seen.from & !some.from)
                != 0
        };
        if mem::take(&mut self.has_acted) {
            self.reach.wait_until_links_are_back();
        }
        let mut seen = self.reach.look();
        let begin = Instant::now();
        // After a device came up again neighbours have to be found.
        while wrong(seen) && begin.elapsed() < Duration::from_millis(1500) {
            seen = self.reach.look_again();
        }
        assert!(
            !wrong(seen),
            "{seen:x?}, open {}, lost {}",
            self.is_open,
            self.is_lost
        );
    }

    /// Whether `list` tells what there is.
    fn list(&mut self) {
        self.log.push("list".into());
        self.tally.calls += 1;
        let list = self.lab.netchaos("list -o json").ok().json();
        let told = listed(&list);
        if self.is_open || self.is_lost {
            let known = |name: &String| self.models.iter().any(|model| model.contains_key(name));
            assert!(told.keys().all(known), "{list:#}");
        } else {
            assert!(self.models.contains(&told), "{list:#}");
            self.models = BTreeSet::from([told]);
            self.met.clone_from(&self.models);
        }
    }

    fn run(&mut self) {
        for _ in 0..4 + self.random.below(LONGEST - 3) {
            if self.models.len() > MOST_MODELS {
                self.undisturbed(&Call::Repair);
                self.list();
            }
            match self.random.below(10) {
                0 | 1 => self.act(),
                2 => self.list(),
                3..=5 => {
                    let call = self.call();
                    self.disturbed(&call);
                }
                _ => {
                    let call = self.call();
                    self.undisturbed(&call);
                }
            }
            self.look();
        }
        let end = if self.random.once_in(2) {
            Call::Heal
        } else {
            Call::RemoveAll
        };
        self.undisturbed(&end);
        self.look();
        self.list();
        self.tally.sequences += 1;
        self.log.push("in the end".into());
        let mut rival = mem::take(&mut self.rival);
        rival.leave(self.lab);
        self.lab.assert_nothing_left_soon();
    }
}

/// Those that take everything away come seldom.
trait IntoCall {
    fn into_call(self) -> Call;
}

impl IntoCall for usize {
    fn into_call(self) -> Call {
        match self {
            0 => Call::RemoveAll,
            1 => Call::Heal,
            _ => Call::Repair,
        }
    }
}

#[test]
fn random_sequences_of_calls_kills_and_rivals_leave_nothing_and_wrong_no_packet() {
    if !can_run(&[]) {
        return;
    }
    let seed = new_seed();
    let count = setting("NETCHAOS_SEQUENCES", SEQUENCES);
    let next = AtomicU64::new(0);
    let total = Mutex::new(Tally::default());
    let begin = Instant::now();
    let work = || {
        // Addresses of IPv6 would not outlive a device that goes down.
        let lab = Lab::without_ipv6();
        let reach = Reach::between(&lab.client, &lab.peer, 2..=9);
        let file = env::temp_dir().join(format!("netchaos-{}.json", lab.client.name()));
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            let mut sequence = Sequence {
                lab: &lab,
                reach: &reach,
                random: Random(seed.wrapping_add(number)),
                rival: Rival::default(),
                file: file.clone(),
                models: BTreeSet::from([Model::new()]),
                is_open: false,
                met: BTreeSet::from([Model::new()]),
                is_lost: false,
                has_acted: false,
                log: vec![format!(
                    "NETCHAOS_SEED={} NETCHAOS_SEQUENCES=1",
                    seed.wrapping_add(number)
                )],
                tally: Tally::default(),
            };
            sequence.run();
            let mut total = total.lock().expect("no panic");
            total.sequences += sequence.tally.sequences;
            total.calls += sequence.tally.calls;
            total.kills += sequence.tally.kills;
            total.acts += sequence.tally.acts;
            if total.sequences % 500 == 0 {
                eprintln!("{:?}: {total:?}", begin.elapsed());
            }
        }
        // It may never have been written.
        let _ = fs::remove_file(file);
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..setting("NETCHAOS_AT_ONCE", AT_ONCE))
            .map(|_| scope.spawn(work))
            .collect();
        for worker in workers {
            if let Err(panic) = worker.join() {
                next.store(count, Ordering::Relaxed);
                std::panic::resume_unwind(panic);
            }
        }
    });
    let total = total.into_inner().expect("no panic");
    println!("{total:?} in {:?}, seed {seed}", begin.elapsed());
    assert_eq!(total.sequences, count);
    // One that is repeated may have neither.
    assert!(
        count < SEQUENCES || total.kills > 0 && total.acts > 0,
        "{total:?}"
    );
}
