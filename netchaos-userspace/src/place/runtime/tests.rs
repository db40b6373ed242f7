use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixListener,
    thread,
};

use super::*;

/// A folder of one test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("netchaos-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What Docker Engine 24.0 answers to `GET /containers/json?all=true`, shortened by images, ports,
/// mounts and networks. No Docker daemon runs on the machines of the tests; Podman's service, which
/// speaks the same API, is asked for real in `tests/tests/vm_podman.rs`.
const DOCKERS_ANSWER: &str = r#"[
  {"Id":"8dfafdbc3a40e4c2a1d5d1f2b7c1b0b5a1d5e6f708192a3b4c5d6e7f80912233","Names":["/web","/proxy/app"],
   "Image":"nginx:latest","Command":"nginx -g 'daemon off;'","Created":1714070000,
   "Ports":[{"PrivatePort":80,"PublicPort":8080,"Type":"tcp"}],"Labels":{},"State":"running",
   "Status":"Up 2 hours","HostConfig":{"NetworkMode":"bridge"},"NetworkSettings":{"Networks":{}},"Mounts":[]},
  {"Id":"9cd87474be90a1d5e6f708192a3b4c5d6e7f80912233aabbccddeeff00112233","Names":["/old"],
   "Image":"busybox","Command":"true","Created":1714060000,"Ports":[],"Labels":{},"State":"exited",
   "Status":"Exited (0) 3 hours ago","HostConfig":{"NetworkMode":"none"},"NetworkSettings":{"Networks":{}},"Mounts":[]}
]"#;

/// Answers one request on the socket with this, and gives back what was asked.
fn serve(socket: &Path, status: &str, body: &str) -> thread::JoinHandle<String> {
    let listener = UnixListener::bind(socket).unwrap();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            request.extend(byte);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    })
}

fn dockers(socket: &Path) -> Result<Vec<Container>, Error> {
    on_a_thread(async || docker::containers(socket).await).unwrap()
}

#[test]
fn dockers_list_is_read() {
    let folder = Folder::new("docker-list");
    let socket = folder.0.join("docker.sock");
    let server = serve(&socket, "200 OK", DOCKERS_ANSWER);
    let containers = dockers(&socket).unwrap();
    let request = server.join().unwrap();
    assert!(
        request.starts_with("GET /containers/json?all=true HTTP/1.1\r\n")
            && request.to_lowercase().contains("\r\nhost: "),
        "{request}"
    );
    let [web, old] = &containers[..] else {
        panic!("{containers:?}")
    };
    assert!(web.id.starts_with("8dfafdbc3a40") && web.runs);
    assert_eq!(web.names, ["web", "proxy/app"]);
    assert_eq!((&*old.state, old.runs), ("exited", false));
}

