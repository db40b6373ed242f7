//! `--container` with Podman: its names by its own service, its cgroups in v2, and real delays.

use std::{fs, os::unix::fs::symlink, path::PathBuf, process::Child, thread, time::Instant};

use netchaos_tests::{
    command::{Done, run, start, words},
    lab::{Lab, ms},
    netchaos::netchaos,
};

/// Where its service listens by default, and netchaos looks.
const SOCKET: &str = "/run/podman/podman.sock";

/// Podman with its service. The VM's root is an overlay already, has no systemd and no crun.
struct Podman {
    service: Child,
    folder: PathBuf,
    names: Vec<String>,
}

fn options() -> Vec<&'static str> {
    words("--storage-driver vfs --cgroup-manager cgroupfs --runtime runc --log-level error")
}

fn podman(args: &[&str]) -> Done {
    run("podman", &[&options(), args].concat())
}

impl Podman {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("nct-podman-{}", std::process::id()));
        fs::create_dir_all("/run/podman").expect("root can write there");
        let serve = words("system service --time 0");
        let endpoint = &*format!("unix://{SOCKET}");
        let service = start("podman", &[&options(), &serve[..], &[endpoint]].concat());
        let begin = Instant::now();
        while fs::metadata(SOCKET).is_err() {
            assert!(
                begin.elapsed() < ms(60_000),
                "Podman's service does not start"
            );
            thread::sleep(ms(50));
        }
        Self {
            service,
            folder,
            names: Vec::new(),
        }
    }

    /// Starts a container that sleeps, and gives back its id.
    #[track_caller]
    fn run(&mut self, name: &str, network: &str) -> String {
        let root = self.folder.join(name);
        for part in ["bin", "etc", "proc", "sys", "dev", "run", "tmp"] {
            fs::create_dir_all(root.join(part)).expect("a folder to write to");
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
        symlink("busybox", root.join("bin/sleep")).expect("a folder to write to");
        self.names.push(name.into());
        let root = root.to_str().expect("made of letters");
        let sleep = ["--rootfs", root, "/bin/sleep", "1000000"];
        let run = ["run", "--detach", "--name", name, "--network", network];
        podman(&[&run[..], &sleep].concat())
            .ok()
            .stdout
            .trim()
            .into()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        for name in &self.names {
            podman(&["rm", "--force", "--time", "0", name]);
        }
        let _ = self.service.kill().and_then(|()| self.service.wait());
        let _ = fs::remove_file(SOCKET);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_container_is_known_by_its_name_and_keeps_its_delay_when_it_is_restarted() {
    Lab::test(&[], |lab| {
        let mut service = Podman::start();
        let network = format!("ns:{}", lab.client.path().display());
        let id = service.run("web", &network);
        let at = |args: &str, place: &str| netchaos(&words(&format!("{args} --container {place}")));
        at("add slow --delay 80ms --to 10.77.0.3", "web").ok();
        lab.assert_delays("by its name", &[("10.77.0.3", 80), ("10.77.0.2", 0)]);
        for place in [&*id, &id[..12]] {
            at("list", place).ok().says(&["slow"]);
        }
        podman(&["pause", "web"]).ok();
        at("list", "web").ok().says(&["slow"]);
        podman(&["unpause", "web"]).ok();

        podman(&["stop", "--time", "0", "web"]).ok();
        at("list", "web")
            .fails_with(1)
            .says(&["does not run", "exited", &id]);
        at("list", "wbe")
            .fails_with(1)
            .says(&["podman.sock does not know it", "did you mean \"web\"?"]);
        podman(&["start", "web"]).ok();
        at("change slow --delay 120ms", "web").ok();
        lab.assert_delays("restarted", &[("10.77.0.3", 120), ("10.77.0.2", 0)]);
        at("remove slow", "web").ok();
        lab.assert_delays("afterwards", &[("10.77.0.3", 0)]);
        lab.assert_nothing_left();
    });
}

#[test]
fn a_container_in_the_hosts_network_is_refused_unless_asked_in_words() {
    Lab::test(&[], |_| {
        let mut service = Podman::start();
        service.run("open", "host");
        let add = words("add slow --delay 50ms --to 10.77.0.3 --device lo --container open");
        netchaos(&add).fails_with(1).says(&[
            "container open",
            "host's network namespace",
            "--host-network",
        ]);
        netchaos(&["list"]).ok().says(&["no experiments"]);
        netchaos(&[&add[..], &["--host-network"]].concat()).ok();
        netchaos(&["list"]).ok().says(&["slow"]);
        netchaos(&["remove", "slow"]).ok();
    });
}

#[test]
fn all_places_are_those_of_processes_without_a_name_too() {
    Lab::test(&[], |lab| {
        let mut service = Podman::start();
        let id = service.run("web", "none");
        let add = "add slow --delay 50ms --all-traffic --device lo --container web";
        netchaos(&words(add)).ok();
        lab.netchaos("add slow --delay 50ms --to 10.77.0.3").ok();
        let place = format!("container {}", &id[..12]);
        let listed = netchaos(&words("list --all -o json")).ok().json();
        let mut places: Vec<_> = listed.as_array().expect("an array").iter().collect();
        places.retain(|experiment| experiment["name"] == "slow");
        let places: Vec<_> = places
            .iter()
            .map(|experiment| &experiment["place"])
            .collect();
        assert_eq!(places, [lab.client.name(), &place], "{listed}");
        let healed = netchaos(&["heal", "--all"]).ok();
        healed.says(&[&format!("{place}: took away")]);
        netchaos(&words("list --all"))
            .ok()
            .says(&["no experiments"]);
        lab.assert_nothing_left();
    });
}
