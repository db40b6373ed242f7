//! Somebody inside the namespace who is against us: he holds the lock, takes our names, writes our
//! files. `heal` wins all the same, nothing of anybody else's goes, no file of the host is read.

use std::{
    env, fs,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use netchaos::kernel::{
    bpf::{self, tcx},
    netlink::Hook,
};
use netchaos_tests::{
    command::run,
    foreign::{self, Tcx, Verdict},
    lab::{DEVICE, Lab},
    netchaos::netchaos,
    running::Running,
};
use nix::{
    fcntl::{Flock, FlockArg},
    net::if_::if_nametoindex,
};

const ADD: &str = "add cut --partition --direction both --to 10.77.0.3";
/// Longer than `heal` takes on a busy machine, the wait for the lock included.
const BOUND: Duration = Duration::from_secs(20);

#[track_caller]
fn heal(lab: &Lab) {
    let healed = lab.netchaos("heal").ok();
    assert!(healed.took < BOUND, "{healed}");
}

fn index(lab: &Lab) -> u32 {
    lab.client
        .run(|| if_nametoindex(DEVICE).expect("the device is there"))
}

#[test]
fn a_lock_that_a_stranger_holds_bounds_the_wait_names_him_and_does_not_stop_heal() {
    Lab::test_with(&[], |lab| {
        lab.netchaos(ADD).ok();
        let file = File::open(lab.client.path()).expect("the namespace is there");
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno);
        let lock = lock.expect("nobody else holds it");
        let own = std::process::id().to_string();
        thread::scope(|scope| {
            let add = scope.spawn(|| lab.netchaos("add more --partition --to 10.77.0.4"));
            let list = lab.netchaos("list").ok().says(&["cut", "active"]);
            assert!(list.took < BOUND, "{list}");
            let done = add.join().expect("it runs").fails_with(1).says(&[&own]);
            assert!((30..45).contains(&done.took.as_secs()), "{done}");
        });
        lab.assert_cut("as before", &[("10.77.0.3", true), ("10.77.0.4", false)]);
        heal(lab);
        lab.assert_nothing_left();
        drop(lock);
        lab.netchaos(ADD).ok();
    });
}

/// A device with a name of ours, and what becomes of it.
struct Planted {
    what: &'static str,
    /// With NAME for a name of ours, ADDRESS for the address that goes with it.
    lines: &'static [&'static str],
    role: char,
    /// Whether it cannot be told from one of ours.
    is_as_ours: bool,
}

const PLANTED: &[Planted] = &[
    Planted {
        what: "a veth with the name of the upper device",
        lines: &["link add NAME type veth peer name his"],
        role: 'a',
        is_as_ours: false,
    },
    Planted {
        what: "a veth with the name and the address of the upper device",
        lines: &["link add NAME address ADDRESS type veth peer name his"],
        role: 'a',
        is_as_ours: false,
    },
    Planted {
        what: "a macvlan with the name of the upper device",
        lines: &[
            "link add his type veth peer name his2",
            "link add NAME link his type macvlan mode private",
        ],
        role: 'a',
        is_as_ours: false,
    },
    Planted {
        what: "a veth with the name of the lower device",
        lines: &["link add NAME type veth peer name his"],
        role: 'b',
        is_as_ours: false,
    },
    Planted {
        what: "another name of the user's device",
        lines: &["link property add dev eth0 altname NAME"],
        role: 'b',
        is_as_ours: false,
    },
    Planted {
        what: "a veth with name, address and kind of the lower device",
        lines: &["link add NAME address ADDRESS type veth peer name his"],
        role: 'b',
        is_as_ours: true,
    },
    Planted {
        what: "a macvlan with name, address and kind of the upper device",
        lines: &[
            "link add his type veth peer name his2",
            "link add NAME link his address ADDRESS type macvlan mode private",
        ],
        role: 'a',
        is_as_ours: true,
    },
];

impl Planted {
    fn plant(&self, lab: &Lab) -> String {
        let index = index(lab);
        let name = format!("nc{}{index}-0", self.role);
        let address = format!(
            "4e:43:{:x}:00:{:02x}:{:02x}",
            self.role as u8,
            index >> 8 & 255,
            index & 255
        );
        let lines: Vec<String> = self
            .lines
            .iter()
            .map(|line| line.replace("NAME", &name).replace("ADDRESS", &address))
            .collect();
        lab.client.ip_batch("", &lines);
        name
    }

    fn uproot(&self, lab: &Lab, name: &str) {
        // Those that were taken for ours have gone.
        for line in [
            format!("link property del dev {DEVICE} altname {name}"),
            format!("link del {name}"),
            "link del his".to_owned(),
        ] {
            run(
                "ip",
                &[
                    &["-n", lab.client.name()],
                    &*line.split(' ').collect::<Vec<_>>(),
                ]
                .concat(),
            );
        }
    }
}