#[test]
fn what_a_runtime_answers_instead_is_told() {
    let folder = Folder::new("docker-error");
    for (number, (status, body, words)) in [
        (
            "500 Internal Server Error",
            r#"{"message":"no space left"}"#,
            "500 Internal Server Error: {\"message\":\"no space left\"}",
        ),
        (
            "200 OK",
            "<html>",
            "something else than a list of containers",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let socket = folder.0.join(number.to_string());
        let server = serve(&socket, status, body);
        let error = dockers(&socket).unwrap_err().to_string();
        server.join().unwrap();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_socket_that_is_not_there_and_one_that_nobody_serves_are_told_apart() {
    let folder = Folder::new("no-runtime");
    let (absent, deaf) = (folder.0.join("absent"), folder.0.join("deaf"));
    drop(UnixListener::bind(&deaf).unwrap());
    let cri = |socket: &Path| on_a_thread(async || cri::sandboxes(socket).await.err()).unwrap();
    for error in [dockers(&absent).err(), cri(&absent)] {
        assert!(matches!(error, Some(Error::NotThere)), "{error:?}");
    }
    for error in [dockers(&deaf).err(), cri(&deaf)] {
        let Some(Error::Connect(source)) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(source.kind(), io::ErrorKind::ConnectionRefused, "{error:?}");
    }
}

#[test]
fn the_variable_names_the_only_socket_to_ask() {
    let asked = |value| -> Vec<String> {
        let sockets = CRI.to_ask(value).into_iter();
        sockets
            .map(|socket| match socket {
                Ok(path) => path.display().to_string(),
                Err(tried) => AllTried(vec![tried]).to_string(),
            })
            .collect()
    };
    assert_eq!(asked(Some("unix:///x/c.sock")), ["/x/c.sock"]);
    assert_eq!(asked(Some("/x/c.sock")), ["/x/c.sock"]);
    let tcp = asked(Some("tcp://10.0.0.1:2375"));
    assert!(
        tcp[0].starts_with("CONTAINER_RUNTIME_ENDPOINT=tcp://10.0.0.1:2375 is of another kind"),
        "{tcp:?}"
    );
    for none in [None, Some("")] {
        assert_eq!(
            asked(none)[..2],
            ["/run/containerd/containerd.sock", "/run/crio/crio.sock"]
        );
    }
}

fn known(id: &str, names: &[&str], state: &str) -> Container {
    Container {
        id: id.into(),
        names: names.iter().map(|name| (*name).into()).collect(),
        state: state.into(),
        runs: state == "running",
    }
}

fn tried() -> AllTried {
    AllTried(vec![
        Tried {
            at: "/run/docker.sock".into(),
            failure: None,
        },
        Tried {
            at: "/run/crio/crio.sock".into(),
            failure: Some(Error::NotThere),
        },
    ])
}

#[test]
fn a_name_means_the_only_container_that_runs_by_it() {
    let all = [
        known("1a", &["app"], "exited"),
        known("2b", &["app", "proxy/app"], "running"),
        known("3c", &["old"], "exited"),
        known("4d", &["sidecar"], "running"),
        known("5e", &["sidecar"], "running"),
        // The same one by another runtime's list.
        known("2b", &["app"], "running"),
    ];
    let picked = |name: &str| {
        let picked = pick_container(name, all.to_vec(), tried());
        picked.map_err(|error| error.to_string())
    };
    assert_eq!(picked("app"), Ok("2b".into()));
    assert_eq!(picked("proxy/app"), Ok("2b".into()));
    let stopped = picked("old").unwrap_err();
    assert!(
        stopped.contains("(3c) does not run") && stopped.contains("exited"),
        "{stopped}"
    );
    let several = picked("sidecar").unwrap_err();
    assert!(several.contains("4d, 5e"), "{several}");
    let unknown = picked("sidecra").unwrap_err();
    for part in [
        "no container \"sidecra\"",
        "/run/docker.sock does not know it",
        "not there is /run/crio/crio.sock",
        "did you mean \"sidecar\"?",
    ] {
        assert!(unknown.contains(part), "{unknown}");
    }
}

#[test]
fn a_pods_newest_sandbox_that_is_ready_counts() {
    let sandbox = |id: &str, name: &str, is_ready, created| Sandbox {
        id: id.into(),
        uid: format!("uid of {id}"),
        namespace: "default".into(),
        name: name.into(),
        is_ready,
        created,
    };
    let all = [
        sandbox("old", "web-0", false, 30),
        sandbox("new", "web-0", true, 20),
        sandbox("older", "web-0", true, 10),
        sandbox("ended", "web-1", false, 10),
    ];
    let picked = |namespace: &str, name: &str| {
        let picked = pick_sandbox(namespace, name, all.to_vec(), tried());
        picked.map_err(|error| error.to_string())
    };
    assert_eq!(picked("default", "web-0").unwrap().id, "new");
    let ended = picked("default", "web-1").unwrap_err();
    assert!(ended.contains("default/web-1 does not run"), "{ended}");
    let unknown = picked("defualt", "web-0").unwrap_err();
    assert!(
        unknown.contains("no pod defualt/web-0 on this node"),
        "{unknown}"
    );
    assert!(
        unknown.contains("did you mean \"default/web-0\"?"),
        "{unknown}"
    );
    // A name of three letters is close to every other.
    assert!(!picked("x", "y").unwrap_err().contains("did you mean"));
}

#[test]
fn whoever_may_not_ask_is_told_apart_from_who_gets_no_answer() {
    let denied = Tried {
        at: "/run/docker.sock".into(),
        failure: Some(Error::Connect(io::ErrorKind::PermissionDenied.into())),
    };
    assert!(!tried().is_about_rights());
    assert!(AllTried(vec![denied]).is_about_rights());
}
