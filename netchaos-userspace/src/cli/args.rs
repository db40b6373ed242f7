//! The command line, as clap reads it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::place::{PodName, Where};

#[cfg(feature = "agent")]
mod agent;
mod aim;
mod fault;

#[cfg(feature = "agent")]
pub use self::agent::Agent;
pub use self::{aim::Aim, fault::Fault};

const AFTER: &str = "\
Exit codes: 0 done, 1 refused or failed and nothing changed, 2 usage, 3 the kernel or the rights \
lack something, 4 partly done or partly undone.

Undo everything in a place: netchaos heal [--netns NAME]";

/// Network faults for containers, pods and hosts by eBPF.
#[derive(Debug, Parser)]
#[command(name = "netchaos", version, after_help = AFTER, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lay the experiments of manifests: Chaos Mesh's NetworkChaos or netchaos' own; twice is once
    Apply(Apply),
    /// Lay one experiment
    Add(Add),
    /// Change an experiment's fault in place; what is not mentioned stays
    Change(Change),
    /// Lay experiments as `add` or `apply` does, follow the names of their targets, and take them
    /// away at Ctrl-C, at SIGTERM, or when they have ended
    Run(Box<Run>),
    /// Say in words and as the tree what experiments do, or would do
    Explain(Explain),
    /// List the experiments of a place
    List(List),
    /// Show one experiment: what was asked for, what the kernel holds, what it has hit
    Show(Show),
    /// Change an experiment's targets; the next packet sees it
    #[command(subcommand)]
    Target(Target),
    /// Stop experiments from steering packets; they stay
    Pause(Names),
    /// Let paused experiments steer again
    Resume(Names),
    /// Take experiments away, when the packets in them have left
    Remove(Remove),
    /// Take everything of netchaos away, whatever state it is in
    Heal(Heal),
    /// Put back what others have taken away from experiments, and finish what a killed call has begun
    Repair(Heal),
    /// Try what this kernel and these rights can do
    Doctor(Doctor),
    /// Bring the pods of a node to what NetworkChaos objects ask, until SIGTERM; run by a DaemonSet
    #[cfg(feature = "agent")]
    Agent(Agent),
}

/// Where the fault is put.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Where (none: the current network namespace)")]
pub struct Place {
    /// A named network namespace, or the path of a namespace file
    #[arg(long, value_name = "NAME|PATH", group = "where")]
    pub netns: Option<String>,
    /// The network namespace of a process
    #[arg(long, value_name = "PID", group = "where")]
    pub pid: Option<u32>,
    /// That of a container: its id, 12 or more digits of that, or its name
    #[arg(long, value_name = "ID|NAME", group = "where")]
    pub container: Option<String>,
    /// That of a pod on this node
    #[arg(long, value_name = "NAMESPACE/NAME|UID", group = "where")]
    pub pod: Option<PodName>,
    /// Also if the container or pod is in the host's own network: a fault then hits the whole node
    #[arg(long, requires = "where", conflicts_with_all = ["netns", "pid"])]
    pub host_network: bool,
}

impl Place {
    pub fn wanted(&self) -> Where {
        let host_network = self.host_network;
        match self.clone() {
            Self {
                netns: Some(netns), ..
            } => Where::Netns(netns),
            Self { pid: Some(pid), .. } => Where::Pid(pid),
            Self {
                container: Some(name),
                ..
            } => Where::Container { name, host_network },
            Self {
                pod: Some(name), ..
            } => Where::Pod { name, host_network },
            _ => Where::Here,
        }
    }
}

/// The device there.
#[derive(Args, Clone, Debug, Default)]
pub struct Device {
    /// The device; by default that of the default route, else the only one that is up
    #[arg(long, value_name = "DEV")]
    pub device: Option<String>,
}

/// How to print.
#[derive(Args, Clone, Copy, Debug)]
pub struct Output {
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    Json,
    Yaml,
}

