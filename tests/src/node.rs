//! A node of its own, with a containerd in it: in its own network, mount and PID namespaces, so that
//! it sees no processes, names and networks but its own, and all of it ends with its first process.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::Duration,
};

use serde_json::json;

use crate::{
    command::{Done, run, start, words},
    cri::Cri,
    netchaos::program,
    netns::Netns,
};

/// The image that is there: a busybox that sleeps.
pub const IMAGE: &str = "docker.io/local/busybox:1";
/// The name that the image's own hosts file has, and for which address.
pub const HOST_OF_IMAGE: (&str, &str) = ("db.of-image", "10.77.0.5");
/// Where the host's named namespaces are seen in the node.
const HOSTS_NETNS: &str = "hosts-netns";

/// A node, gone when dropped.
pub struct Node {
    child: Child,
    /// Its first process.
    init: String,
    folder: PathBuf,
    /// Where containerd is, and what "host network" means there.
    pub network: Netns,
}

impl Node {
    /// Named namespaces that are there by now are seen in it, see [`Self::netns_option`].
    ///
    /// # Panics
    /// When it does not start. It takes Debian's packages containerd, runc,
    /// containernetworking-plugins and busybox-static.
    pub fn start() -> Self {
        let network = Netns::new("node");
        let folder = std::env::temp_dir().join(network.name());
        for part in ["netns", HOSTS_NETNS, "cni", "var-lib-cni"] {
            fs::create_dir_all(folder.join(part)).expect("the folder for temporary files");
        }
        configure(&folder);
        let inside = format!(
            "mount --rbind /run/netns {HOSTS_NETNS} && mount --bind netns /run/netns && \
             mkdir -p /var/lib/cni && mount --bind var-lib-cni /var/lib/cni && \
             exec containerd --config config.toml > log 2>&1 < /dev/null"
        );
        let inside = format!("cd {} && {inside}", folder.display());
        let net = format!("--net={}", network.path().display());
        let unshare = words("unshare --mount --pid --fork --kill-child --mount-proc");
        let own = [
            &[&*net, "--"],
            &unshare[..],
            &["--propagation", "private", "--", "sh", "-c", &inside],
        ];
        let child = start("nsenter", &own.concat());
        let mut node = Self {
            init: String::new(),
            child,
            folder,
            network,
        };
        node.wait();
        let image = image(&node.folder);
        for space in [node.space(), "k8s.io"] {
            node.ctr_in(space, &format!("images import {}", image.display()))
                .ok();
        }
        node
    }

