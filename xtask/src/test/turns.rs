//! Several jobs at the same time, whose words reach the reader one job after the other.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::ui;
use crate::vm::{Sink, Stream};

/// How often the reader is told of the jobs whose words are kept back.
const MEANWHILE: Duration = Duration::from_secs(30);
/// How often it is looked whether that is due.
const TICK: Duration = Duration::from_millis(500);
/// The longest line of a job that is shown then.
const SHOWN: usize = 80;

enum Event {
    Said(Stream, Vec<u8>),
    Over,
}

/// Does `work` for each of `names` by its index, at most `slots` at the same time, each in a thread of its own that
/// lives until its work is done. Gives back what came out, in the order of `names`; a panic takes only its own job.
///
/// What the first job that is not over says goes on to `sink` as it comes. What the others say is kept back until it
/// is their turn. All of it is told by the calling thread.
///
/// # Errors
/// When `sink` takes no more; running jobs then learn it from theirs, and no more are begun.
pub fn at_once<T: Send>(
    names: &[String],
    slots: usize,
    work: impl Fn(usize, Sink) -> T + Sync,
    sink: Sink,
) -> Result<Vec<thread::Result<T>>> {
    let (sender, events) = channel();
    let work = &work;
    thread::scope(|scope| {
        let mut waiting = 0..names.len();
        let mut begin = || {
            let who = waiting.next()?;
            let sender = sender.clone();
            Some(scope.spawn(move || {
                let mut say = |stream, bytes: &[u8]| {
                    let said = Event::Said(stream, bytes.to_vec());
                    let sent = sender.send((who, said));
                    sent.map_err(|_| anyhow!("nobody reads the output"))
                };
                let outcome = catch_unwind(AssertUnwindSafe(|| work(who, &mut say)));
                // Nobody listens when the sink has failed.
                sender.send((who, Event::Over)).ok();
                outcome
            }))
        };
        let mut threads: Vec<_> = (0..slots).map_while(|_| begin()).collect();
        let told = tell(events, names, || threads.extend(begin()), sink);
        let outcomes = threads
            .into_iter()
            .map(|thread| thread.join().and_then(|outcome| outcome))
            .collect();
        told.map(|()| outcomes)
    })
}

