//! `netchaos agent`: on each node of a cluster it brings the pods to what `NetworkChaos` objects
//! ask. One of the agents leads: it chooses pods and writes the status.
//!
//! No logic of the trade is here: manifests are read by `experiment`, faults laid by `engine`,
//! with the same calls that the command line makes, so that both see the same.

mod aim;
mod bell;
mod chaos;
mod cluster;
mod decide;
mod door;
mod http;
mod in_hand;
mod leader;
mod metrics;
mod mirror;
mod node;
mod pod;
mod report;
mod select;
mod status;
mod watches;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use kube::Client;
use kube_lease_manager::LeaseManagerBuilder;
use tokio::signal::unix::{SignalKind, signal};

use self::{
    bell::Bell, chaos::Chaos, cluster::Pod, leader::Leader, metrics::Metrics, mirror::Mirror,
    node::Node,
};

/// How the agent works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The node whose pods are in its hands.
    pub node: String,
    /// Where the leader's Lease is.
    pub namespace: String,
    /// The API group of the objects.
    pub group: String,
    /// How long a fault without an end goes on when no agent is there to renew it.
    pub lease: Duration,
    /// Where metrics and health are served.
    pub listen: SocketAddr,
    /// Where the command line is served, and the group that may ask beside root.
    pub socket: PathBuf,
    pub socket_group: Option<u32>,
    pub allow_host_network: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the API server is not known: {0}")]
    Config(String),
    #[error("cannot make a client of the API server: {0}")]
    Client(#[from] kube::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The leader's Lease, and how long it holds.
const LEASE: &str = "netchaos-leader";
const LEASE_SECONDS: u64 = 15;
/// So long before its end it is renewed.
const LEASE_GRACE: u64 = 5;
/// Threads for work in pods and for metrics.
const THREADS: usize = 6;

/// What the parts of the agent share.
struct Shared {
    settings: Settings,
    chaoses: Mirror<Chaos>,
    pods: Mirror<Pod>,
    metrics: Metrics,
}

impl Shared {
    /// What keeps the agent from being ready.
    fn lacks(&self) -> Option<String> {
        let lists = [
            ("NetworkChaos", self.chaoses.is_ready()),
            ("pods", self.pods.is_ready()),
        ];
        let missing: Vec<&str> = lists
            .iter()
            .filter(|(_, is_ready)| !is_ready)
            .map(|(name, _)| *name)
            .collect();
        (!missing.is_empty())
            .then(|| format!("the API server has not sent {} yet\n", missing.join(", ")))
    }
}

/// Works until SIGTERM or SIGINT. The faults stay: they have their ends, or leases, in the kernel.
///
/// # Errors
/// No API server is known, or the port is taken.
pub fn run(settings: Settings) -> Result<(), Error> {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) is called before there is another thread. With an arena for each thread a
    // part of what work in pods took would stay in it.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(THREADS)
        .build()?
        .block_on(work(settings))
}

async fn work(settings: Settings) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let config = kube::Config::infer().await;
    let config = config.map_err(|error| Error::Config(error.to_string()))?;
    say(&format!(
        "node {}, objects of {}, API server {}",
        settings.node, settings.group, config.cluster_url
    ));
    let client = Client::try_from(config)?;
    let listener = http::listen(settings.listen).await?;
    let socket = door::open(&settings.socket, settings.socket_group)?;
    let bell = Bell::default();
    let shared = Arc::new(Shared {
        chaoses: Mirror::new(&bell),
        pods: Mirror::new(&bell),
        metrics: Metrics::new(),
        settings,
    });
    let Shared {
        settings,
        chaoses,
        pods,
        metrics,
    } = &*shared;
    let node = Node::new(client.clone(), settings, chaoses, pods, metrics);
    let leader = Leader::new(client.clone(), settings, chaoses, &bell);
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let working = async {
        tokio::join!(
            watches::chaoses(client.clone(), &settings.group, chaoses),
            watches::pods(client.clone(), Some(&settings.node), pods),
            node.work(&bell),
            http::serve(listener, Arc::clone(&shared)),
            door::serve(socket, Arc::clone(&shared)),
        );
    };
    let leading = lead_when_it_can(client.clone(), &leader, &shared, stopped);
    tokio::pin!(leading);
    tokio::select! {
        () = working => {}
        () = &mut leading => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    say("ends; the faults stay, with their ends and leases in the kernel");
    // Another one leads at once, and not when the Lease runs out.
    let _ = stop.send(());
    let _ = tokio::time::timeout(Duration::from_secs(2), leading).await;
    Ok(())
}

/// Leads whenever this agent holds the Lease, until it is told to stop; gives the Lease back then.
async fn lead_when_it_can(
    client: Client,
    leader: &Leader<'_>,
    shared: &Shared,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let settings = &shared.settings;
    let manager = loop {
        let manager = LeaseManagerBuilder::new(client.clone(), LEASE)
            .with_namespace(&settings.namespace)
            .with_identity(&settings.node)
            .with_duration(LEASE_SECONDS)
            .with_grace(LEASE_GRACE)
            .build()
            .await;
        match manager {
            Ok(manager) => break manager,
            Err(error) => say(&format!(
                "the Lease {LEASE} cannot be had: {error}; trying again"
            )),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
            _ = &mut stopped => return,
        }
    };
    let (mut leads, task) = manager.watch().await;
    loop {
        let is_leader = *leads.borrow_and_update();
        shared.metrics.set_leader(is_leader);
        let changed = async {
            if is_leader {
                say("leads");
                tokio::select! {
                    result = leads.changed() => result,
                    () = leader.lead() => Ok(()),
                }
            } else {
                leads.changed().await
            }
        };
        tokio::select! {
            result = changed => if result.is_err() { break },
            _ = &mut stopped => break,
        }
    }
    drop(leads);
    if let Ok(Err(error)) = task.await {
        say(&format!(
            "the Lease {LEASE} could not be given back: {error}"
        ));
    }
}

/// A line for the log of the pod.
fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
