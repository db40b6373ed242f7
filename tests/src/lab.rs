//! The rig of most tests: a client whose traffic is to be harmed, and peers behind a veth pair.
//!
//! ```text
//!  client namespace              peer namespace
//!  eth0 10.77.0.1, fd77::1 ===== eth0 10.77.0.2 … 10.77.0.9, fd77::2 … fd77::9
//! ```
//!
//! Every peer address answers UDP and TCP on [`PORT`] and the ports after it.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use crate::{
    command::{Done, run, start, words},
    counted::Counted,
    netchaos::{limited, netchaos, netchaos_with_input, start_netchaos},
    netns::Netns,
    probe::{
        EchoServer, RoundTrips, TcpServer, answers, assert_delayed, assert_delays, assert_prompt,
        udp_round_trips,
    },
    requires::{DELAY, Need, can_run},
    snapshot::Snapshot,
};

/// The first of [`PORTS`] ports that answer.
pub const PORT: u16 = 7001;
/// How many ports answer, from [`PORT`] on.
pub const PORTS: u16 = 18;
/// The device that faults are put on.
pub const DEVICE: &str = "eth0";
/// The client's addresses.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// As [`CLIENT`].
pub const CLIENT6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
/// Round trips without a fault stay below this in the median, on an emulated processor too.
pub const PROMPT: Duration = Duration::from_millis(40);

pub struct Lab {
    // Dropped in this order: threads inside keep a namespace alive.
    _echo: EchoServer,
    _accept: TcpServer,
    pub peer: Netns,
    pub client: Netns,
    /// What the client's namespace is without netchaos, and its devices.
    before: Snapshot,
    own_devices: Vec<String>,
    /// Folders under /etc/netns to take away in the end.
    folders: Vec<PathBuf>,
}

impl Lab {
    /// # Panics
    /// When it cannot be set up.
    pub fn new() -> Self {
        let (client, peer) = (Netns::new("client"), Netns::new("peer"));
        connect(&client, &peer, DEVICE);
        for (netns, hosts) in [(&client, 1..=1), (&peer, 2..=9)] {
            let add = |host: i32| {
                ["10.77.0.{}/24", "fd77::{}/64"].map(|address| {
                    let address = address.replace("{}", &host.to_string());
                    format!("addr add {address} dev {DEVICE}")
                })
            };
            netns.ip_batch("", &hosts.flat_map(add).collect::<Vec<_>>());
        }
        Self {
            _echo: EchoServer::start(&peer, PORT, PORTS),
            _accept: TcpServer::start(&peer, PORT, PORTS),
            before: Snapshot::of(&client),
            own_devices: client.devices(),
            peer,
            client,
            folders: Vec::new(),
        }
    }

    /// One whose client has no IPv6, so that nothing changes when its device goes down and up.
    ///
    /// # Panics
    /// When it cannot be set up.
    pub fn without_ipv6() -> Self {
        let mut lab = Self::new();
        lab.client.set_sysctls(&[
            ("net/ipv6/conf/all/disable_ipv6", "1"),
            ("net/ipv6/conf/default/disable_ipv6", "1"),
        ]);
        lab.is_the_users();
        lab
    }

    /// Runs a test that needs what a delay needs, and `more`. In the end netchaos has to take
    /// everything away that the test has left, without a trace.
    ///
    /// # Panics
    /// When the test fails, or cannot run where it must, or leaves something behind.
    #[track_caller]
    pub fn test(more: &[Need], test: impl FnOnce(&mut Self)) {
        Self::test_with(&[DELAY, more].concat(), test);
    }

    /// As [`Self::test`], for a test that needs no more than this.
    ///
    /// # Panics
    /// As [`Self::test`].
    #[track_caller]
    pub fn test_with(needs: &[Need], test: impl FnOnce(&mut Self)) {
        if !can_run(needs) {
            return;
        }
        let mut lab = Self::new();
        test(&mut lab);
        lab.netchaos("remove --all").ok();
        lab.assert_nothing_left();
    }

