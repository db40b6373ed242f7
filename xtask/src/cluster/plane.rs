//! The control plane: etcd and the API server; with nodes also the controllers and the scheduler.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::network::{PODS, SERVER, SERVICES};
use super::pki::Pki;
use super::run::Run;

/// The cgroup of these processes.
const CGROUP: &str = "plane";
/// Longer than an API server takes on a machine that others use too: three seconds on an idle one.
const BOUND: Duration = Duration::from_secs(120);
const ETCD: &str = "http://127.0.0.1:2379";

/// Starts what every cluster has, and waits for the API server.
///
/// # Errors
/// When it does not get ready.
pub fn start(run: &Run, bin: &Path, pki: &Pki, with_nodes: bool) -> Result<()> {
    let mut etcd = run.command(None, CGROUP, &bin.join("etcd"))?;
    etcd.arg(format!("--data-dir={}", run.dir().join("etcd").display()));
    etcd.args(["--log-level=error", "--unsafe-no-fsync"]);
    etcd.arg(format!("--listen-client-urls={ETCD}"));
    etcd.arg(format!("--advertise-client-urls={ETCD}"));
    etcd.arg("--listen-peer-urls=http://127.0.0.1:2380");
    run.start("etcd", &mut etcd)?;

    let mut server = run.command(None, CGROUP, &bin.join("kube-apiserver"))?;
    server.args(api_server(pki));
    if !with_nodes {
        // It waits for an account that a controller makes.
        server.arg("--disable-admission-plugins=ServiceAccount");
    }
    run.start("apiserver", &mut server)?;
    run.wait(
        "the API server gets ready",
        BOUND,
        &["etcd", "apiserver"],
        || kubectl(run, bin, pki, &["get", "--raw", "/readyz"]),
    )
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
        format!("--service-account-key-file={}", file("sa.key")),
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

/// Starts controllers and scheduler. Before the API server is ready they would end: "forbidden".
///
/// # Errors
/// When they cannot be started.
pub fn start_controllers(run: &Run, bin: &Path, pki: &Pki) -> Result<()> {
    for (name, more) in [
        ("controller-manager", controllers(pki)),
        ("scheduler", vec![]),
    ] {
        let mut command = run.command(None, CGROUP, &bin.join(format!("kube-{name}")))?;
        let kubeconfig = pki.kubeconfig(name);
        for option in [
            "kubeconfig",
            "authentication-kubeconfig",
            "authorization-kubeconfig",
        ] {
            command.arg(format!("--{option}={}", kubeconfig.display()));
        }
        command.args(["--bind-address=127.0.0.1", "--leader-elect=false"]);
        command.args(["--kube-api-qps=500", "--kube-api-burst=1000"]);
        run.start(name, command.args(more))?;
    }
    Ok(())
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

/// Waits for what a pod needs: the account that the controllers make.
///
/// # Errors
/// When it does not come.
pub fn wait_for_controllers(run: &Run, bin: &Path, pki: &Pki) -> Result<()> {
    let logs = ["controller-manager", "scheduler"];
    run.wait("the controllers work", BOUND, &logs, || {
        kubectl(run, bin, pki, &["get", "serviceaccount", "default"])
    })
}

/// Whether `kubectl ARGS`, as an administrator, succeeds.
pub fn kubectl(run: &Run, bin: &Path, pki: &Pki, args: &[&str]) -> bool {
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--net={}", run.netns_path(None).display()))
        .arg("--")
        .arg(bin.join("kubectl"))
        .arg("--kubeconfig")
        .arg(pki.kubeconfig("admin"))
        .args(args);
    command.output().is_ok_and(|output| output.status.success())
}
