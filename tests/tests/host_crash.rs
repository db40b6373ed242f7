//! netchaos killed before each of its steps: whatever call it is, packets meet what was or what was
//! asked for, the next call finishes it or takes it back, and in the end nothing is left.
//!
//! See [`netchaos_tests::stepped`] for what a step is. In a long row of steps of one kind some are
//! chosen; `NETCHAOS_EVERY_STEP=1` kills before all of them (of a map with thousands of entries
//! before some), `NETCHAOS_EVERY_CALL=1` with it before each and every system call.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use netchaos_tests::{
    lab::{Lab, ms},
    lost::{self, Breakage},
    netchaos::netchaos,
    probe::{Reach, Reached},
    random::Random,
    requires::can_run,
    stepped::{Then, killed_before, walk, worth_a_kill},
};
use serde_json::{Value, json};

/// Kills wait for the kernel most of the time, not for a processor.
const AT_ONCE: usize = 6;
/// A row of steps of one kind that fills a large map: of these not all are taken in any case.
const LONG_ROW: usize = 200;

/// A call that is killed, and what was there.
struct Case {
    name: &'static str,
    before: &'static [&'static str],
    /// What others have taken away since.
    spoiled: &'static [Breakage],
    /// How long after that it comes.
    later: Duration,
    call: &'static str,
}

const fn case(name: &'static str, before: &'static [&'static str], call: &'static str) -> Case {
    Case {
        name,
        before,
        spoiled: &[],
        later: Duration::ZERO,
        call,
    }
}

const A: &str = "add a --partition --direction both --to 10.77.0.2 10.77.0.3";
const B: &str = "add b --loss 100% --to 10.77.0.3 10.77.0.4";
const C: &str = "add c --partition --direction from --to 10.77.0.5";

const CASES: &[Case] = &[
    case("the first add", &[], A),
    case("a second add", &[A], B),
    case(
        "an add of all traffic",
        &[A],
        "add all --partition --all-traffic --except 10.77.0.9",
    ),
    case("a change in place", &[A, B], "change b --loss 0.0001%"),
    case(
        "a change that moves: direction and targets",
        &[A, B],
        "apply -f FOLDER/moved.json",
    ),
    case(
        "a change that moves: what it counts",
        &[A, B],
        "apply -f FOLDER/counts.json",
    ),
    case(
        "a change that moves: fault and targets",
        &[A, B],
        "apply -f FOLDER/elsewhere.json",
    ),
    case(
        "an apply of several",
        &[A, B, C],
        "apply -f FOLDER/several.json",
    ),
    case("target add", &[A, B], "target add b 10.77.0.5 10.77.0.6/31"),
    case("target remove", &[A, B], "target remove a 10.77.0.3"),
    case("pause", &[A, B], "pause a b"),
    case("resume", &[A, B, "pause a b"], "resume a b"),
    case("remove of one", &[A, B], "remove a"),
    case("remove of the last", &[A], "remove a"),
    case("remove of all", &[A, B, C], "remove --all"),
    case("heal", &[A, B], "heal"),
    Case {
        name: "the sweep of what has ended",
        before: &[A, "add short --partition --to 10.77.0.6 --for 300ms"],
        spoiled: &[],
        later: ms(320),
        call: C,
    },
    Case {
        name: "repair",
        before: &[A, B],
        spoiled: &[lost::PROGRAM],
        later: Duration::ZERO,
        call: "repair",
    },
    case(
        "targets that need larger maps",
        &[A, B],
        "target add b @FOLDER/many.txt",
    ),
    case(
        "ports that need larger maps",
        &[A, B],
        "add port --partition --port 7800 --to 10.77.0.5",
    ),
    case("the first of the other hook", &[A, B], C),
];

/// Each of them moves a, b or c to another slot, or makes d.
fn manifests() -> [(&'static str, Vec<Value>); 4] {
    let manifest = |name: &str, direction: &str, fault: Value, to: &[&str]| {
        json!({
            "apiVersion": "netchaos/v1", "kind": "Experiment",
            "name": name, "direction": direction, "fault": fault, "to": to,
        })
    };
    let cut = || json!({ "partition": true });
    let lost = |rate: &str| json!({ "loss": { "percent": rate } });
    [
        (
            "moved.json",
            vec![manifest("a", "from", cut(), &["10.77.0.2", "10.77.0.6"])],
        ),
        (
            "counts.json",
            vec![manifest(
                "a",
                "both",
                lost("100%"),
                &["10.77.0.2", "10.77.0.6"],
            )],
        ),
        (
            "elsewhere.json",
            vec![manifest(
                "b",
                "to",
                lost("0.0001%"),
                &["10.77.0.4", "10.77.0.6"],
            )],
        ),
        (
            "several.json",
            vec![
                manifest("a", "to", cut(), &["10.77.0.2", "10.77.0.7"]),
                manifest("b", "to", lost("0.0001%"), &["10.77.0.3", "10.77.0.4"]),
                manifest("c", "from", cut(), &["10.77.0.6"]),
                manifest("d", "both", cut(), &["10.77.0.8"]),
            ],
        ),
    ]
}

/// The manifests and lists that the calls name, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = env::temp_dir().join(format!("netchaos-crash-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for the manifests");
        for (name, manifests) in manifests() {
            let texts: Vec<String> = manifests.iter().map(Value::to_string).collect();
            fs::write(path.join(name), texts.join("\n---\n")).expect("a manifest");
        }
        // More than fit the maps that are made first.
        let mut many = String::from("10.77.0.5\n");
        for number in 0..4200 {
            many += &format!("10.78.{}.{}\n", number / 250, number % 250);
        }
        fs::write(path.join("many.txt"), many).expect("a list");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Another failure would hide the test's own.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What packets meet, and what `list` tells: state and spec by name.
#[derive(Clone, Debug, PartialEq)]
struct State {
    reached: Reached,
    listed: BTreeMap<String, (String, Value)>,
}

/// A lab that a case is tried in.
struct Trial<'a> {
    lab: Lab,
    reach: Reach,
    case: &'a Case,
    folder: &'a Folder,
}

/// Says what was on when a test fails.
struct On(String);

impl Drop for On {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("FAILED at: {}", self.0);
        }
    }
}