    /// Gives the device a clsact of the user's, which stays. Before Linux 6.6 netchaos makes one where there is none, and
    /// everybody's packets of the moment in which it comes or goes are lost.
    ///
    /// # Panics
    /// As [`Self::is_the_users`], and when it cannot be added.
    pub fn has_clsact(&mut self) {
        self.client.tc(&format!("qdisc add dev {DEVICE} clsact"));
        self.is_the_users();
    }

    /// Takes what the client's namespace prints by now for its state without netchaos.
    ///
    /// # Panics
    /// When it cannot be listed, or does not come to rest.
    pub fn is_the_users(&mut self) {
        self.before = Snapshot::at_rest(&self.client);
        self.own_devices = self.client.devices();
    }

    /// # Panics
    /// When the client's namespace prints something else than before the test.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        Snapshot::of(&self.client).assert_same_as(&self.before);
    }

    /// As [`Self::assert_nothing_left`], where a device has come up and the kernel may take a second to
    /// say so.
    ///
    /// # Panics
    /// As [`Self::assert_nothing_left`].
    #[track_caller]
    pub fn assert_nothing_left_soon(&self) {
        let begin = Instant::now();
        while Snapshot::of(&self.client) != self.before && begin.elapsed() < ms(4000) {
            std::thread::sleep(ms(20));
        }
        self.assert_nothing_left();
    }

    /// Devices that were not there before the test: netchaos' own.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub fn devices_of_netchaos(&self) -> Vec<String> {
        let mut devices = self.client.devices();
        devices.retain(|device| !self.own_devices.contains(device));
        devices
    }

    /// The lower device of the only pair.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn lower_device(&self) -> String {
        let mut devices = self.devices_of_netchaos().into_iter();
        let lower = devices.find(|name| name.starts_with("ncb"));
        lower.expect("a pair has a lower device")
    }

    /// `netchaos ARGS --netns CLIENT`; the arguments are cut at blanks.
    ///
    /// # Panics
    /// When it cannot be started or does not end.
    #[track_caller]
    pub fn netchaos(&self, args: &str) -> Done {
        netchaos(&self.at(args))
    }

    /// As [`Self::netchaos`], with a text on its stdin.
    ///
    /// # Panics
    /// As [`Self::netchaos`].
    #[track_caller]
    pub fn netchaos_with_input(&self, args: &str, input: &str) -> Done {
        netchaos_with_input(&self.at(args), input)
    }

    /// As [`Self::netchaos`], only started.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start_netchaos(&self, args: &str) -> std::process::Child {
        start_netchaos(&self.at(args))
    }

    /// As [`Self::netchaos`], started inside the namespace with these capabilities alone, such as
    /// `+net_admin,+bpf`: as in a container.
    ///
    /// # Panics
    /// As [`Self::netchaos`].
    #[track_caller]
    pub fn limited(&self, capabilities: &str, args: &str) -> Done {
        let words = limited(capabilities, &self.at(args));
        self.client.run(|| run("setpriv", &as_words(&words)))
    }

    /// As [`Self::limited`], only started.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start_limited(&self, capabilities: &str, args: &str) -> std::process::Child {
        let words = limited(capabilities, &self.at(args));
        self.client.run(|| start("setpriv", &as_words(&words)))
    }

    fn at<'a>(&'a self, args: &'a str) -> Vec<&'a str> {
        [&*words(args), &["--netns", self.client.name()]].concat()
    }

    /// Round trips of UDP from the client to an address (on [`PORT`]) or an address with port.
    ///
    /// # Panics
    /// When there is no such way.
    #[track_caller]
    pub fn round_trips(&self, to: &str, count: usize) -> RoundTrips {
        let to = peer(to);
        self.client.run(|| udp_round_trips(to, count))
    }

    /// # Panics
    /// When the round trip to `to` does not grow by `delay`: one below it, one lost, or a median
    /// far above it.
    #[track_caller]
    pub fn assert_delayed(&self, to: &str, delay: Duration) {
        assert_delayed(to, delay, || self.round_trips(to, 9));
    }

    /// # Panics
    /// When round trips to `to` are lost or take their time.
    #[track_caller]
    pub fn assert_prompt(&self, to: &str) {
        assert_prompt(to, || self.round_trips(to, 9));
    }

    /// Asserts how many milliseconds longer round trips take than without a fault, by ways as
    /// [`assert_delays`] reads them: `10.77.0.3:7002`, `tcp fd77::3`, `ping 10.77.0.3` and so on.
    ///
    /// # Panics
    /// When they do not.
    #[track_caller]
    pub fn assert_delays(&self, what: &str, expected: &[(impl AsRef<str> + Sync, u64)]) {
        self.client.run(|| assert_delays(what, expected));
    }

    /// Asserts which addresses are cut off from the client and which are not.
    ///
    /// # Panics
    /// When one is not so.
    #[track_caller]
    pub fn assert_cut(&self, what: &str, expected: &[(&str, bool)]) {
        // All at once: what is cut off is waited for.
        let found: Vec<bool> = thread::scope(|scope| {
            let ask = |to: &str| {
                let to = peer(to);
                scope.spawn(move || self.client.run(|| !answers(to)))
            };
            let asked: Vec<_> = expected.iter().map(|(to, _)| ask(to)).collect();
            let joined = asked.into_iter().map(|asked| asked.join());
            joined.map(|found| found.expect("no panic")).collect()
        });
        for ((to, is_cut), found) in expected.iter().zip(found) {
            assert_eq!(found, *is_cut, "{what}: is {to} cut off?");
        }
    }

    /// What an experiment has counted, as `show` tells it.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn counted(&self, name: &str) -> Counted {
        Counted::of(&self.netchaos(&format!("show {name} -o json")).ok().json())
    }

    /// Makes both ends know their neighbours for good, so that nothing but the test's packets is on the wire.
    ///
    /// # Panics
    /// When they cannot.
    pub fn know_neighbours(&self) {
        let ends = [
            (&self.client, &self.peer, 2..=9),
            (&self.peer, &self.client, 1..=1),
        ];
        for (netns, other, hosts) in ends {
            let address = other.mac(DEVICE);
            let know = |host: i32| {
                format!("neigh replace 10.77.0.{host} lladdr {address} nud permanent dev {DEVICE}")
            };
            netns.ip_batch("", &hosts.map(know).collect::<Vec<_>>());
        }
    }

    /// Puts a file into `/etc/netns/CLIENT/`, where named namespaces have their own `/etc`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_etc(&mut self, file: &str, text: &str) {
        let folder = PathBuf::from("/etc/netns").join(self.client.name());
        fs::create_dir_all(&folder).expect("root can write to /etc");
        fs::write(folder.join(file), text).expect("root can write to /etc");
        if !self.folders.contains(&folder) {
            self.folders.push(folder);
        }
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for folder in &self.folders {
            // Another failure would hide the test's own.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

fn as_words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// A veth pair between two namespaces, both ends up and with the same name.
///
/// # Panics
/// When it cannot be made.
pub fn connect(one: &Netns, other: &Netns, device: &str) {
    let pair = format!(
        "link add {device} type veth peer name {device} netns {}",
        other.name()
    );
    let up = ["lo", device].map(|device| format!("link set {device} up"));
    one.ip_batch("", &[&[pair], &up[..]].concat());
    other.ip_batch("", &up);
    // It gets there by itself, a moment after the second end has come up.
    let begin = Instant::now();
    while [one, other].iter().any(|netns| {
        !netns
            .ip(&format!("link show {device}"))
            .contains(" state UP ")
    }) {
        assert!(begin.elapsed() < ms(10_000), "{device} does not come up");
    }
}

/// The socket address that `10.77.0.3`, `10.77.0.3:7002`, `fd77::3` or `[fd77::3]:7002` means.
///
/// # Panics
/// When it is none.
#[track_caller]
pub fn peer(text: &str) -> SocketAddr {
    text.parse::<SocketAddr>()
        .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT)))
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Milliseconds.
pub const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
