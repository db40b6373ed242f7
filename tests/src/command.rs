//! Running programs, with everything that there is to know when one fails.

use std::{
    fmt,
    io::{Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Longer than anything takes on an emulated processor that others use too; short enough to find
/// out which command hangs.
const LONGEST: Duration = Duration::from_secs(120);

/// A program that has ended.
pub struct Done {
    command: String,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\n{} after {:?}\nstdout:\n{}\nstderr:\n{}",
            self.command, self.status, self.took, self.stdout, self.stderr
        )
    }
}

impl Done {
    /// # Panics
    /// When the program failed.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.success(), "should have worked: {self}");
        self
    }

    /// # Panics
    /// When the program ended in another way than with this exit code, or without saying why.
    #[track_caller]
    pub fn fails_with(self, code: i32) -> Self {
        assert_eq!(
            self.status.code(),
            Some(code),
            "should have ended with exit code {code}: {self}"
        );
        assert!(!self.stderr.trim().is_empty(), "says nothing: {self}");
        self
    }

    /// # Panics
    /// When one of the parts is in neither output.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(
                self.stdout.contains(part) || self.stderr.contains(part),
                "should have said {part:?}: {self}"
            );
        }
        self
    }

    /// The stdout as JSON.
    ///
    /// # Panics
    /// When it is something else.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON: {error}: {self}"))
    }
}

/// Runs a program to its end.
///
/// # Panics
/// When it cannot be started or does not end.
#[track_caller]
pub fn run(program: &str, args: &[&str]) -> Done {
    run_with_input(program, args, "")
}

/// As [`run`], with a text on its stdin.
///
/// # Panics
/// As [`run`].
#[track_caller]
pub fn run_with_input(program: &str, args: &[&str], input: &str) -> Done {
    let before = Instant::now();
    let mut child = start(program, args);
    let input = input.to_owned();
    let mut stdin = child.stdin.take().expect("piped");
    // A program that does not read its input closes it, which is its right.
    thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    let mut kept = "";
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if before.elapsed() > LONGEST {
            kept = " (killed: it did not end)";
            child.kill().expect("a child can be killed");
        }
        thread::sleep(Duration::from_millis(2));
    };
    let done = Done {
        command: format!("$ {program} {}{kept}", args.join(" ")),
        status,
        took: before.elapsed(),
        stdout: stdout.join().expect("the reader does not panic"),
        stderr: stderr.join().expect("the reader does not panic"),
    };
    assert!(kept.is_empty(), "{done}");
    done
}

/// Starts a program with its three standard streams piped.
///
/// # Panics
/// When it cannot be started.
#[track_caller]
pub fn start(program: &str, args: &[&str]) -> Child {
    Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}"))
}

fn reader(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    let mut stream = stream.expect("piped");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A read that fails ends the text; the status says the rest.
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Cuts a command line at its blanks. No quoting: nothing here needs it.
pub fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}
