//! Names of containers and pods, asked of the runtimes by their own API. What a name leads to, an
//! id or a uid, is then looked for in the kernel; nothing else is taken from a runtime.

mod cri;
mod docker;

use std::{
    env, fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::cri::Sandbox;

/// How long one runtime may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A container as a runtime lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    /// Docker knows a container by several names when others are linked to it.
    pub names: Vec<String>,
    /// In the runtime's own word: `running`, `exited`.
    pub state: String,
    pub runs: bool,
}

/// Why a runtime gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("is not there")]
    NotThere,
    #[error("cannot be reached: {0}")]
    Connect(io::Error),
    #[error("does not answer within {PATIENCE:?}")]
    TimedOut,
    #[error("answers {0}")]
    Answer(String),
    #[error("is of another kind than unix://, and so perhaps of another machine")]
    NoUnixSocket,
}

impl Error {
    fn is_about_rights(&self) -> bool {
        matches!(self, Self::Connect(source) if source.kind() == io::ErrorKind::PermissionDenied)
    }

    /// A connection that could not be made, or what went wrong on one.
    fn of_connect(source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotThere,
            _ => Self::Connect(source),
        }
    }
}

/// Where a runtime was asked, and what came of it; for messages.
#[derive(Debug)]
pub struct Tried {
    at: String,
    /// None where it answered, and did not know the name.
    failure: Option<Error>,
}

/// All that were asked.
#[derive(Debug, Default)]
pub struct AllTried(Vec<Tried>);

impl AllTried {
    /// Whether one of them may only be asked by others.
    pub fn is_about_rights(&self) -> bool {
        let failures = self.0.iter().filter_map(|tried| tried.failure.as_ref());
        failures.into_iter().any(Error::is_about_rights)
    }
}

impl fmt::Display for AllTried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_absent = |tried: &&Tried| matches!(tried.failure, Some(Error::NotThere));
        let (absent, answered): (Vec<_>, Vec<_>) = self.0.iter().partition(is_absent);
        let mut parts: Vec<String> = answered
            .iter()
            .map(|Tried { at, failure }| match failure {
                None => format!("{at} does not know it"),
                Some(error) => format!("{at} {error}"),
            })
            .collect();
        if !absent.is_empty() {
            let absent: Vec<_> = absent.iter().map(|tried| tried.at.as_str()).collect();
            parts.push(format!("not there is {}", absent.join(", ")));
        }
        f.write_str(&parts.join("; "))
    }
}

/// Where a runtime listens by default, and which variable says otherwise.
struct Sockets {
    variable: &'static str,
    paths: &'static [&'static str],
}

const DOCKER: Sockets = Sockets {
    variable: "DOCKER_HOST",
    paths: &["/run/docker.sock", "/var/run/docker.sock"],
};
const PODMAN: Sockets = Sockets {
    variable: "CONTAINER_HOST",
    paths: &["/run/podman/podman.sock"],
};
const CRI: Sockets = Sockets {
    variable: "CONTAINER_RUNTIME_ENDPOINT",
    paths: &[
        "/run/containerd/containerd.sock",
        "/run/crio/crio.sock",
        "/run/k3s/containerd/containerd.sock",
        "/run/k0s/containerd.sock",
        "/run/cri-dockerd.sock",
    ],
};