/// Tells what `events` bring until all jobs are over. `begin_next` is called when one is.
fn tell(
    events: Receiver<(usize, Event)>,
    names: &[String],
    mut begin_next: impl FnMut(),
    sink: Sink,
) -> Result<()> {
    let mut turns = Turns::new(names, sink);
    let mut due = Instant::now() + MEANWHILE;
    while turns.turn < names.len() {
        match events.recv_timeout(TICK) {
            Ok((who, Event::Said(stream, bytes))) => turns.said(who, stream, bytes)?,
            Ok((who, Event::Over)) => {
                begin_next();
                turns.over(who)?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if Instant::now() > due && turns.at_line_start {
            turns.tell_meanwhile()?;
            due = Instant::now() + MEANWHILE;
        }
    }
    Ok(())
}

/// Whose words are told, and the words of the others.
struct Turns<'a> {
    names: &'a [String],
    sink: Sink<'a>,
    /// The job whose words are told as they come: the first that is not over.
    turn: usize,
    kept: Vec<Vec<(Stream, Vec<u8>)>>,
    over: Vec<bool>,
    at_line_start: bool,
}

impl<'a> Turns<'a> {
    fn new(names: &'a [String], sink: Sink<'a>) -> Self {
        Self {
            names,
            sink,
            turn: 0,
            kept: names.iter().map(|_| Vec::new()).collect(),
            over: vec![false; names.len()],
            at_line_start: true,
        }
    }

    fn said(&mut self, who: usize, stream: Stream, bytes: Vec<u8>) -> Result<()> {
        if who == self.turn {
            return self.tell(stream, &bytes);
        }
        match self.kept[who].last_mut() {
            Some((last, kept)) if *last == stream => kept.extend(bytes),
            _ => self.kept[who].push((stream, bytes)),
        }
        Ok(())
    }

    fn over(&mut self, who: usize) -> Result<()> {
        self.over[who] = true;
        while self.over.get(self.turn) == Some(&true) {
            self.turn += 1;
            let kept = self.kept.get_mut(self.turn).map(std::mem::take);
            for (stream, bytes) in kept.unwrap_or_default() {
                self.tell(stream, &bytes)?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, stream: Stream, bytes: &[u8]) -> Result<()> {
        if let Some(last) = bytes.last() {
            self.at_line_start = *last == b'\n';
        }
        (self.sink)(stream, bytes)
    }

    /// One line for each job that runs, or is over, out of its turn.
    fn tell_meanwhile(&mut self) -> Result<()> {
        for who in self.later() {
            let Some((_, bytes)) = self.kept[who].last() else {
                continue;
            };
            let doing = match ui::last_line(bytes) {
                _ if self.over[who] => "done, to be shown".into(),
                Some(line) => line.chars().take(SHOWN).collect(),
                None => "running".to_owned(),
            };
            let line = format!("xtask: meanwhile {}: {doing}\n", self.names[who]);
            self.tell(Stream::Err, line.as_bytes())?;
        }
        Ok(())
    }

    fn later(&self) -> Range<usize> {
        self.turn + 1..self.names.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use anyhow::bail;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn words_are_told_in_the_order_of_the_jobs() {
        let names = names(&["a", "b", "c"]);
        let mut told = Vec::new();
        let mut sink = |_, bytes: &[u8]| {
            told.push(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(())
        };
        let mut turns = Turns::new(&names, &mut sink);
        let mut say = |who, text: &str| match text {
            "over" => turns.over(who).unwrap(),
            "meanwhile" => turns.tell_meanwhile().unwrap(),
            _ => turns.said(who, Stream::Out, text.into()).unwrap(),
        };
        for (who, text) in [
            (2, "c1\n"),
            (0, "a1\n"),
            (1, "b1 "),
            (1, "...\n"),
            (2, "over"),
            (0, "meanwhile"),
            (0, "a2\n"),
            (0, "over"),
            (1, "b2\n"),
            (1, "over"),
        ] {
            say(who, text);
        }
        assert_eq!(turns.turn, 3);
        assert_eq!(
            told,
            [
                "a1\n",
                "xtask: meanwhile b: b1 ...\n",
                "xtask: meanwhile c: done, to be shown\n",
                "a2\n",
                "b1 ...\n",
                "b2\n",
                "c1\n"
            ]
        );
    }

    #[test]
    fn a_half_line_is_not_broken() {
        let names = names(&["a"]);
        let mut sink = |_, _: &[u8]| Ok(());
        let mut turns = Turns::new(&names, &mut sink);
        turns.said(0, Stream::Out, b"test a ... ".into()).unwrap();
        assert!(!turns.at_line_start);
        turns.said(0, Stream::Out, b"ok\n".into()).unwrap();
        assert!(turns.at_line_start);
    }

    #[test]
    fn a_panic_takes_only_its_own_job() {
        let mut told: Vec<u8> = Vec::new();
        let outcomes = at_once(
            &names(&["a", "b", "c"]),
            1,
            |who, sink| {
                sink(Stream::Out, &[[b'a', b'b', b'c'][who]]).unwrap();
                assert_ne!(who, 1, "on purpose");
                who
            },
            &mut |_, bytes| {
                told.extend(bytes);
                Ok(())
            },
        );
        let outcomes: Vec<_> = outcomes.unwrap().into_iter().map(Result::ok).collect();
        assert_eq!(outcomes, [Some(0), None, Some(2)]);
        assert_eq!(told, b"abc");
    }

    #[test]
    fn so_many_run_at_the_same_time_as_there_are_slots() {
        let now = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        let two = Barrier::new(2);
        let work = |_, _: Sink| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Nobody passes alone.
            two.wait();
            now.fetch_sub(1, Ordering::SeqCst);
        };
        let jobs = names(&["a", "b", "c", "d"]);
        assert_eq!(
            at_once(&jobs, 2, work, &mut |_, _| Ok(())).unwrap().len(),
            4
        );
        assert_eq!(most.into_inner(), 2);
    }

    #[test]
    fn without_a_reader_jobs_come_to_an_end() {
        let begun = AtomicUsize::new(0);
        let work = |_, sink: Sink| {
            begun.fetch_add(1, Ordering::SeqCst);
            while sink(Stream::Out, b"x").is_ok() {}
        };
        let told = at_once(&names(&["a", "b", "c"]), 2, work, &mut |_, _| {
            bail!("closed")
        });
        assert!(told.is_err());
        assert_eq!(begun.into_inner(), 2);
    }
}