    fn wait(&mut self) {
        let pid = self.child.id();
        let children = format!("/proc/{pid}/task/{pid}/children");
        for _ in 0..600 {
            let text = fs::read_to_string(&children).unwrap_or_default();
            self.init = text.trim().to_owned();
            if !self.init.is_empty() && self.ctr("version").status.success() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        panic!("containerd does not start:\n{log}");
    }

    /// The containerd namespace of [`Self::ctr`], and so the folder that its cgroups lie in.
    fn space(&self) -> &str {
        self.network.name()
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("c.sock")
    }

    fn inside(&self, command: &[&str]) -> Done {
        let enter = ["-t", &self.init, "-m", "-p", "-n", "--"];
        run("nsenter", &[&enter, command].concat())
    }

    fn ctr_in(&self, space: &str, args: &str) -> Done {
        let socket = self.socket();
        let socket = socket.to_str().expect("made of letters");
        let ctr = ["ctr", "--address", socket, "--namespace", space];
        self.inside(&[&ctr, &*words(args)].concat())
    }

    /// `ctr ARGS`, with containerd's own client.
    ///
    /// # Panics
    /// When it cannot be started or does not end.
    #[track_caller]
    pub fn ctr(&self, args: &str) -> Done {
        self.ctr_in(self.space(), args)
    }

    /// `ctr run` of [`IMAGE`].
    ///
    /// # Panics
    /// When the container does not start.
    #[track_caller]
    pub fn run_container(&self, name: &str, options: &str) {
        self.ctr(&format!(
            "run --detach --snapshotter native {options} {IMAGE} {name}"
        ))
        .ok();
    }

    /// Kills a container of [`Self::run_container`], and forgets it.
    ///
    /// # Panics
    /// When it does not go.
    #[track_caller]
    pub fn remove_container(&self, name: &str) {
        self.ctr(&format!("task delete --force {name}")).ok();
        self.ctr(&format!("container delete {name}")).ok();
    }

    /// The option of `ctr run` that puts a container into a namespace of the test's.
    pub fn netns_option(&self, netns: &Netns) -> String {
        let path = self.folder.join(HOSTS_NETNS).join(netns.name());
        format!("--with-ns network:{}", path.display())
    }

    /// `netchaos ARGS` on this node, with all its processes and names.
    ///
    /// # Panics
    /// When it cannot be started or does not end.
    #[track_caller]
    pub fn netchaos(&self, args: &str) -> Done {
        self.netchaos_by("", args)
    }

    /// As [`Self::netchaos`], started by another program that changes what it may do.
    ///
    /// # Panics
    /// As [`Self::netchaos`].
    #[track_caller]
    pub fn netchaos_by(&self, starter: &str, args: &str) -> Done {
        let endpoint = format!(
            "CONTAINER_RUNTIME_ENDPOINT=unix://{}",
            self.socket().display()
        );
        let program = program();
        let (starter, args) = (words(starter), words(args));
        self.inside(&[&["env", &endpoint], &*starter, &[&program], &*args].concat())
    }

    /// # Panics
    /// When the CRI is not served.
    pub fn cri(&self) -> Cri {
        Cri::connect(&self.socket())
    }

    /// What a kubelet with cgroupfs would make the parent of a pod's cgroups.
    pub fn pods_cgroup(&self, uid: &str) -> String {
        format!("/{}/kubepods/besteffort/pod{uid}", self.space())
    }

    /// A file on the node, for mounts into containers.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, text).expect("the folder for temporary files");
        path.display().to_string()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The kernel kills all of its PID namespace with the first process; unshare does that.
        let killed = self.child.kill().and_then(|()| self.child.wait());
        if !thread::panicking() {
            killed.expect("a child can be killed");
        }
        // Of cgroup v1, each hierarchy; of v2, the only one.
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(root).into_iter().flatten().flatten();
        for hierarchy in hierarchies.map(|entry| entry.path()).chain([root.into()]) {
            remove_cgroups(&hierarchy.join(self.space()));
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes empty cgroups, the inner ones first. The last process leaves a moment after its death.
fn remove_cgroups(path: &Path) {
    let inner = fs::read_dir(path).into_iter().flatten().flatten();
    for entry in inner.filter(|entry| entry.path().is_dir()) {
        remove_cgroups(&entry.path());
    }
    for _ in 0..100 {
        match fs::remove_dir(path) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                thread::sleep(Duration::from_millis(20));
            }
            _ => return,
        }
    }
}

fn configure(folder: &Path) {
    let at = |name: &str| folder.join(name).display().to_string();
    // Without the right to lower OOM scores runc dies; some machines have it not.
    let config = format!(
        r#"version = 2
root = "{}"
state = "{}"
[grpc]
  address = "{}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  restrict_oom_score_adj = true
  disable_tcp_service = true
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{}"
"#,
        at("root"),
        at("state"),
        at("c.sock"),
        at("cni"),
    );
    // The node is the pods' peer: it has 10.88.0.1 on cni0.
    let network = json!({
        "cniVersion": "0.4.0",
        "name": "nct",
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "ipam": {
                "type": "host-local",
                "dataDir": at("ipam"),
                "ranges": [[{"subnet": "10.88.0.0/24", "rangeStart": "10.88.0.100"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    });
    fs::write(folder.join("config.toml"), config).expect("a folder to write to");
    fs::write(folder.join("cni/10-nct.conflist"), network.to_string()).expect("the same");
}

/// [`IMAGE`] as `docker save` writes images.
fn image(folder: &Path) -> PathBuf {
    let (root, tree) = (folder.join("image-root"), folder.join("image"));
    for part in ["bin", "etc"] {
        fs::create_dir_all(root.join(part)).expect("a folder to write to");
    }
    fs::create_dir(&tree).expect("the same");
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
    symlink("busybox", root.join("bin/sleep")).expect("the same");
    let (name, address) = HOST_OF_IMAGE;
    fs::write(root.join("etc/hosts"), format!("{address} {name}\n")).expect("the same");
    let tar = |from: &Path, file: &Path| {
        let [from, file] = [from, file].map(|path| path.to_str().expect("made of letters"));
        let owner = words("--owner=0 --group=0 --numeric-owner");
        run(
            "tar",
            &[&owner[..], &["-C", from, "-cf", file, "."]].concat(),
        )
        .ok();
    };
    let layer = tree.join("layer.tar");
    tar(&root, &layer);
    let sum = run("sha256sum", &[layer.to_str().expect("made of letters")]).ok();
    let sum = words(&sum.stdout)[0].to_owned();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sleep", "2147483647"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{sum}")]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]);
    fs::write(tree.join("config.json"), config.to_string()).expect("the same");
    fs::write(tree.join("manifest.json"), manifest.to_string()).expect("the same");
    let file = folder.join("image.tar");
    tar(&tree, &file);
    file
}
