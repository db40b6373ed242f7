//! What has to be done before xtask is gone, whether it comes to its end or somebody ends it.

use std::collections::BTreeMap;
use std::process;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;

use nix::libc::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

type Work = Box<dyn FnOnce() + Send>;

static OPEN: Mutex<BTreeMap<u64, Work>> = Mutex::new(BTreeMap::new());
static WATCHER: Once = Once::new();

/// Work that is done when this is dropped, or when SIGINT, SIGTERM or SIGHUP comes; once.
#[must_use]
pub struct Duty(u64);

impl Duty {
    /// `work` must not make or drop duties itself.
    pub fn new(work: impl FnOnce() + Send + 'static) -> Self {
        WATCHER.call_once(watch);
        let mut open = open();
        let id = open.last_key_value().map_or(0, |(last, _)| last + 1);
        open.insert(id, Box::new(work));
        Self(id)
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        // Held while the work is done: a signal that comes now waits for its end.
        let mut open = open();
        if let Some(work) = open.remove(&self.0) {
            work();
        }
    }
}

fn open() -> MutexGuard<'static, BTreeMap<u64, Work>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Without the watcher the signals keep their meaning and end xtask; children in VMs then die with it all the same.
fn watch() {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else {
        return;
    };
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let mut open = open();
            while let Some((_, work)) = open.pop_last() {
                work();
            }
            // As a shell reports a process that a signal has ended.
            process::exit(128 + signal);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_duty_is_done_once_when_it_is_dropped() {
        let done = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&done);
        let duty = Duty::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.load(Ordering::Relaxed), 0);
        drop(duty);
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }
}