#[test]
fn a_device_with_a_name_of_ours_is_refused_by_name_and_stays() {
    Lab::test_with(&[], |lab| {
        for planted in PLANTED {
            println!("{}", planted.what);
            let name = planted.plant(lab);
            if planted.is_as_ours {
                // Either it goes on, or it says what is in the way.
                let added = lab.netchaos(ADD);
                if added.status.success() {
                    lab.assert_cut(planted.what, &[("10.77.0.3", true), ("10.77.0.2", false)]);
                } else {
                    added.fails_with(1).says(&[&name, "heal"]);
                }
                heal(lab);
                lab.netchaos(ADD).ok();
                heal(lab);
            } else {
                let devices = lab.client.devices();
                lab.netchaos(ADD).fails_with(1).says(&[&name, "rename"]);
                assert_eq!(lab.client.devices(), devices, "{}", planted.what);
                heal(lab);
                assert_eq!(lab.client.devices(), devices, "{}", planted.what);
                lab.assert_cut(planted.what, &[("10.77.0.3", false)]);
            }
            planted.uproot(lab, &name);
            lab.assert_nothing_left();
        }
    });
}

#[test]
fn a_device_that_takes_the_place_of_ours_is_named_and_stays() {
    Lab::test_with(&[], |lab| {
        for planted in PLANTED.iter().filter(|planted| !planted.is_as_ours) {
            println!("{}", planted.what);
            lab.netchaos(ADD).ok();
            lab.client.ip(&format!("link del {}", lab.lower_device()));
            let name = planted.plant(lab);
            lab.netchaos("list").ok().says(&["cut", "lost"]);
            // What was there cannot be had back either.
            lab.netchaos("repair").fails_with(4).says(&[&name]);
            heal(lab);
            lab.assert_cut(planted.what, &[("10.77.0.3", false)]);
            planted.uproot(lab, &name);
            lab.assert_nothing_left();
        }
    });
}

/// Programs at a hook of the client's device.
fn programs(lab: &Lab, hook: Hook) -> usize {
    let programs = lab
        .client
        .run(|| tcx::programs(index_here(), hook).expect("root can ask"));
    programs.map_or(0, |programs| programs.len())
}

fn index_here() -> u32 {
    if_nametoindex(DEVICE).expect("the device is there")
}

#[test]
fn programs_with_names_of_ours_do_not_keep_heal_from_ending() {
    Lab::test_with(&[], |lab| {
        let his: Vec<_> = ["netchaos_egress", "netchaos_in", "netchaos_egres", "his"]
            .map(|name| foreign::load_named(Verdict::GoesOn, name))
            .into();
        let plant = || {
            for program in &his {
                for hook in [Tcx::Ingress, Tcx::Egress] {
                    if !foreign::attach(program, hook) {
                        return false;
                    }
                }
            }
            true
        };
        if !lab.client.run(plant) {
            return;
        }
        lab.netchaos(ADD).ok();
        lab.assert_cut("beside his", &[("10.77.0.3", true), ("10.77.0.2", false)]);
        heal(lab);
        lab.assert_cut("healed", &[("10.77.0.3", false)]);
        // What has no name of ours at that hook is there: two at egress, and netchaos_egress at
        // ingress, where ours is named otherwise.
        assert_eq!(
            [programs(lab, Hook::Ingress), programs(lab, Hook::Egress)],
            [3, 3]
        );

        // Again and again, while it is at work.
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                lab.client.run(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let program = foreign::load_named(Verdict::GoesOn, "netchaos_egress");
                        foreign::try_attach(&program, Tcx::Egress);
                        thread::sleep(Duration::from_millis(1));
                    }
                });
            });
            for _ in 0..3 {
                heal(lab);
            }
            is_over.store(true, Ordering::Relaxed);
        });
        heal(lab);
        assert_eq!(
            [programs(lab, Hook::Ingress), programs(lab, Hook::Egress)],
            [3, 3]
        );
        lab.client.run(|| {
            for hook in Hook::BOTH {
                for id in tcx::programs(index_here(), hook)
                    .expect("root can ask")
                    .into_iter()
                    .flatten()
                {
                    tcx::detach(id, index_here(), hook).expect("root can detach it");
                }
            }
        });
    });
}

#[test]
fn a_filter_at_the_place_of_ours_goes_and_his_clsact_stays() {
    Lab::test_with(&[], |lab| {
        lab.client.tc(&format!("qdisc add dev {DEVICE} clsact"));
        lab.client.tc(&format!(
            "filter add dev {DEVICE} egress pref 7 protocol ip u32 match u32 0 0 flowid 1:1"
        ));
        lab.is_the_users();
        let capacity = bpf::Capacity {
            hosts: 16,
            prefixes: 16,
            chunks: 16,
            ports: false,
        };
        lab.client.run(|| {
            let mut loaded = bpf::Classifier::load(&capacity).expect("root can load it");
            let program = loaded.programs.egress().expect("it was loaded");
            bpf::attach(program, DEVICE, Hook::Egress, bpf::HANDLE).expect("root can attach it");
        });
        // Its maps are none of ours.
        lab.netchaos(ADD).fails_with(1).says(&["heal"]);
        heal(lab);
        lab.assert_nothing_left();
        lab.netchaos(ADD).ok();
        lab.assert_cut("healed", &[("10.77.0.3", true), ("10.77.0.2", false)]);
    });
}