impl<'a> Trial<'a> {
    fn new(case: &'a Case, folder: &'a Folder) -> Self {
        // Whose addresses are there from the beginning.
        let lab = Lab::without_ipv6();
        let reach = Reach::between(&lab.client, &lab.peer, 2..=9);
        Self {
            lab,
            reach,
            case,
            folder,
        }
    }

    fn words(&self, call: &str) -> Vec<String> {
        let call = call.replace("FOLDER", &self.folder.0.to_string_lossy());
        let call = format!("{call} --netns {}", self.lab.client.name());
        call.split_whitespace().map(str::to_owned).collect()
    }

    /// Lays what the case begins with.
    fn lay(&self) {
        for call in self.case.before {
            self.lab.netchaos(call).ok();
        }
        for breakage in self.case.spoiled {
            (breakage.act)(&self.lab);
        }
        thread::sleep(self.case.later);
    }

    fn state(&self) -> State {
        let list = self.lab.netchaos("list -o json").ok().json();
        let mut listed = BTreeMap::new();
        for item in list.as_array().expect("an array") {
            let text = |field: &str| item[field].as_str().expect("a text").to_owned();
            let before = listed.insert(text("name"), (text("state"), item["spec"].clone()));
            assert!(before.is_none(), "{} is listed twice", text("name"));
        }
        State {
            reached: self.reach.look(),
            listed,
        }
    }

    /// How the case goes when nobody is killed: what was, what comes, and the steps in between.
    fn undisturbed(&self, words: &[&str]) -> (State, State, Vec<usize>) {
        self.lay();
        let old = self.state();
        let whole = walk(words, |_, _| Then::GoOn);
        assert_eq!(whole.code, Some(0), "{}: {}", self.case.name, whole.stderr);
        let new = self.state();
        self.lab.netchaos("remove --all").ok();
        self.lab.assert_nothing_left();
        let mut random = Random(0);
        let chosen = if env::var_os("NETCHAOS_EVERY_STEP").is_none() {
            worth_a_kill(&whole.steps, |count| random.below(count))
        } else if whole.steps.len() > LONG_ROW * 4 && env::var_os("NETCHAOS_EVERY_CALL").is_none() {
            (0..whole.steps.len()).step_by(LONG_ROW / 8).collect()
        } else {
            (0..whole.steps.len()).collect()
        };
        (old, new, chosen)
    }

    /// What packets meet right after a kill: of each peer what was or what comes.
    fn assert_old_or_new(&self, old: &State, new: &State) -> Reached {
        let differs = |seen: Reached| {
            let [before, after] = [old.reached, new.reached];
            let out = (seen.to ^ before.to) & !(before.to ^ after.to);
            let into = (seen.from ^ before.from) & !(before.from ^ after.from);
            out | into != 0
        };
        let mut seen = self.reach.look();
        if differs(seen) {
            seen = self.reach.look_again();
        }
        assert!(
            !differs(seen),
            "{seen:?} is neither {:?} nor {:?}",
            old.reached,
            new.reached
        );
        seen
    }

