//! The agent: natively, beside a control plane without nodes; or as `deploy/` has it, on real nodes.

use std::{
    fs::File,
    path::PathBuf,
    process::{Command, Stdio, id},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
    thread,
};

use nix::sys::signal::Signal;

use super::{Proxy, deploy, kubectl, variable, wait_until};
use crate::{command::run, netchaos::program, running::Running};

/// Where the agent and what belongs to it are.
const NAMESPACE: &str = "netchaos";
/// Its first port; a test can have several agents.
const PORT: u16 = 9797;

/// Applies what `deploy/kubernetes` has under these names, in their order.
#[track_caller]
fn apply_deployed(names: &[&str]) {
    let files = names.iter().map(|name| deploy("kubernetes").join(name));
    let files: Vec<String> = files
        .map(|file| format!("--filename={}", file.display()))
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    // An object of a kind that was made a moment ago may not be known yet.
    wait_until("deploy/kubernetes is applied", || {
        let done = kubectl(&[&["apply", "--server-side"], &*files].concat());
        if done.status.success() {
            Ok(())
        } else {
            Err(done.to_string())
        }
    });
    let crd = "crd/networkchaos.chaos-mesh.org";
    kubectl(&["wait", "--for=condition=Established", crd]).ok();
}

/// Installs netchaos on the nodes with the plain manifests as they are, and waits for the agents.
///
/// # Panics
/// When they do not get ready.
#[track_caller]
pub fn install() {
    apply_deployed(&[""]);
    let rollout = ["rollout", "status", "daemonset/netchaos", "--timeout=60s"];
    let done = kubectl(&[&["--namespace=netchaos"], &rollout[..]].concat());
    let logs = [
        "logs",
        "--namespace=netchaos",
        "daemonset/netchaos",
        "--tail=20",
    ];
    assert!(done.status.success(), "{done}\n{}", kubectl(&logs));
}

/// An agent that runs natively in the cluster's network, with the rights that `deploy/` gives it.
pub struct Agent {
    running: Option<Running>,
    folder: PathBuf,
    port: u16,
    node: String,
    more: Vec<String>,
}

impl Agent {
    /// Starts it for the pods of `node`, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get so.
    #[track_caller]
    pub fn start(node: &str) -> Self {
        Self::start_with(node, &[])
    }

    /// As [`Self::start`], with more arguments.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[track_caller]
    pub fn start_with(node: &str, more: &[&str]) -> Self {
        let mut agent = Self::new(node, more);
        agent.start_again();
        agent
    }

    /// One that does not run yet; what it needs of the cluster is there.
    ///
    /// # Panics
    /// When the cluster refuses that.
    #[track_caller]
    pub fn new(node: &str, more: &[&str]) -> Self {
        static DEPLOYED: OnceLock<()> = OnceLock::new();
        static MADE: AtomicU16 = AtomicU16::new(0);
        DEPLOYED.get_or_init(|| {
            apply_deployed(&[
                "0-namespace.yaml",
                "1-crd.yaml",
                "2-admission.yaml",
                "3-rbac.yaml",
            ]);
        });
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("netchaos-agent-{}-{number}", id()));
        std::fs::create_dir_all(&folder).expect("the folder for temporary files");
        let agent = Self {
            running: None,
            folder,
            port: PORT + number,
            node: node.to_owned(),
            more: more.iter().map(|&word| word.to_owned()).collect(),
        };
        agent.write_kubeconfig();
        agent
    }

    /// The account's own token instead of the administrator's.
    fn write_kubeconfig(&self) {
        let from = variable("KUBECONFIG");
        std::fs::copy(&from, self.kubeconfig()).expect("the administrator's can be read");
        let token = kubectl(&["create", "token", NAMESPACE, "--namespace=netchaos"]).ok();
        let token = format!("--token={}", token.stdout.trim());
        self.configure(&["set-credentials", "agent", &token]);
        self.configure(&["set-context", "--current", "--user=agent"]);
    }

    /// Runs `kubectl config ARGS` on its own kubeconfig.
    fn configure(&self, args: &[&str]) {
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig().display());
        kubectl(&[&["config", &kubeconfig], args].concat()).ok();
    }

    /// Sends it to the API server by another way, from its next start on.
    ///
    /// # Panics
    /// When kubectl refuses that.
    #[track_caller]
    pub fn aim_at(&self, proxy: &Proxy) {
        let server = format!("--server=https://{}", proxy.address());
        let name = format!("--tls-server-name={}", Proxy::server().ip());
        self.configure(&["set-cluster", "test", &server, &name]);
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Where the command line finds it.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("agent.sock")
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it, for the first time or after it was ended, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get so.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.launch();
        self.wait_until_ready();
    }

    /// Starts it.
    ///
    /// # Panics
    /// When there is no such program.
    #[track_caller]
    pub fn launch(&mut self) {
        let log = File::options().create(true).append(true).open(self.log());
        let log = log.expect("a file to write to");
        let child = Command::new("nsenter")
            .arg(format!("--net={}", variable("CLUSTER_NETNS")))
            .args(["--", &program(), "agent", "--listen", &self.address()])
            .arg("--socket")
            .arg(self.socket())
            .args(&self.more)
            .env("KUBECONFIG", self.kubeconfig())
            .env("NODE_NAME", &self.node)
            .env("POD_NAMESPACE", NAMESPACE)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("nsenter is there");
        self.running = Some(Running::new(child));
    }

    /// # Panics
    /// When it does not get ready.
    #[track_caller]
    pub fn wait_until_ready(&mut self) {
        wait_until("the agent is ready", || {
            assert!(
                !self.running.as_mut().is_some_and(Running::has_ended),
                "{}",
                self.said()
            );
            let answer = self.get("/readyz");
            if answer.contains("200 OK") {
                Ok(())
            } else {
                Err(format!("{answer}\n{}", self.said()))
            }
        });
    }

    /// What it answers to an HTTP request.
    pub fn get(&self, path: &str) -> String {
        let script = format!(
            "exec 3<>/dev/tcp/{}; printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3",
            self.address().replace(':', "/")
        );
        let netns = format!("--net={}", variable("CLUSTER_NETNS"));
        run("nsenter", &[&netns, "--", "bash", "-c", &script]).stdout
    }

    /// # Panics
    /// When it has been ended.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("it runs").pid()
    }

    /// Its log.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Ends it by a signal.
    ///
    /// # Panics
    /// When it does not end by it.
    #[track_caller]
    pub fn end(&mut self, signal: Signal) {
        self.running.take().expect("it runs").end(signal);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the agent said:\n{}", self.said());
        }
        // It gives the Lease back, for the next one.
        match self.running.take() {
            Some(running) if !thread::panicking() => running.end(Signal::SIGTERM),
            running => drop(running),
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
