//! The agent: natively, beside a control plane without nodes; or as `deploy/` has it, on real nodes.

use std::{
    fs::File,
    path::PathBuf,
    process::{Command, Stdio, id},
    thread,
};

use nix::sys::signal::Signal;

use super::{deploy, kubectl, variable, wait_until};
use crate::{command::run, netchaos::program, running::Running};

/// Where the agent and what belongs to it are.
const NAMESPACE: &str = "netchaos";
const ADDRESS: &str = "127.0.0.1:9797";

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
    node: String,
}

impl Agent {
    /// Starts it for the pods of `node`, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get so.
    #[track_caller]
    pub fn start(node: &str) -> Self {
        apply_deployed(&[
            "0-namespace.yaml",
            "1-crd.yaml",
            "2-admission.yaml",
            "3-rbac.yaml",
        ]);
        let folder = std::env::temp_dir().join(format!("netchaos-agent-{}", id()));
        std::fs::create_dir_all(&folder).expect("the folder for temporary files");
        let mut agent = Self {
            running: None,
            folder,
            node: node.to_owned(),
        };
        agent.write_kubeconfig();
        agent.start_again();
        agent
    }

    /// The account's own token instead of the administrator's.
    fn write_kubeconfig(&self) {
        let from = variable("KUBECONFIG");
        let to = self.kubeconfig().display().to_string();
        std::fs::copy(&from, &to).expect("the administrator's can be read");
        let token = kubectl(&["create", "token", NAMESPACE, "--namespace=netchaos"]).ok();
        let token = format!("--token={}", token.stdout.trim());
        let kubeconfig = format!("--kubeconfig={to}");
        let user = ["config", &kubeconfig, "set-credentials", "agent", &token];
        let context = [
            "config",
            &kubeconfig,
            "set-context",
            "--current",
            "--user=agent",
        ];
        kubectl(&user).ok();
        kubectl(&context).ok();
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Starts it after it was ended.
    ///
    /// # Panics
    /// When it does not get ready.
    #[track_caller]
    pub fn start_again(&mut self) {
        let log = File::create(self.log()).expect("a file to write to");
        let child = Command::new("nsenter")
            .arg(format!("--net={}", variable("CLUSTER_NETNS")))
            .args(["--", &program(), "agent", "--listen", ADDRESS, "--socket"])
            .arg(self.folder.join("agent.sock"))
            .env("KUBECONFIG", self.kubeconfig())
            .env("NODE_NAME", &self.node)
            .env("POD_NAMESPACE", NAMESPACE)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("nsenter is there");
        self.running = Some(Running::new(child));
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
            ADDRESS.replace(':', "/")
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
        drop(self.running.take());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
