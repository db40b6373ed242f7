//! Reading what test binaries print, line by line as it comes.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::AddAssign;

/// How many tests ended in which way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// What a test says that lacks something: `NOT RUN: <test name>: <why>`.
const NOT_RUN: &str = "NOT RUN: ";

/// What is known of the test binary that runs.
#[derive(Default)]
struct Binary {
    name: String,
    /// The test that has begun and not ended.
    running: Option<String>,
    /// `<test name>: <why>`
    not_run: BTreeSet<String>,
    failed: BTreeSet<String>,
    in_failures: bool,
    has_result: bool,
}

/// How a stage can fail beside its tests.
pub enum Failure {
    /// Something broke.
    Certain(String),
    /// A status says so, which failed tests explain if there are any.
    Unexplained(String),
}

/// The results of one stage: unit tests, tests on the host, tests in the VM of one kernel.
pub struct Results {
    /// What the stage is called in the summary.
    pub stage: String,
    pub counts: Counts,
    /// Names of the tests that failed, and what else went wrong.
    pub failures: Vec<String>,
    /// Tests that did not run, and why.
    pub not_run: Vec<String>,
    /// True where every test has all that it needs: what does not run there has failed.
    all_must_run: bool,
    binary: Option<Binary>,
    half_line: Vec<u8>,
}

impl Results {
    pub fn new(stage: impl Into<String>, all_must_run: bool) -> Self {
        Self {
            stage: stage.into(),
            counts: Counts::default(),
            failures: Vec::new(),
            not_run: Vec::new(),
            all_must_run,
            binary: None,
            half_line: Vec::new(),
        }
    }

    /// Something that is no test failed, and with it the tests that it kept from running.
    fn add_failure(&mut self, what: String) {
        self.counts.failed += 1;
        self.failures.push(what);
    }

    /// Takes output as it comes, in any pieces.
    pub fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.half_line.extend(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.half_line);
                self.line(String::from_utf8_lossy(&line).trim_end());
            }
        }
    }

    fn line(&mut self, line: &str) {
        if let Some(name) = begun(line) {
            self.end_binary("no result");
            self.binary = Some(Binary {
                name,
                ..Binary::default()
            });
        } else if let Some(how) = line.trim_start().strip_prefix("Ended ") {
            self.end_binary(how);
        } else if let Some(counts) = result(line) {
            self.count(counts);
        } else if let Some(binary) = &mut self.binary {
            binary.line(line);
            if let Some(name) = line
                .strip_prefix("test ")
                .and_then(|rest| rest.split_once(" ... ignored"))
            {
                self.not_run.push(format!(
                    "{}: {}{}",
                    binary.name,
                    name.0,
                    name.1.replacen(", ", ": ", 1)
                ));
            }
        }
    }

    fn count(&mut self, counts: Counts) {
        let Some(binary) = &mut self.binary else {
            return;
        };
        binary.has_result = true;
        self.failures.extend(
            binary
                .failed
                .iter()
                .map(|name| format!("{}: {name}", binary.name)),
        );
        // A test that says NOT RUN returns, and libtest takes it as passed.
        let failed = &binary.failed;
        let is_failed = |said: &&String| {
            failed
                .iter()
                .any(|name| said.starts_with(&format!("{name}: ")))
        };
        let not_run: Vec<_> = binary
            .not_run
            .iter()
            .filter(|said| !is_failed(said))
            .collect();
        let names: BTreeSet<_> = not_run.iter().map(|said| said.split(": ").next()).collect();
        let moved = names.len().min(counts.passed);
        self.counts += counts;
        self.counts.passed -= moved;
        let named = not_run
            .iter()
            .map(|said| format!("{}: {said}", binary.name));
        if self.all_must_run {
            self.counts.failed += moved;
            self.failures
                .extend(named.map(|said| format!("{said} (not run, and should have)")));
        } else {
            self.counts.skipped += moved;
            self.not_run.extend(named);
        }
    }

    fn end_binary(&mut self, how: &str) {
        if let Some(cut_short) = self.cut_short() {
            self.add_failure(format!("{cut_short}: ended before its tests did ({how})"));
        }
    }

    /// Binary and test that ran and will not come to an end. What had failed in that binary is counted now: the list
    /// of it, and the totals, never come.
    fn cut_short(&mut self) -> Option<String> {
        let binary = self.binary.take().filter(|binary| !binary.has_result)?;
        for name in &binary.failed {
            self.add_failure(format!("{}: {name}", binary.name));
        }
        Some(match binary.running {
            Some(test) => format!("{}: {test}", binary.name),
            None => binary.name,
        })
    }

    /// The stage is over, for this reason if its tests are not all of it.
    pub fn end(&mut self, failure: Option<Failure>) {
        self.feed(b"\n");
        let failure = match failure {
            // What broke the stage has ended the binary too: one failure.
            Some(Failure::Certain(what)) => Some(Failure::Certain(match self.cut_short() {
                Some(cut_short) => {
                    format!("{cut_short}: running when it happened, no later test ran: {what}")
                }
                None => what,
            })),
            other => other,
        };
        self.end_binary("no result");
        match failure {
            Some(Failure::Certain(what)) => self.add_failure(what),
            Some(Failure::Unexplained(what)) if self.failures.is_empty() => self.add_failure(what),
            Some(Failure::Unexplained(_)) | None => {}
        }
    }
}

impl Binary {
    fn line(&mut self, line: &str) {
        if let Some((_, said)) = line.split_once(NOT_RUN) {
            self.not_run.insert(said.trim().to_owned());
        }
        self.follow(line);
        // The list of names comes last; before it a section of the same title shows what the tests printed.
        if line == "failures:" {
            self.failed.clear();
            self.in_failures = true;
        } else if let (true, Some(name)) = (self.in_failures, line.strip_prefix("    ")) {
            self.failed.insert(name.to_owned());
        } else {
            self.in_failures = false;
        }
    }

    /// Keeps up with which test runs.
    fn follow(&mut self, line: &str) {
        let begun = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ..."));
        let (name, how) = match (begun, self.running.take()) {
            (Some((name, how)), _) => (name.to_owned(), how.trim_start()),
            // What a test writes past libtest comes before its end, which is then on a line of its own.
            (None, Some(name)) => (name, line),
            (None, None) => return,
        };
        if how == "FAILED" {
            self.failed.insert(name);
        } else if how != "ok" && !how.starts_with("ignored") {
            self.running = Some(name);
        }
    }
}

/// The name of the test binary that a line of cargo, or of our own runner, announces.
fn begun(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(package) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{package} (examples in its documentation)"));
    }
    let (source, path) = line
        .strip_prefix("Running ")?
        .strip_suffix(')')?
        .split_once(" (")?;
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.rsplit_once('-').map_or(file, |(name, _hash)| name);
    Some(if source.starts_with("unittests") {
        format!("{name} ({source})")
    } else {
        name.to_owned()
    })
}

/// The counts in libtest's last line.
fn result(line: &str) -> Option<Counts> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what: &str| {
        let part = counts
            .split(';')
            .map(str::trim)
            .find_map(|part| part.strip_suffix(what))?;
        part.trim().parse().ok()
    };
    Some(Counts {
        passed: count("passed")?,
        failed: count("failed")?,
        skipped: count("ignored")?,
    })
}

#[cfg(test)]
mod tests;
