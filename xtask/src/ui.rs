//! What a person sees while xtask works: one line per step, and a sign of life when it takes long.
//!
//! All of it goes to stderr, so that stdout belongs to the command that was asked for.

use std::io::{IsTerminal as _, Read, Write as _};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// A step says nothing about its progress before this.
const QUIET: Duration = Duration::from_secs(2);
/// Without a terminal each sign of life is a line of its own, so they are few.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Enough of the latest output to find its last line in.
const RECENT: usize = 512;
/// Lines of a failed command's output that are shown.
const TAIL_LINES: usize = 40;

/// One line about what happens, on stderr.
pub fn note(text: impl std::fmt::Display) {
    eprintln!("xtask: {text}");
}

/// One unit of work done by a child process.
pub struct Step<'a> {
    what: &'a str,
    announce: bool,
    bound: Option<Duration>,
}

enum Event {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

impl<'a> Step<'a> {
    /// A step of the setup: its line is always shown.
    pub fn new(what: &'a str) -> Self {
        Self {
            what,
            announce: true,
            bound: None,
        }
    }

    /// A step that usually has nothing to do (a warm build): its line is shown only when it takes long.
    pub fn usually_instant(what: &'a str) -> Self {
        Self {
            what,
            announce: false,
            bound: None,
        }
    }

    /// The command is killed, and the step failed, after `bound`.
    pub fn bound(mut self, bound: Duration) -> Self {
        self.bound = Some(bound);
        self
    }

    /// Runs `command` with both outputs captured.
    ///
    /// # Errors
    /// When it cannot be started, fails, or takes longer than the bound; with the end of its output.
    pub fn run(self, command: &mut Command) -> Result<Output> {
        let output = self.capture(command)?;
        if output.status.success() {
            return Ok(output);
        }
        bail!(
            "{} failed ({}): {}\n{}",
            self.what,
            output.status,
            shown(command),
            tail(&output)
        )
    }

    fn capture(&self, command: &mut Command) -> Result<Output> {
        let mut ticker = Ticker::new(self.what, self.announce);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{}: cannot start {}", self.what, shown(command)))?;
        let (sender, events) = channel();
        pump(child.stdout.take(), sender.clone(), Event::Out);
        pump(child.stderr.take(), sender, Event::Err);
        let mut output = (Vec::new(), Vec::new());
        if !self.collect(&events, &mut ticker, &mut output) {
            child.kill().ok();
            child.wait().ok();
            ticker.end("given up");
            bail!(
                "{} took longer than {} s: {}",
                self.what,
                ticker.seconds(),
                shown(command)
            );
        }
        let status = child
            .wait()
            .with_context(|| format!("{}: lost {}", self.what, shown(command)))?;
        ticker.end(if status.success() { "done" } else { "failed" });
        Ok(Output {
            status,
            stdout: output.0,
            stderr: output.1,
        })
    }

    /// False when the bound has passed before both outputs ended.
    fn collect(
        &self,
        events: &Receiver<Event>,
        ticker: &mut Ticker,
        output: &mut (Vec<u8>, Vec<u8>),
    ) -> bool {
        loop {
            match events.recv_timeout(Duration::from_millis(500)) {
                Ok(Event::Out(bytes)) => {
                    // What is meant for people comes on stderr, where there is any.
                    if output.1.is_empty() {
                        ticker.heard(&bytes);
                    }
                    output.0.extend(bytes);
                }
                Ok(Event::Err(bytes)) => {
                    ticker.heard(&bytes);
                    output.1.extend(bytes);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return true,
            }
            ticker.tick();
            if self
                .bound
                .is_some_and(|bound| ticker.start.elapsed() > bound)
            {
                return false;
            }
        }
    }
}

/// Sends what comes from `source` as it comes; the sender is dropped at the end of it.
pub fn pump<T: Send + 'static>(
    source: Option<impl Read + Send + 'static>,
    sender: Sender<T>,
    event: fn(Vec<u8>) -> T,
) {
    thread::spawn(move || {
        let mut buffer = [0; 8192];
        if let Some(mut source) = source {
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                if sender.send(event(buffer[..count].to_vec())).is_err() {
                    return;
                }
            }
        }
    });
}