/// A process in the lab's namespace that sees a root of its own, with what a shell has done to its
/// `/etc` and `/tmp`; gone when dropped.
struct Prisoner {
    running: Running,
    folder: PathBuf,
}

impl Prisoner {
    fn new(lab: &Lab, in_root: bool, script: &str) -> Self {
        let folder = env::temp_dir().join(format!("netchaos-prison-{}", lab.client.name()));
        fs::create_dir_all(&folder).expect("a folder for its root");
        let shown = folder.display();
        let root = if in_root {
            "/".to_owned()
        } else {
            format!("{shown}/")
        };
        let make = if in_root {
            String::new()
        } else {
            format!("mount --rbind / {shown};")
        };
        let leave = if in_root {
            String::new()
        } else {
            format!("chroot {shown}")
        };
        let script = format!(
            "{make} mount -t tmpfs none {root}etc; mount -t tmpfs none {root}tmp; cd {root}etc; {script}; \
             touch {root}etc/ready; exec {leave} sleep 1000"
        );
        let child: Child = Command::new("ip")
            .args([
                "netns",
                "exec",
                lab.client.name(),
                "unshare",
                "-m",
                "sh",
                "-e",
                "-c",
                &script,
            ])
            .stdin(Stdio::null())
            .spawn()
            .expect("a prisoner");
        let prisoner = Self {
            running: Running::new(child),
            folder,
        };
        let ready = format!("/proc/{}/root/etc/ready", prisoner.running.pid());
        let begin = Instant::now();
        // It has become `sleep` in its root by then.
        let is_asleep = || {
            let name = fs::read_to_string(format!("/proc/{}/comm", prisoner.running.pid()));
            name.is_ok_and(|name| name.trim() == "sleep") && Path::new(&ready).exists()
        };
        while !is_asleep() {
            assert!(
                begin.elapsed() < BOUND,
                "the prisoner does not get ready: {script}"
            );
            thread::sleep(Duration::from_millis(5));
        }
        prisoner
    }
}

impl Drop for Prisoner {
    fn drop(&mut self) {
        // Its mounts are its own: here the folder is empty.
        let _ = fs::remove_dir(&self.folder);
    }
}

#[test]
fn names_are_read_within_the_root_of_the_place_and_nowhere_else() {
    Lab::test_with(&[], |lab| {
        let canary = env::temp_dir().join(format!("netchaos-canary-{}", lab.client.name()));
        fs::write(&canary, "10.77.0.3 canary.test\n").expect("a file of the host");
        let path = canary.display();
        let escapes = [
            format!("ln -s {path} hosts"),
            format!("ln -s ../../../../../../..{path} hosts"),
            format!("ln -s /proc/self/root{path} hosts"),
            format!("ln -s /proc/1/root{path} hosts"),
            format!(
                "ln -s /proc/1/root{} dir; ln -s dir/{} hosts",
                env::temp_dir().display(),
                canary.file_name().expect("a name").to_string_lossy()
            ),
            "mkfifo hosts".into(),
            "mknod hosts c 1 5".into(),
            "truncate -s 1T hosts".into(),
            "mkdir hosts".into(),
            "ln -s hosts hosts".into(),
            "echo 10.77.0.4 other.test > hosts; ln -s /proc/1/root/etc/shadow resolv.conf".into(),
            "echo 10.77.0.4 other.test > hosts; mkfifo resolv.conf".into(),
        ];
        for in_root in [false, true] {
            for escape in &escapes {
                let prisoner = Prisoner::new(lab, in_root, escape);
                let pid = prisoner.running.pid().to_string();
                let done = netchaos(&[
                    "add",
                    "x",
                    "--partition",
                    "--to",
                    "canary.test",
                    "--pid",
                    &pid,
                ]);
                let done = done.fails_with(1);
                assert!(done.took < BOUND, "{escape}: {done}");
                assert!(
                    !done.stderr.contains("10.77.0.3") && !done.stderr.contains("root:"),
                    "{escape}: {done}"
                );
                netchaos(&["heal", "--pid", &pid]).ok();
            }
            // Within its root a link is followed.
            let prisoner = Prisoner::new(
                lab,
                in_root,
                "echo 10.77.0.5 inside.test > /tmp/inside; echo 10.77.0.5 inside.test > real; ln -s /etc/real hosts",
            );
            let pid = prisoner.running.pid().to_string();
            netchaos(&[
                "add",
                "x",
                "--partition",
                "--to",
                "inside.test",
                "--pid",
                &pid,
            ])
            .ok();
            lab.assert_cut(
                "by its own hosts file",
                &[("10.77.0.5", true), ("10.77.0.3", false)],
            );
            netchaos(&["remove", "x", "--pid", &pid]).ok();
            lab.assert_nothing_left();
        }
        fs::remove_file(&canary).expect("it is there");
        // What names mean in a named namespace is root's own: there it may lead anywhere.
        lab.write_etc("hosts", "10.77.0.6 named.test\n");
        lab.netchaos("add x --partition --to named.test").ok();
        lab.assert_cut("by /etc/netns", &[("10.77.0.6", true)]);
    });
}
