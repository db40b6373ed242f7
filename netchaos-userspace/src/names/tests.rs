use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, RecordType},
};

use super::{
    Error, Resolved, View, configuration,
    files::{LONGEST_FILE, Root},
    resolve, resolve_all,
};

/// What the test's own name server says about a name.
enum Says {
    Records(Vec<(&'static str, u32)>),
    /// The name exists, with records of other types only.
    NoData,
    ServFail,
    Silent,
    /// A of this address, and no reply at all for AAAA.
    V4Only(&'static str),
}

/// A name server on a port of its own, which notes every question. What it does not know is
/// NXDOMAIN.
struct NameServer {
    address: SocketAddr,
    questions: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    fn start(zone: Vec<(&str, Says)>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let questions = Arc::new(Mutex::new(Vec::new()));
        let zone: HashMap<Name, Says> = zone
            .into_iter()
            .map(|(name, says)| (Name::from_ascii(name).unwrap(), says))
            .collect();
        let noted = questions.clone();
        // Ends with the process: a few threads that wait for a packet.
        thread::spawn(move || {
            let mut packet = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut packet) {
                let question = Message::from_vec(&packet[..length]).unwrap();
                let asked = format!("{}", question.queries[0].name());
                noted.lock().unwrap().push(asked);
                if let Some(reply) = reply(&zone, question) {
                    socket.send_to(&reply.to_vec().unwrap(), from).unwrap();
                }
            }
        });
        Self { address, questions }
    }

    fn questions(&self) -> Vec<String> {
        let mut questions = self.questions.lock().unwrap().clone();
        questions.dedup();
        questions
    }
}

fn reply(zone: &HashMap<Name, Says>, question: Message) -> Option<Message> {
    let query = question.queries[0].clone();
    let mut reply = question.into_response();
    reply.metadata.response_code = ResponseCode::NoError;
    let records = match zone.get(query.name()) {
        None => {
            reply.metadata.response_code = ResponseCode::NXDomain;
            return Some(reply);
        }
        Some(Says::Silent) => return None,
        Some(Says::ServFail) => {
            reply.metadata.response_code = ResponseCode::ServFail;
            return Some(reply);
        }
        Some(Says::V4Only(_)) if query.query_type() == RecordType::AAAA => return None,
        Some(Says::V4Only(address)) => vec![(*address, 60)],
        Some(Says::NoData) => vec![],
        Some(Says::Records(records)) => records.clone(),
    };
    for (address, ttl) in records {
        let data = RData::from(ip(address));
        if data.record_type() == query.query_type() {
            reply.add_answer(Record::from_rdata(query.name().clone(), ttl, data));
        }
    }
    Some(reply)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A view whose name servers are the given ones, whatever their port.
fn view(servers: &[SocketAddr], resolv_conf: &str, hosts: &str) -> View {
    let lines: String = servers
        .iter()
        .map(|server| format!("nameserver {}\n", server.ip()))
        .collect();
    let mut view = View::parse(
        (lines + resolv_conf).as_bytes(),
        "/etc/netns/blue/resolv.conf".into(),
        hosts.as_bytes(),
        "/etc/netns/blue/hosts".into(),
    )
    .unwrap();
    for (config, server) in view.servers.name_servers.iter_mut().zip(servers) {
        for connection in &mut config.connections {
            connection.port = server.port();
        }
    }
    view
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn resolved(addresses: &[&str], ttl: Option<u64>) -> Resolved {
    Resolved {
        addresses: addresses.iter().map(|address| ip(address)).collect(),
        ttl: ttl.map(Duration::from_secs),
    }
}

#[test]
fn hosts_file_settles_a_name_without_asking_a_server() {
    let server = NameServer::start(vec![("db.", Says::Records(vec![("2001:db8::9", 60)]))]);
    let hosts = "# comment\n10.0.0.3 db database\n::ffff:10.0.0.4 mapped\n10.0.0.3 db # again\n\
                 not-an-address db\n2001:db8::3 both\n10.0.0.5 BOTH\n";
    let view = view(&[server.address], "search corp.example\n", hosts);
    let ask = |name| run(resolve(&view, name)).unwrap();
    assert_eq!(ask("db"), resolved(&["10.0.0.3"], None));
    assert_eq!(ask("DataBase"), resolved(&["10.0.0.3"], None));
    assert_eq!(ask("mapped"), resolved(&["10.0.0.4"], None));
    assert_eq!(ask("both"), resolved(&["10.0.0.5", "2001:db8::3"], None));
    assert_eq!(server.questions(), [""; 0]);
}

#[test]
fn what_is_wrong_with_a_file_is_said_without_what_a_terminal_obeys() {
    let resolv_conf = b"nameserver 10.0.0.1\nsearch a\x1b[31mb\n";
    let read = View::parse(resolv_conf, "r".into(), b"", "h".into());
    let error = read.err().unwrap().to_string();
    assert!(error.starts_with("cannot make sense of r: "), "{error}");
    assert!(
        error.contains(r"\u{1b}") && !error.contains('\x1b'),
        "{error}"
    );
}

/// With a copy of all addresses for each further one this would take minutes.
#[test]
fn a_name_has_as_many_addresses_as_the_hosts_file_gives_it() {
    let address = |number: u32| Ipv4Addr::from(0x0a00_0000 + number);
    let line = |number| format!("{} db\n", address(number));
    let hosts: String = (0..100_000).map(line).collect();
    let found = view(&[], "", &hosts).in_hosts_file("db").unwrap();
    let expected: Vec<IpAddr> = (0..100_000).map(|number| address(number).into()).collect();
    assert_eq!(found.addresses, expected);
    let blocked = view(&[], "", "0.0.0.0 db\n:: db\n::ffff:0.0.0.0 db\n");
    assert_eq!(blocked.in_hosts_file("db"), None);
}

#[test]
fn both_families_come_back_with_the_shortest_ttl() {
    let records = vec![("10.1.0.1", 300), ("2001:db8::1", 20), ("10.1.0.2", 300)];
    let server = NameServer::start(vec![("db.example.com.", Says::Records(records))]);
    let view = view(&[server.address], "", "");
    let expected = resolved(&["10.1.0.1", "10.1.0.2", "2001:db8::1"], Some(20));
    assert_eq!(run(resolve(&view, "db.example.com")).unwrap(), expected);
    assert_eq!(run(resolve(&view, "db.example.com.")).unwrap(), expected);
}

#[test]
fn one_family_is_enough_when_the_server_says_the_other_is_empty() {
    let server = NameServer::start(vec![
        ("four.", Says::Records(vec![("10.1.0.1", 60)])),
        ("six.", Says::Records(vec![("2001:db8::1", 60)])),
    ]);
    let view = view(&[server.address], "", "");
    assert_eq!(
        run(resolve(&view, "four")).unwrap(),
        resolved(&["10.1.0.1"], Some(60))
    );
    assert_eq!(
        run(resolve(&view, "six")).unwrap(),
        resolved(&["2001:db8::1"], Some(60))
    );
}

#[test]
fn search_list_and_ndots_decide_what_is_asked_first() {
    let server = NameServer::start(vec![
        ("api.ns.svc.", Says::Records(vec![("10.2.0.1", 5)])),
        ("api.other.", Says::Records(vec![("10.2.0.2", 5)])),
        ("api.other.svc.", Says::Records(vec![("10.2.0.3", 5)])),
    ]);
    let ask = |options: &str, name| {
        let text = format!("search ns.svc svc\noptions {options}\n");
        run(resolve(&view(&[server.address], &text, ""), name)).unwrap()
    };
    assert_eq!(ask("ndots:1", "api"), resolved(&["10.2.0.1"], Some(5)));
    assert_eq!(
        ask("ndots:1", "api.other"),
        resolved(&["10.2.0.2"], Some(5))
    );
    assert_eq!(
        ask("ndots:5", "api.other"),
        resolved(&["10.2.0.3"], Some(5))
    );
    assert_eq!(
        ask("ndots:5", "api.other."),
        resolved(&["10.2.0.2"], Some(5))
    );
}

#[test]
fn a_name_without_an_address_is_an_error_that_says_what_was_asked_where() {
    let server = NameServer::start(vec![
        ("text.only.", Says::NoData),
        ("blocked.", Says::Records(vec![("0.0.0.0", 60), ("::", 60)])),
    ]);
    let view = view(&[server.address], "search corp.example\n", "");
    for name in ["nowhere", "text.only", "blocked"] {
        let error = run(resolve(&view, name)).unwrap_err();
        assert!(
            matches!(error, Error::NoAddress { .. }),
            "{name}: {error:?}"
        );
        let text = error.to_string();
        for part in [name, &server.address.to_string(), "/etc/netns/blue/hosts"] {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
    }
    let text = run(resolve(&view, "nowhere")).unwrap_err().to_string();
    assert!(text.contains("nowhere.corp.example., nowhere."), "{text}");
}

#[test]
fn what_no_name_can_be_is_an_error() {
    let view = view(&[], "", "");
    for name in ["", ".", "a..b", &"x".repeat(64), &"long.".repeat(60)] {
        let error = run(resolve(&view, name)).unwrap_err();
        assert!(matches!(error, Error::Name { .. }), "{name:?}: {error:?}");
    }
}

#[test]
fn a_family_that_nobody_answers_for_is_an_error_within_the_bound() {
    let server = NameServer::start(vec![
        ("half.", Says::V4Only("10.1.0.1")),
        ("broken.", Says::ServFail),
    ]);
    let view = view(&[server.address], "", "");
    let before = Instant::now();
    for name in ["half", "broken"] {
        let error = run(resolve(&view, name)).unwrap_err();
        assert!(
            matches!(error, Error::Unanswered { .. }),
            "{name}: {error:?}"
        );
        assert!(error.to_string().contains(&server.address.to_string()));
    }
    assert!(before.elapsed() < super::LONGEST, "{:?}", before.elapsed());
}

#[test]
fn a_dead_first_server_leaves_time_for_the_second_and_is_asked_once() {
    let dead = NameServer::start(vec![
        ("db.a.", Says::Silent),
        ("db.b.", Says::Silent),
        ("db.", Says::Silent),
    ]);
    let alive = NameServer::start(vec![("db.", Says::Records(vec![("10.1.0.1", 60)]))]);
    let view = view(&[dead.address, alive.address], "search a b\n", "");
    assert_eq!(
        run(resolve(&view, "db")).unwrap(),
        resolved(&["10.1.0.1"], Some(60))
    );
    assert_eq!(dead.questions(), ["db.a."]);
}

#[test]
fn the_second_server_is_not_asked_when_the_first_says_no() {
    let first = NameServer::start(vec![]);
    let second = NameServer::start(vec![("db.", Says::Records(vec![("10.1.0.1", 60)]))]);
    let view = view(&[first.address, second.address], "", "");
    let error = run(resolve(&view, "db")).unwrap_err();
    assert!(matches!(error, Error::NoAddress { .. }), "{error:?}");
    assert_eq!(second.questions(), [""; 0]);
}

#[test]
fn names_are_asked_together_and_every_error_is_told() {
    let mut zone = vec![("good.", Says::Records(vec![("10.1.0.1", 60)]))];
    let slow: Vec<String> = (0..8).map(|number| format!("slow{number}.")).collect();
    zone.extend(slow.iter().map(|name| (&**name, Says::Silent)));
    let server = NameServer::start(zone);
    let view = view(&[server.address], "", "");

    let good = run(resolve_all(&view, ["good", "good"])).unwrap();
    assert_eq!(good.len(), 1);
    assert_eq!(good["good"], resolved(&["10.1.0.1"], Some(60)));

    let before = Instant::now();
    let names = slow.iter().map(String::as_str).chain(["good", "gone"]);
    let errors = run(resolve_all(&view, names)).unwrap_err();
    assert!(before.elapsed() < super::LONGEST, "{:?}", before.elapsed());
    assert_eq!(errors.len(), 9, "{errors:?}");
}

#[test]
fn without_name_servers_the_local_one_is_asked_as_libc_does() {
    for text in ["", "search a.example\n", "# nothing\n"] {
        let (servers, _) = configuration(text.as_bytes()).unwrap();
        let addresses: Vec<IpAddr> = servers.name_servers.iter().map(|one| one.ip).collect();
        assert_eq!(addresses, [IpAddr::V4(Ipv4Addr::LOCALHOST)], "{text:?}");
    }
    let (servers, options) = configuration(b"nameserver ::1\noptions ndots:3\n").unwrap();
    assert_eq!(servers.name_servers.len(), 1);
    assert_eq!(servers.name_servers[0].ip, IpAddr::V6(Ipv6Addr::LOCALHOST));
    assert_eq!(options.ndots, 3);
}

#[test]
fn a_namespace_name_that_is_a_path_is_refused() {
    for name in ["", ".", "..", "../../tmp", "a/b"] {
        let refused = View::of_named_namespace(name);
        assert!(matches!(refused, Err(Error::Namespace(_))), "{name:?}");
    }
}

#[test]
fn a_process_is_seen_with_its_own_root() {
    let view = View::of_process(std::process::id()).unwrap();
    let path = format!("/proc/{}/root/etc/hosts", std::process::id());
    assert_eq!(view.hosts_path, Path::new(&path));
    let gone = View::of_process(u32::MAX);
    assert!(matches!(gone, Err(Error::Process { .. })));
}

/// A directory that a process could have as its root, gone at the end of the test.
struct TestRoot(PathBuf);

impl TestRoot {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("netchaos-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("root/etc")).unwrap();
        std::fs::write(path.join("secret"), "10.9.9.9 outside\n").unwrap();
        Self(path)
    }

    fn etc(&self) -> PathBuf {
        self.0.join("root/etc")
    }

    fn text(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        Root::at(&self.0.join("root"))
            .unwrap()
            .text(Path::new(path))
    }
}

impl Drop for TestRoot {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn symbolic_links_are_followed_within_the_root_and_never_out_of_it() {
    let root = TestRoot::new("links");
    let secret = root.0.join("secret");
    std::fs::create_dir_all(root.0.join("root/run")).unwrap();
    std::fs::write(root.0.join("root/run/resolv.conf"), "inside").unwrap();
    symlink("/run/resolv.conf", root.etc().join("absolute")).unwrap();
    symlink("../../../../../run/resolv.conf", root.etc().join("upward")).unwrap();
    symlink(&secret, root.etc().join("escape")).unwrap();
    symlink("../../secret", root.etc().join("relative-escape")).unwrap();
    symlink(root.0.as_path(), root.0.join("root/folder")).unwrap();
    symlink("loop", root.etc().join("loop")).unwrap();

    for inside in ["etc/absolute", "etc/upward"] {
        assert_eq!(root.text(inside).unwrap().unwrap(), b"inside", "{inside}");
    }
    for outside in [
        "etc/escape",
        "etc/relative-escape",
        "folder/secret",
        "../secret",
        "etc/nothing",
    ] {
        assert!(root.text(outside).unwrap().is_none(), "{outside}");
    }
    assert!(matches!(root.text("etc/loop"), Err(Error::Read { .. })));
}

#[test]
fn only_regular_files_of_bounded_length_are_read() {
    let root = TestRoot::new("kinds");
    let fifo = root.etc().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in ["etc/fifo", "etc"] {
        let refused = root.text(path);
        assert!(
            matches!(refused, Err(Error::NotAFile { .. })),
            "{path}: {refused:?}"
        );
    }
    let long = std::fs::File::create(root.etc().join("long")).unwrap();
    long.set_len(LONGEST_FILE).unwrap();
    assert_eq!(
        root.text("etc/long").unwrap().unwrap().len() as u64,
        LONGEST_FILE
    );
    long.set_len(LONGEST_FILE + 1).unwrap();
    assert!(matches!(root.text("etc/long"), Err(Error::TooLong { .. })));
}