    /// Whether `list` tells the truth right after a kill.
    fn assert_told_rightly(&self, old: &State, new: &State, seen: Reached) {
        let told = self.state().listed;
        for (name, what) in &told {
            let is = |state: &State| state.listed.get(name) == Some(what);
            let is_half = ["unfinished", "lost"].contains(&what.0.as_str())
                && (old.listed.contains_key(name) || new.listed.contains_key(name));
            assert!(is(old) || is(new) || is_half, "{name}: {what:?}");
        }
        for (state, which) in [(old, "the old state"), (new, "the new state")] {
            let other = if which.contains("old") { new } else { old };
            if told == state.listed && told != other.listed {
                assert_eq!(seen, state.reached, "`list` tells {which}");
            }
        }
        if self.case.call != "heal" {
            let names = |state: &State| state.listed.keys().cloned().collect::<BTreeSet<_>>();
            for name in names(old).intersection(&names(new)) {
                assert!(told.contains_key(name), "{name} is not listed: {told:?}");
            }
        }
    }

    /// After the next call that writes every experiment is as it was or as asked.
    fn assert_settled(&self, old: &State, new: &State) {
        let now = self.state();
        let names: BTreeSet<&String> = [old, new, &now]
            .into_iter()
            .flat_map(|state| state.listed.keys())
            .collect();
        let mut differ = Vec::new();
        for name in names {
            let of = |state: &'_ State| state.listed.get(name).cloned();
            let is = of(&now);
            assert!(
                is == of(old) || is == of(new),
                "{name} is {is:?}, and was {:?}, and should be {:?}",
                of(old),
                of(new)
            );
            differ.push(is == of(new));
        }
        self.assert_old_or_new(old, new);
        for (state, other) in [(old, new), (new, old)] {
            if now.listed == state.listed && now.listed != other.listed {
                assert_eq!(self.reach.look_again(), state.reached, "{:?}", now.listed);
            }
        }
    }

    /// Kills the call before one of its steps, looks, and goes on in one of several ways.
    fn kill(&self, words: &[&str], step: usize, old: &State, new: &State) -> bool {
        let lab = &self.lab;
        let _on = On(format!("{}, killed before step {step}", self.case.name));
        self.lay();
        let was_killed = killed_before(step, words);
        let seen = self.assert_old_or_new(old, new);
        self.assert_told_rightly(old, new, seen);
        match step % 4 {
            0 => {
                // Refused where it is done already.
                let again = netchaos(words);
                let code = again.status.code();
                assert!(matches!(code, Some(0 | 1)), "{again}");
                if code == Some(0) {
                    self.assert_settled(new, new);
                }
            }
            1 => {
                if step % 8 == 1 && self.case.spoiled.is_empty() {
                    lab.netchaos("add neutral --partition --to 10.77.0.99").ok();
                    lab.netchaos("remove neutral").ok();
                } else {
                    lab.netchaos("repair").ok();
                }
                self.assert_settled(old, new);
            }
            2 => {}
            _ => drop(lab.netchaos("heal").ok()),
        }
        lab.netchaos("remove --all").ok();
        lab.assert_nothing_left();
        was_killed
    }
}

#[test]
fn a_call_killed_before_any_of_its_steps_is_finished_or_taken_back() {
    if !can_run(&[]) {
        return;
    }
    let folder = Folder::new();
    let (next, kills) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let lines = Mutex::new(BTreeMap::new());
    let work = || {
        while let Some(case) = CASES.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begin = Instant::now();
            let trial = Trial::new(case, &folder);
            let words = trial.words(case.call);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let (old, new, steps) = trial.undisturbed(&words);
            assert_ne!(old, new, "{}: nothing happens", case.name);
            let killed = steps
                .iter()
                .filter(|step| trial.kill(&words, **step, &old, &new))
                .count();
            kills.fetch_add(killed, Ordering::Relaxed);
            let line = format!("{killed:5} kills, {:?}", begin.elapsed());
            lines.lock().expect("no panic").insert(case.name, line);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            if let Err(panic) = worker.join() {
                // The others need not go on.
                next.store(CASES.len(), Ordering::Relaxed);
                std::panic::resume_unwind(panic);
            }
        }
    });
    for (name, line) in lines.into_inner().expect("no panic") {
        println!("{line}: {name}");
    }
    let kills = kills.into_inner();
    println!("{kills} kills survived, in {} cases", CASES.len());
    assert!(kills > 10 * CASES.len(), "{kills} kills hit");
}
