//! A program that goes on until somebody ends it, such as `netchaos run`.

use std::{
    process::Child,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// For an emulated processor.
const PATIENCE: Duration = Duration::from_secs(30);

/// Killed when dropped, however the test ends.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    pub const fn new(child: Child) -> Self {
        Self(child)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// # Panics
    /// Never: a child can be asked.
    pub fn has_ended(&mut self) -> bool {
        let status = self.0.try_wait().expect("a child can be waited for");
        status.is_some()
    }

    /// Ends it by a signal.
    ///
    /// # Panics
    /// When that does not end it, or makes it fail.
    #[track_caller]
    pub fn end(mut self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).expect("it runs");
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.0.try_wait().expect("a child can be waited for") {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "{signal} does not end it");
            thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(
            status.success(),
            signal != Signal::SIGKILL,
            "{signal}: {status}"
        );
    }
}