#[derive(Args, Debug)]
pub struct Apply {
    /// Manifests; "-" is stdin
    #[arg(short, long = "file", value_name = "FILE", required = true, num_args = 1..)]
    pub files: Vec<String>,
    /// Do all of them as Chaos Mesh does, whose netem does not keep the rates that were asked for
    #[arg(long)]
    pub strict_compat: bool,
    /// Print what would be laid, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub device: Device,
    #[command(flatten)]
    pub output: Output,
}

/// What an experiment is, but for its name.
#[derive(Args, Debug)]
pub struct What {
    #[command(flatten)]
    pub fault: Box<Fault>,
    #[command(flatten)]
    pub aim: Aim,
    /// End it by itself after so long, such as 10m
    #[arg(long = "for", value_name = "TIME")]
    pub duration: Option<String>,
}

#[derive(Args, Debug)]
pub struct Add {
    /// Name of the experiment, unique in its place
    pub name: String,
    #[command(flatten)]
    pub what: What,
    /// Print what would be laid, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub device: Device,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct Run {
    /// Name of the experiment, unique in its place
    #[arg(required_unless_present = "files")]
    pub name: Option<String>,
    /// Manifests instead, as for `apply`; "-" is stdin
    #[arg(short, long = "file", value_name = "FILE", num_args = 1..)]
    #[arg(conflicts_with_all = ["name", "Aim", "duration"])]
    pub files: Vec<String>,
    /// Take away first what netchaos has left in the place, whatever it is: for a container that is
    /// started again after it was killed
    #[arg(long)]
    pub heal: bool,
    #[command(flatten)]
    pub what: What,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub device: Device,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct Change {
    /// The experiment: NAME or NAMESPACE/NAME
    pub name: String,
    #[command(flatten)]
    pub fault: Box<Fault>,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct Explain {
    /// An experiment that is there: NAME or NAMESPACE/NAME
    #[arg(conflicts_with = "files", required_unless_present = "files")]
    pub name: Option<String>,
    /// Manifests; "-" is stdin
    #[arg(short, long = "file", value_name = "FILE", num_args = 1..)]
    pub files: Vec<String>,
    /// As for `apply`
    #[arg(long, requires = "files")]
    pub strict_compat: bool,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub device: Device,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct List {
    /// Look into all network namespaces: named ones, those of containers, pods and other processes
    #[arg(long, conflicts_with = "where")]
    pub all: bool,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct Show {
    /// The experiment: NAME or NAMESPACE/NAME
    pub name: String,
    /// Go on and print a line for each packet that it steers, until Ctrl-C
    #[arg(long)]
    pub follow: bool,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub enum Target {
    /// Aim an experiment at more peers
    Add(Targets),
    /// Take peers away from an experiment
    Remove(Targets),
    /// List an experiment's targets and the addresses of their names
    List(OneName),
}

#[derive(Args, Debug)]
pub struct Targets {
    /// The experiment: NAME or NAMESPACE/NAME
    pub name: String,
    /// As with --to; @FILE reads them from a file and "-" from stdin, one per line
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct OneName {
    /// The experiment: NAME or NAMESPACE/NAME
    pub name: String,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct Names {
    /// The experiments: each NAME or NAMESPACE/NAME
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct Remove {
    /// The experiments: each NAME or NAMESPACE/NAME
    #[arg(value_name = "NAME", required_unless_present = "all")]
    pub names: Vec<String>,
    /// All experiments of the place
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// Do not wait for the packets that wait in the queues: they are lost
    #[arg(long)]
    pub now: bool,
    /// With --all: only those on this device
    #[arg(long, value_name = "DEV", requires = "all")]
    pub device: Option<String>,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct Heal {
    /// All network namespaces: named ones, those of containers, pods and other processes
    #[arg(long, conflicts_with = "where")]
    pub all: bool,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct Doctor {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub output: Output,
}

/// Where manifests come from.
pub fn path_of(file: &str) -> Option<PathBuf> {
    (file != "-").then(|| file.into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