impl Sockets {
    /// The sockets to ask, each once, and what the variable says that cannot be one.
    fn to_ask(&self, variable: Option<&str>) -> Vec<Result<PathBuf, Tried>> {
        let Some(value) = variable.filter(|value| !value.is_empty()) else {
            let mut paths: Vec<PathBuf> = Vec::new();
            for path in self.paths.iter().map(Path::new) {
                // /var/run leads to /run on most hosts.
                let folder = path
                    .parent()
                    .and_then(|folder| fs::canonicalize(folder).ok());
                let real = folder
                    .zip(path.file_name())
                    .map(|(folder, name)| folder.join(name));
                let path = real.unwrap_or_else(|| path.into());
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
            return paths.into_iter().map(Ok).collect();
        };
        // Kubernetes' tools take a bare path too.
        let path = value.strip_prefix("unix://").unwrap_or(value);
        vec![if path.starts_with('/') {
            Ok(path.into())
        } else {
            Err(Tried {
                at: format!("{}={value}", self.variable),
                failure: Some(Error::NoUnixSocket),
            })
        }]
    }
}

/// The id of the running container with this name.
///
/// # Errors
/// There is none, or several, or it does not run.
pub(super) fn container(name: &str) -> Result<String, super::Error> {
    let (all, tried) = containers().map_err(super::Error::Thread)?;
    pick_container(name, all, tried)
}

fn pick_container(
    name: &str,
    all: Vec<Container>,
    tried: AllTried,
) -> Result<String, super::Error> {
    let is_it = |container: &Container| {
        container.id == name || container.names.iter().any(|other| other == name)
    };
    let (mut running, stopped): (Vec<_>, Vec<_>) = all
        .iter()
        .filter(|container| is_it(container))
        .partition(|container| container.runs);
    // containerd may be asked by two ways.
    running.sort_by(|one, other| one.id.cmp(&other.id));
    running.dedup_by(|one, other| one.id == other.id);
    match (&running[..], stopped.first()) {
        ([only], _) => Ok(only.id.clone()),
        ([], Some(stopped)) => Err(super::Error::NotRunning {
            name: name.into(),
            id: stopped.id.clone(),
            state: stopped.state.clone(),
        }),
        ([], None) => Err(super::Error::NoSuchContainer {
            name: name.into(),
            nearest: nearest(name, all.into_iter().flat_map(|container| container.names)),
            tried,
        }),
        (several, _) => Err(super::Error::Ambiguous {
            name: name.into(),
            ids: several
                .iter()
                .map(|container| container.id.clone())
                .collect(),
        }),
    }
}

/// The newest sandbox that is ready of the pod with this name.
///
/// # Errors
/// There is none, or it has ended.
pub(super) fn sandbox(namespace: &str, name: &str) -> Result<Sandbox, super::Error> {
    let (all, tried) = sandboxes().map_err(super::Error::Thread)?;
    pick_sandbox(namespace, name, all, tried)
}

fn pick_sandbox(
    namespace: &str,
    name: &str,
    all: Vec<Sandbox>,
    tried: AllTried,
) -> Result<Sandbox, super::Error> {
    let is_it = |sandbox: &&Sandbox| sandbox.namespace == namespace && sandbox.name == name;
    let newest = all
        .iter()
        .filter(is_it)
        .max_by_key(|sandbox| (sandbox.is_ready, sandbox.created));
    match newest {
        Some(sandbox) if sandbox.is_ready => Ok(sandbox.clone()),
        Some(sandbox) => Err(super::Error::NotReady {
            sandbox: sandbox.clone(),
        }),
        None => {
            let full_name = format!("{namespace}/{name}");
            Err(super::Error::NoSuchPod {
                nearest: nearest(&full_name, all.iter().map(Sandbox::full_name)),
                namespace: namespace.into(),
                name: name.into(),
                tried,
            })
        }
    }
}

/// The name that was probably meant: with at most two slips of the pen.
fn nearest(name: &str, names: impl Iterator<Item = String>) -> Option<String> {
    const MOST_SLIPS: usize = 2;
    // As long as a name of Kubernetes is at the most; the comparison takes the square of it.
    const LONGEST: usize = 253;
    let names = names.filter(|other| name.len().max(other.len()) <= LONGEST);
    let by_slips = names.map(|other| (strsim::damerau_levenshtein(name, &other), other));
    let (slips, nearest) = by_slips.min()?;
    // Short names are close to everything.
    (slips <= MOST_SLIPS && slips * 2 < nearest.len()).then_some(nearest)
}

/// The containers that all runtimes of this node know, and where they were asked for.
///
/// # Errors
/// No thread can be started for it.
fn containers() -> io::Result<(Vec<Container>, AllTried)> {
    on_a_thread(async || {
        let mut found = (Vec::new(), AllTried::default());
        for sockets in [DOCKER, PODMAN] {
            ask(sockets, &mut found, docker::containers).await;
        }
        ask(CRI, &mut found, cri::containers).await;
        found
    })
}

/// The sandboxes of pods that all CRI runtimes of this node know.
///
/// # Errors
/// As [`containers`].
fn sandboxes() -> io::Result<(Vec<Sandbox>, AllTried)> {
    on_a_thread(async || {
        let mut found = (Vec::new(), AllTried::default());
        ask(CRI, &mut found, cri::sandboxes).await;
        found
    })
}

async fn ask<T>(
    sockets: Sockets,
    (found, tried): &mut (Vec<T>, AllTried),
    list: impl AsyncFn(&Path) -> Result<Vec<T>, Error>,
) {
    for socket in sockets.to_ask(env::var(sockets.variable).ok().as_deref()) {
        match socket {
            Err(wrong) => tried.0.push(wrong),
            Ok(path) => {
                let listed = match tokio::time::timeout(PATIENCE, list(&path)).await {
                    Ok(listed) => listed,
                    Err(_) => Err(Error::TimedOut),
                };
                let failure = listed.map(|all| found.extend(all)).err();
                let at = path.display().to_string();
                tried.0.push(Tried { at, failure });
            }
        }
    }
}

/// Drives `work` on a thread of its own: whoever calls may be driving something else.
fn on_a_thread<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let drive = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            Ok(runtime.block_on(work()))
        };
        let thread = std::thread::Builder::new().name("runtimes".into());
        let thread = thread.spawn_scoped(scope, drive)?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests;
