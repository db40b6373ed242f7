//! What is shown, in order. Every claim is checked: a demonstration that cannot fail shows nothing.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::lab::{CLIENT, Lab, PEERS};
use super::ping::{self, Times};
use crate::ui::output;

/// The manifest, from the workspace's root.
const MANIFEST: &str = "examples/delay-external-targets.yaml";
/// The name that the manifest gives its experiment.
const EXPERIMENT: &str = "delay-external-targets";
/// The manifest's 50 ms, less its jitter of 1 ms and the timers' grain.
const DELAYED_MS: f64 = 48.5;
/// Far above a round trip through the lab, even on a busy machine, and far below the delay.
const UNTOUCHED_MS: f64 = 25.0;

const PICTURE: &str = "
  nclab-client ── nclab-router ─┬─ nclab-one     target-one.lab
                                ├─ nclab-two     target-two.lab
                                └─ nclab-other   bystander.lab
";

type Phases = Vec<(&'static str, Vec<Times>)>;

/// # Errors
/// When the lab cannot be made, a command fails, or something is not as it should be.
pub fn tell(netchaos: &Path) -> Result<()> {
    println!("\n== A lab of network namespaces\n{PICTURE}");
    let _lab = Lab::new().context("making the lab")?;
    ping::first()?;
    let tool = Tool { netchaos };
    let mut phases = Phases::new();
    measure(&mut phases, "before", &[])?;
    // Not sooner: a device that came up changes what it prints for a second.
    let before = traces()?;

    println!("== A manifest slows down the way to {}\n", PEERS[0].name);
    tool.show(&["apply", "-f", MANIFEST, "--netns", CLIENT])?;
    show(
        "tc",
        Command::new("tc").args(["-n", CLIENT, "qdisc", "show"]),
    )?;
    measure(&mut phases, "during", &[0])?;
    tool.show(&["show", EXPERIMENT, "--netns", CLIENT])?;

    println!("== A second target, while it runs\n");
    tool.show(&[
        "target",
        "add",
        EXPERIMENT,
        PEERS[1].name,
        "--netns",
        CLIENT,
    ])?;
    measure(&mut phases, "second target", &[0, 1])?;

    println!("== Everything away again\n");
    tool.show(&["remove", "--all", "--netns", CLIENT])?;
    measure(&mut phases, "after", &[])?;
    nothing_left(&before, &traces()?)
}

struct Tool<'a> {
    netchaos: &'a Path,
}

impl Tool<'_> {
    fn show(&self, args: &[&str]) -> Result<()> {
        show("netchaos", Command::new(self.netchaos).args(args))
    }
}

/// Runs `command` as in a shell's transcript, where it is called `name`.
fn show(name: &str, command: &mut Command) -> Result<()> {
    let args: Vec<_> = command
        .get_args()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    println!("$ {name} {}", args.join(" "));
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {name}"))?;
    println!();
    if !status.success() {
        bail!("{name} {}: {status}", args[0]);
    }
    Ok(())
}

/// Pings everybody, shows all that was measured so far, and checks that those in `delayed`, and no others, are slow.
fn measure(phases: &mut Phases, title: &'static str, delayed: &[usize]) -> Result<()> {
    println!("$ {}", crate::ui::shown(&ping::command(PEERS[0].name)));
    println!(
        "  and at the same time {} and {}",
        PEERS[1].name, PEERS[2].name
    );
    let times = ping::all()?;
    phases.push((title, times.clone()));
    println!("\n{}", ping::table(phases));
    for (index, (peer, times)) in PEERS.iter().zip(&times).enumerate() {
        let min = times.min();
        if delayed.contains(&index) && min < DELAYED_MS {
            bail!(
                "a round trip to {} took {min} ms: it is not delayed",
                peer.name
            );
        }
        if !delayed.contains(&index) && min > UNTOUCHED_MS {
            bail!(
                "no round trip to {} took less than {min} ms: it should be untouched",
                peer.name
            );
        }
    }
    Ok(())
}

/// What the client's namespace says about its network: each command and what it prints.
fn traces() -> Result<Vec<(String, String)>> {
    let commands = [
        "tc -n nclab-client qdisc show",
        "tc -n nclab-client filter show dev eth0",
        "tc -n nclab-client filter show dev eth0 egress",
        "tc -n nclab-client filter show dev eth0 ingress",
        "ip -n nclab-client link",
        "ip -n nclab-client addr",
        "ip -n nclab-client route",
    ];
    let trace = |line: &str| {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().context("no program")?);
        Ok((line.to_owned(), output(command.args(words))?))
    };
    commands.into_iter().map(trace).collect()
}

fn nothing_left(before: &[(String, String)], after: &[(String, String)]) -> Result<()> {
    let mut changed = Vec::new();
    for ((command, before), (_, after)) in before.iter().zip(after) {
        let same = before == after;
        println!(
            "  {command:48} {}",
            if same { "as before" } else { "CHANGED" }
        );
        if !same {
            changed.push(format!("{command}\n-- before\n{before}-- after\n{after}"));
        }
    }
    if changed.is_empty() {
        println!("\nNothing left: the client's namespace prints what it printed before.");
        return Ok(());
    }
    bail!("something is left:\n{}", changed.join("\n"))
}
