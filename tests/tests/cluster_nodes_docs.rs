//! The commands of docs/kubernetes.md, from top to bottom in one shell, and the output that is shown for them.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{self, Child, ChildStdin, ChildStdout, Command, Stdio},
};

use netchaos_tests::kubernetes::variable;

/// A command, and the lines that are shown below it.
#[derive(Debug, PartialEq)]
struct Shown {
    command: String,
    output: Vec<String>,
}

/// What stands in the blocks marked `console`.
fn commands(page: &str) -> Vec<Shown> {
    let mut commands: Vec<Shown> = Vec::new();
    for block in page.split("\n```console\n").skip(1) {
        let block = block
            .split("\n```")
            .next()
            .expect("split gives one at least");
        for line in block.lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push(Shown {
                    command: command.to_owned(),
                    output: Vec::new(),
                }),
                (None, Some(shown)) => shown.output.push(line.to_owned()),
                (None, None) => panic!("{line:?} is the output of no command"),
            }
        }
    }
    commands
}

/// The same words; an age is like any other.
fn is_like(line: &str, shown: &str) -> bool {
    let is_age = |word: &str| {
        let number = word.strip_suffix('s');
        number
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    let (line, shown): (Vec<&str>, Vec<&str>) = (
        line.split_whitespace().collect(),
        shown.split_whitespace().collect(),
    );
    let same = |(a, b): (&&str, &&str)| a == b || (is_age(a) && is_age(b));
    line.len() == shown.len() && line.iter().zip(&shown).all(same)
}

/// A shell in the folder with `deploy/` and `examples/`, with kubectl and helm in its PATH.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    programs: PathBuf,
}

impl Shell {
    const END: &str = "netchaos-docs-end";

    fn start() -> Self {
        let programs = env::temp_dir().join(format!("netchaos-docs-{}", process::id()));
        fs::create_dir_all(&programs).expect("a folder can be made");
        for (name, variable_name) in [("kubectl", "KUBECTL"), ("helm", "HELM")] {
            let program = variable(variable_name);
            symlink(program, programs.join(name)).expect("a link can be made");
        }
        let path = env::var("PATH").unwrap_or_default();
        let mut child = Command::new("bash")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .env("PATH", format!("{}:{path}", programs.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash starts");
        let mut stdin = child.stdin.take().expect("piped");
        writeln!(stdin, "exec 2>&1").expect("the shell reads");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Self {
            child,
            stdin,
            stdout,
            programs,
        }
    }

    /// The output of a command, and its exit code.
    fn run(&mut self, command: &str) -> (String, i32) {
        // The command must not read what comes after it.
        let line = format!(
            "{{ {command}\n}} < /dev/null; code=$?; echo; echo {} $code",
            Self::END
        );
        writeln!(self.stdin, "{line}").expect("the shell reads");
        let mut output = String::new();
        loop {
            let mut line = String::new();
            let length = self.stdout.read_line(&mut line).expect("UTF-8");
            assert!(length > 0, "the shell has ended: {output}");
            if let Some(code) = line.strip_prefix(Self::END) {
                return (output, code.trim().parse().expect("an exit code"));
            }
            output += &line;
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It ends with its input; a command that hangs is ended with it.
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_dir_all(&self.programs).ok();
    }
}

#[test]
fn each_command_of_the_docs_does_what_is_shown() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kubernetes.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let commands = commands(&page);
    assert!(commands.len() > 30, "{commands:?}");
    let mut shell = Shell::start();
    for Shown { command, output } in commands {
        let (printed, code) = shell.run(&command);
        println!("$ {command}\n{printed}");
        let fails = output
            .iter()
            .any(|line| line.starts_with("command terminated with exit code"));
        assert_eq!(code != 0, fails, "exit code {code} of {command}: {printed}");
        for shown in output {
            let is_there = printed.lines().any(|line| is_like(line, &shown));
            assert!(is_there, "{command} prints no {shown:?}: {printed}");
        }
    }
}

#[test]
fn commands_and_their_outputs_are_told_apart() {
    let page = "a\n\n```console\n$ one\n$ two\nout 1s\n```\n\n```text\n$ none\n```\n";
    let shown = |command: &str, output: &[&str]| Shown {
        command: command.to_owned(),
        output: output.iter().map(|&line| line.to_owned()).collect(),
    };
    assert_eq!(
        commands(page),
        [shown("one", &[]), shown("two", &["out 1s"])]
    );
    assert!(is_like("out  17s", "out 1s") && !is_like("out 1m", "out 1s"));
}
