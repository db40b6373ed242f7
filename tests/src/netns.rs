//! Network namespaces of the tests' own.

use std::{
    fs::File,
    path::PathBuf,
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use nix::sched::{CloneFlags, setns};

use crate::command::{run, run_with_input, words};

/// A named network namespace, gone when dropped.
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes one whose name begins with `nct-`, tells what it is for, and is nobody else's.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(role: &str) -> Self {
        let name = new_name(role);
        run("ip", &["netns", "add", &name]).ok();
        let netns = Self { name };
        // Addresses can be used at once, and nothing but the tests' packets is on the wire.
        netns.set_sysctls(&[
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_ra", "0"),
            ("net/ipv6/conf/default/router_solicitations", "0"),
        ]);
        netns
    }

    /// Gives a name of the same kind to the namespace of a process, until it is dropped.
    ///
    /// # Panics
    /// When there is no such process.
    pub fn of_process(role: &str, pid: u32) -> Self {
        let name = new_name(role);
        run("ip", &["netns", "attach", &name, &pid.to_string()]).ok();
        Self { name }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Runs `work` on a new thread inside.
    ///
    /// # Panics
    /// When the namespace cannot be entered, and with `work`'s own panic.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter = self.entrance();
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    enter();
                    work()
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts `work` on a new thread inside.
    ///
    /// # Panics
    /// When the namespace cannot be opened.
    pub fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let enter = self.entrance();
        thread::spawn(move || {
            enter();
            work()
        })
    }

    fn entrance(&self) -> impl FnOnce() + Send + use<> {
        let path = self.path();
        let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        move || setns(file, CloneFlags::CLONE_NEWNET).expect("root can enter a namespace")
    }

    /// Writes below `/proc/sys`, as this namespace has it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn set_sysctls(&self, settings: &[(&str, &str)]) {
        self.run(|| {
            for (name, value) in settings {
                let path = format!("/proc/sys/{name}");
                std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
            }
        });
    }

    /// What `ip -n NAME ARGS` prints.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn ip(&self, args: &str) -> String {
        run("ip", &[&["-n", &self.name], &*words(args)].concat())
            .ok()
            .stdout
    }

    /// What `tc -n NAME ARGS` prints.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn tc(&self, args: &str) -> String {
        run("tc", &[&["-n", &self.name], &*words(args)].concat())
            .ok()
            .stdout
    }

    /// What `ip -n NAME OPTIONS -batch` prints for these lines: one program for all of them, since
    /// starting one is what takes the time on an emulated processor.
    ///
    /// # Panics
    /// When one of them fails.
    #[track_caller]
    pub fn ip_batch(&self, options: &str, lines: &[String]) -> String {
        self.batch("ip", options, lines)
    }

    /// As [`Self::ip_batch`] for tc(8).
    ///
    /// # Panics
    /// When one of them fails.
    #[track_caller]
    pub fn tc_batch(&self, lines: &[String]) -> String {
        self.batch("tc", "", lines)
    }

    #[track_caller]
    fn batch(&self, program: &str, options: &str, lines: &[String]) -> String {
        let args = [&["-n", &self.name], &*words(options), &["-batch", "-"]].concat();
        run_with_input(program, &args, &lines.join("\n"))
            .ok()
            .stdout
    }

    /// The JSON that `tc -n NAME -s -j ARGS` prints: with statistics.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn tc_json(&self, args: &str) -> serde_json::Value {
        run(
            "tc",
            &[&["-n", &self.name, "-s", "-j"], &*words(args)].concat(),
        )
        .ok()
        .json()
    }

    /// Hardware address of a device.
    ///
    /// # Panics
    /// When there is no such device.
    pub fn mac(&self, device: &str) -> String {
        let links = run("ip", &["-n", &self.name, "-j", "link", "show", device]);
        let links = links.ok().json();
        let address = links[0]["address"].as_str();
        address.expect("a device has one").to_owned()
    }

    /// Names of the devices, without `lo`.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub fn devices(&self) -> Vec<String> {
        let links = run("ip", &["-n", &self.name, "-j", "link"]).ok().json();
        let links = links.as_array().expect("an array of links");
        links
            .iter()
            .map(|link| link["ifname"].as_str().expect("a name").to_owned())
            .filter(|name| name != "lo")
            .collect()
    }
}

fn new_name(role: &str) -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    format!("nct-{role}-{}-{number}", process::id())
}

impl Drop for Netns {
    fn drop(&mut self) {
        let deleted = run("ip", &["netns", "delete", &self.name]);
        // A panic within a panic would hide the first one.
        if !thread::panicking() {
            deleted.ok();
        }
    }
}