struct Ticker<'a> {
    what: &'a str,
    start: Instant,
    shown: Option<Instant>,
    recent: Vec<u8>,
    terminal: bool,
    announced: bool,
}

impl<'a> Ticker<'a> {
    fn new(what: &'a str, announce: bool) -> Self {
        if announce {
            note(what);
        }
        let terminal = std::io::stderr().is_terminal();
        Self {
            what,
            start: Instant::now(),
            shown: None,
            recent: Vec::new(),
            terminal,
            announced: announce,
        }
    }

    fn seconds(&self) -> u64 {
        self.start.elapsed().as_secs()
    }

    fn heard(&mut self, bytes: &[u8]) {
        self.recent.extend(bytes);
        let excess = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..excess);
    }

    fn tick(&mut self) {
        let every = if self.terminal {
            Duration::from_secs(1)
        } else {
            PLAIN_EVERY
        };
        let due = self.shown.map_or(self.start + QUIET, |shown| shown + every);
        if Instant::now() < due {
            return;
        }
        if !self.announced {
            note(self.what);
            self.announced = true;
        }
        self.shown = Some(Instant::now());
        let line = last_line(&self.recent).unwrap_or_default();
        let line = format!("  {} s  {line}", self.seconds());
        let line: String = line.chars().take(100).collect();
        if self.terminal {
            eprint!("\r\x1b[2K{line}");
            std::io::stderr().flush().ok();
        } else {
            eprintln!("{}", line.trim_end());
        }
    }

    fn end(&mut self, how: &str) {
        if self.shown.is_none() {
            return;
        }
        let back = if self.terminal { "\r\x1b[2K" } else { "" };
        eprintln!("{back}  {how} after {} s", self.seconds());
    }
}

/// The last line in `bytes` that says something, without control characters.
pub fn last_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let line = text
        .split(['\n', '\r'])
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !line.starts_with('{'))?;
    Some(line.chars().filter(|c| !c.is_control()).collect())
}

/// The end of what a failed command said.
fn tail(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// Runs `command` without showing it.
///
/// # Errors
/// With the command's own words when it fails.
pub fn quietly(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// What `command` prints.
///
/// # Errors
/// With the command's own words when it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command
        .output()
        .with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        bail!(
            "{shown}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as it would be typed.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| quoted(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// `word` so that a shell reads it back as one word.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_survives_the_shell() {
        for word in [
            "plain",
            "",
            "two words",
            "it's",
            "$HOME `id`",
            "a\nb",
            "*",
            r"back\slash",
        ] {
            let script = format!("printf %s {}", quoted(word));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }

    #[test]
    fn the_last_line_is_the_last_that_says_something() {
        assert_eq!(last_line(b"one\ntwo\r\n\n").as_deref(), Some("two"));
        assert_eq!(last_line(b"10%\r20%\r").as_deref(), Some("20%"));
        assert_eq!(
            last_line(b"words\n{\"reason\":1}\n").as_deref(),
            Some("words")
        );
        assert_eq!(last_line(b"\n"), None);
    }

    #[test]
    fn a_failed_step_shows_what_the_command_said() {
        let mut command = Command::new("sh");
        let error =
            Step::usually_instant("trying").run(command.args(["-c", "echo because >&2; exit 3"]));
        let error = format!("{:#}", error.unwrap_err());
        assert!(
            error.contains("trying failed") && error.contains("because"),
            "{error}"
        );
    }

    #[test]
    fn a_step_ends_at_its_bound() {
        let start = Instant::now();
        let step = Step::usually_instant("waiting").bound(Duration::from_millis(100));
        assert!(step.run(Command::new("sleep").arg("30")).is_err());
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
