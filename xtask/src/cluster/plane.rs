//! The control plane: etcd and the API server; with nodes also the controllers and the scheduler.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::cgroups;
use super::network::{PODS, SERVER, SERVICES};
use super::pki::Pki;
use super::process::{Process, wait};
use super::run::Run;

/// The cgroup of these processes.
const CGROUP: &str = "plane";
const ETCD: &str = "http://127.0.0.1:2379";

/// A control plane that runs.
pub struct Plane {
    pub run: Run,
    /// The folder of Kubernetes' programs.
    pub bin: PathBuf,
    pub pki: Pki,
    processes: Vec<Process>,
}

impl Plane {
    /// Starts what every cluster has, and waits for the API server.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start(run: Run, bin: PathBuf, pki: Pki, with_nodes: bool) -> Result<Self> {
        cgroups::make(&run.cgroup(CGROUP))?;
        let mut plane = Self {
            run,
            bin,
            pki,
            processes: Vec::new(),
        };
        plane.begin("etcd", etcd(&plane.run))?;
        let mut server = api_server(&plane.pki);
        if !with_nodes {
            // It waits for an account that a controller makes.
            server.push("--disable-admission-plugins=ServiceAccount".into());
        }
        plane.begin("kube-apiserver", server)?;
        plane.wait_for("the API server", &["get", "--raw", "/readyz"])?;
        Ok(plane)
    }

    fn begin(&mut self, name: &str, args: Vec<String>) -> Result<()> {
        let mut command = self.run.command(None, CGROUP, &self.bin.join(name))?;
        let log = self.run.dir().join(format!("{name}.log"));
        let process = Process::start(command.args(args), log)?;
        self.processes.push(process);
        Ok(())
    }

    /// Starts controllers and scheduler. Before the API server is ready they would end: "forbidden".
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn start_controllers(&mut self) -> Result<()> {
        for (name, more) in [
            ("controller-manager", controllers(&self.pki)),
            ("scheduler", Vec::new()),
        ] {
            let kubeconfig = self.pki.kubeconfig(name);
            let mut args = more;
            for prefix in ["", "authentication-", "authorization-"] {
                args.push(format!("--{prefix}kubeconfig={}", kubeconfig.display()));
            }
            args.push("--bind-address=127.0.0.1".into());
            args.push("--leader-elect=false".into());
            args.push("--kube-api-qps=500".into());
            args.push("--kube-api-burst=1000".into());
            self.begin(&format!("kube-{name}"), args)?;
        }
        Ok(())
    }

    /// Waits for what a pod needs: the account that the controllers make.
    ///
    /// # Errors
    /// When it does not come.
    pub fn wait_for_controllers(&mut self) -> Result<()> {
        self.wait_for("the controllers", &["get", "serviceaccount", "default"])
    }

    fn wait_for(&mut self, what: &str, args: &[&str]) -> Result<()> {
        let mut processes = std::mem::take(&mut self.processes);
        wait(what, &mut processes, || self.kubectl(args))?;
        self.processes = processes;
        Ok(())
    }

    /// Whether `kubectl ARGS`, as an administrator, succeeds.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn kubectl(&self, args: &[&str]) -> Result<bool> {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.run.netns_path(None).display()))
            .arg("--")
            .arg(self.bin.join("kubectl"))
            .arg("--kubeconfig")
            .arg(self.pki.kubeconfig("admin"))
            .args(args);
        Ok(command.output()?.status.success())
    }
}

fn etcd(run: &Run) -> Vec<String> {
    vec![
        format!("--data-dir={}", run.dir().join("etcd").display()),
        "--log-level=error".into(),
        // Nothing of it is to survive.
        "--unsafe-no-fsync".into(),
        format!("--listen-client-urls={ETCD}"),
        format!("--advertise-client-urls={ETCD}"),
        "--listen-peer-urls=http://127.0.0.1:2380".into(),
    ]
}

fn api_server(pki: &Pki) -> Vec<String> {
    let file = |name: &str| pki.file(name).display().to_string();
    vec![
        format!("--etcd-servers={ETCD}"),
        "--bind-address=0.0.0.0".into(),
        format!("--advertise-address={SERVER}"),
        "--secure-port=6443".into(),
        format!("--service-cluster-ip-range={SERVICES}"),
        format!("--tls-cert-file={}", file("apiserver.crt")),
        format!("--tls-private-key-file={}", file("apiserver.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-signing-key-file={}", file("sa.key")),
        format!("--service-account-key-file={}", file("sa.pub")),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--allow-privileged=true".into(),
        format!(
            "--kubelet-client-certificate={}",
            file("apiserver-to-kubelet.crt")
        ),
        format!("--kubelet-client-key={}", file("apiserver-to-kubelet.key")),
        format!("--kubelet-certificate-authority={}", file("ca.crt")),
        "--kubelet-preferred-address-types=InternalIP".into(),
    ]
}

fn controllers(pki: &Pki) -> Vec<String> {
    vec![
        format!("--root-ca-file={}", pki.file("ca.crt").display()),
        format!(
            "--service-account-private-key-file={}",
            pki.file("sa.key").display()
        ),
        "--use-service-account-credentials=true".into(),
        format!("--cluster-cidr={PODS}"),
        // A node that dies is seen within a test's patience.
        "--node-monitor-grace-period=20s".into(),
    ]
}
