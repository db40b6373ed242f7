//! `--container` and `--pod` with a real containerd and runc: its own client's containers, and pods
//! as a kubelet makes them by the CRI. Partition needs no netem: on whatever kernel this machine has.

use std::{fs, net::SocketAddr};

use netchaos_tests::{
    cri::{
        ContainerConfig, ContainerMetadata, Image, LinuxPod, Mount, Namespaces, PodConfig,
        PodMetadata, PodSecurity,
    },
    lab::{Lab, PORT, PORTS, peer},
    netchaos::netchaos,
    netns::Netns,
    node::{HOST_OF_IMAGE, IMAGE, Node},
    probe::{EchoServer, assert_prompt, assert_silent, udp_round_trips},
    requires::can_run,
    snapshot::Snapshot,
};

#[test]
fn a_container_keeps_its_fault_when_it_is_restarted_in_the_same_namespace() {
    Lab::test_with(&[], |lab| {
        let node = Node::start();
        let in_labs_client = node.netns_option(&lab.client);
        node.run_container("web", &format!("--privileged {in_labs_client}"));
        // Who comes later may be in another namespace, and does not count.
        node.ctr("task exec --detach --exec-id later web busybox unshare -n sleep 1000000")
            .ok();
        let (name, address) = HOST_OF_IMAGE;
        node.netchaos(&format!(
            "add cut --partition --container web --to 10.77.0.3 {name}"
        ))
        .ok();
        // By the hosts file that is in the container's image.
        node.netchaos("target list cut --container web")
            .ok()
            .says(&[name, address]);
        let assert_cut = || {
            for to in ["10.77.0.3", address] {
                lab.client.run(|| assert_silent(peer(to)));
            }
            lab.assert_prompt("10.77.0.2");
        };
        assert_cut();
        // The same place by another way.
        assert_eq!(lab.netchaos("list -o json").ok().json()[0]["name"], "cut");

        // Fewer capabilities than the container has, and none to look into others.
        node.netchaos_by(
            "setpriv --bounding-set -chown,-sys_ptrace --inh-caps -chown,-sys_ptrace --",
            "list --container web",
        )
        .fails_with(3)
        .says(&["/ns/net", "CAP_SYS_PTRACE"]);

        node.remove_container("web");
        node.netchaos("list --container web")
            .fails_with(1)
            .says(&["no container \"web\"", "c.sock does not know it"]);
        assert_cut();
        node.run_container("web", &in_labs_client);
        node.netchaos("list --container web").ok().says(&["cut"]);
        assert_cut();
        node.netchaos("remove cut --container web").ok();
        lab.assert_prompt("10.77.0.3");
    });
}

#[test]
fn of_a_container_everything_can_be_asked_and_changed() {
    Lab::test_with(&[], |lab| {
        let node = Node::start();
        node.run_container("web", &node.netns_option(&lab.client));
        let manifest = node.file(
            "cut.yaml",
            "apiVersion: netchaos/v1\nkind: Experiment\nname: cut\nfault: {partition: true}\nto: [10.77.0.3]\n",
        );
        for (args, says) in [
            (format!("apply -f {manifest} --dry-run"), "10.77.0.3"),
            (format!("apply -f {manifest}"), "cut created"),
            ("show cut".into(), "10.77.0.3"),
            ("explain cut".into(), "10.77.0.3"),
            ("target add cut 10.77.0.4".into(), "cut changed"),
            ("target remove cut 10.77.0.3".into(), "cut changed"),
            ("pause cut".into(), "cut changed"),
            ("resume cut".into(), "cut changed"),
            (
                "change cut --loss 100% --partition=none".into(),
                "cut changed",
            ),
            ("doctor".into(), "macvlan"),
        ] {
            node.netchaos(&format!("{args} --container web"))
                .ok()
                .says(&[says]);
        }
        lab.client.run(|| assert_silent(peer("10.77.0.4")));
        lab.assert_prompt("10.77.0.3");

        // Named by its container, since the node sees no name of it.
        let listed = node.netchaos("list --all -o json").ok().json();
        assert_eq!(listed[0]["place"], "container web", "{listed}");
        let healed = node.netchaos("heal --all").ok();
        healed.says(&["container web: took away"]);
        lab.assert_nothing_left();
    });
}

#[test]
fn a_container_in_the_hosts_network_is_refused_unless_asked_in_words() {
    if !can_run(&[]) {
        return;
    }
    let node = Node::start();
    node.run_container("open", "--net-host");
    let before = Snapshot::of(&node.network);
    let add = "add cut --partition --to 10.77.0.3 --device lo --container open";
    node.netchaos(add).fails_with(1).says(&[
        "host's network namespace",
        "whole node",
        "--host-network",
    ]);
    Snapshot::of(&node.network).assert_same_as(&before);
    node.netchaos(&format!("{add} --host-network")).ok();
    // It is the node's: netchaos' own, without any flag.
    node.netchaos("list").ok().says(&["cut"]);
    node.netchaos("remove cut --host-network --container open")
        .ok();
    Snapshot::of(&node.network).assert_same_as(&before);
}

/// A pod as the kubelet of a node would ask for it.
fn pod(node: &Node, name: &str, uid: &str, network: i32) -> PodConfig {
    PodConfig {
        metadata: Some(PodMetadata {
            name: name.into(),
            uid: uid.into(),
            namespace: "shop".into(),
        }),
        linux: Some(LinuxPod {
            cgroup_parent: node.pods_cgroup(uid),
            security: Some(PodSecurity {
                namespaces: Some(Namespaces { network }),
            }),
        }),
    }
}

fn container(name: &str, attempt: u32, mounts: Vec<Mount>) -> ContainerConfig {
    ContainerConfig {
        metadata: Some(ContainerMetadata {
            name: name.into(),
            attempt,
        }),
        image: Some(Image {
            image: IMAGE.into(),
        }),
        mounts,
    }
}

/// A process of the container with this id, as this machine knows it. Looked for without netchaos.
fn process_of(id: &str) -> u32 {
    let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let mut pids = processes.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let text = fs::read_to_string(entry.path().join("cgroup")).ok()?;
        text.contains(id).then_some(pid)
    });
    pids.next().expect("it runs")
}

const UIDS: [&str; 3] = [
    "3f0c58a6-6f0b-4ad6-9d0c-0a3d5b0f9a01",
    "3f0c58a6-6f0b-4ad6-9d0c-0a3d5b0f9a02",
    "3f0c58a6-6f0b-4ad6-9d0c-0a3d5b0f9a03",
];

/// The node as its pods' peer.
const GATEWAY: &str = "10.88.0.1";

#[test]
fn a_pod_is_found_by_its_name_its_uid_and_its_containers_and_a_new_sandbox_is_a_new_place() {
    if !can_run(&[]) {
        return;
    }
    let node = Node::start();
    let mut cri = node.cri();
    let config = pod(&node, "cart-0", UIDS[0], 0);
    let sandbox = cri.run_pod(&config);
    // As a kubelet mounts it into each container but the sandbox.
    let mount = Mount {
        container_path: "/etc/hosts".into(),
        host_path: node.file("hosts", "10.88.0.9 db.of-pod\n"),
    };
    let app = cri.start_container(&sandbox, &config, container("app", 0, vec![mount.clone()]));
    let network = Netns::of_process("pod", process_of(&sandbox));
    node.network
        .ip_batch("", &["addr add 10.88.0.2/24 dev cni0".into()]);
    let _echo = EchoServer::start(&node.network, PORT, PORTS);
    let before = Snapshot::of(&network);
    let other: SocketAddr = peer("10.88.0.2");
    let assert_cut = |cut: &str| {
        network.run(|| assert_silent(peer(cut)));
        network.run(|| assert_prompt("the others", || udp_round_trips(other, 9)));
    };
    network.run(|| assert_prompt("no fault yet", || udp_round_trips(peer(GATEWAY), 9)));

    node.netchaos(&format!(
        "add cut --partition --to {GATEWAY} db.of-pod --pod shop/cart-0"
    ))
    .ok();
    assert_cut(GATEWAY);
    node.netchaos("target list cut --pod shop/cart-0")
        .ok()
        .says(&["db.of-pod", "10.88.0.9"]);
    let prefix = &app[..12];
    for place in [
        format!("--pod {}", UIDS[0]),
        format!("--container {sandbox}"),
        format!("--container {prefix}"),
        "--container app".into(),
    ] {
        node.netchaos(&format!("list {place}")).ok().says(&["cut"]);
    }
    let listed = node.netchaos("list --all -o json").ok().json();
    let by_cni = listed[0]["place"].as_str().expect("a name");
    assert!(by_cni.starts_with("cni-"), "{listed}");
    // Where that name is not to be seen, as from within a container.
    let hide = node.file("hide", "mount -t tmpfs none /run/netns && exec \"$@\"");
    let starter = format!("unshare --mount --propagation private sh {hide}");
    let listed = node.netchaos_by(&starter, "list --all -o json").ok().json();
    assert_eq!(listed[0]["place"], format!("pod {}", UIDS[0]), "{listed}");

    // Another container of the same name, and one that does not run.
    let second = pod(&node, "cart-1", UIDS[1], 0);
    let second_sandbox = cri.run_pod(&second);
    let twin = cri.start_container(&second_sandbox, &second, container("app", 0, vec![]));
    node.netchaos("list --container app").fails_with(1).says(&[
        "each of these containers",
        &app,
        &twin,
    ]);
    node.netchaos("list --pod shop/cart-1")
        .ok()
        .says(&["no experiments"]);
    cri.stop_container(&twin);
    node.netchaos("list --container app").ok().says(&["cut"]);
    node.netchaos(&format!("list --container {twin}"))
        .fails_with(1)
        .says(&["does not run", "exited"]);

    // Restarted in its sandbox.
    cri.stop_container(&app);
    node.netchaos("list --pod shop/cart-0").ok().says(&["cut"]);
    cri.start_container(&sandbox, &config, container("app", 1, vec![mount]));
    node.netchaos("list --container app").ok().says(&["cut"]);
    assert_cut(GATEWAY);
    node.netchaos("remove cut --pod shop/cart-0").ok();
    Snapshot::of(&network).assert_same_as(&before);

    // The pod is made anew, by the same name.
    node.netchaos(&format!(
        "add cut --partition --to {GATEWAY} --pod shop/cart-0"
    ))
    .ok();
    cri.stop_pod(&sandbox);
    node.netchaos("list --pod shop/cart-0")
        .fails_with(1)
        .says(&["does not run", "sandbox"]);
    cri.remove_pod(&sandbox);
    node.netchaos("list --pod shop/cart-0")
        .fails_with(1)
        .says(&[
            "no pod shop/cart-0 on this node",
            "did you mean \"shop/cart-1\"?",
        ]);
    node.netchaos(&format!("list --pod {}", UIDS[0]))
        .fails_with(1)
        .says(&["no process"]);
    cri.run_pod(&pod(&node, "cart-0", UIDS[2], 0));
    node.netchaos("list --pod shop/cart-0")
        .ok()
        .says(&["no experiments"]);
}

#[test]
fn a_pod_in_the_nodes_network_is_refused_unless_asked_in_words() {
    if !can_run(&[]) {
        return;
    }
    let node = Node::start();
    let mut cri = node.cri();
    cri.run_pod(&pod(&node, "proxy", UIDS[0], 2));
    for place in ["--pod shop/proxy".to_owned(), format!("--pod {}", UIDS[0])] {
        node.netchaos(&format!(
            "add cut --partition --to 10.77.0.3 --device lo {place}"
        ))
        .fails_with(1)
        .says(&["pod", "host's network namespace", "--host-network"]);
        node.netchaos(&format!("list {place} --host-network"))
            .ok()
            .says(&["no experiments"]);
    }
}

#[test]
fn without_a_runtime_the_message_says_which_were_asked() {
    if !can_run(&[]) {
        return;
    }
    netchaos(&["list", "--pod", "shop/cart-0"])
        .fails_with(1)
        .says(&[
            "no pod shop/cart-0",
            "not there",
            "/run/containerd/containerd.sock",
        ]);
    netchaos(&["list", "--container", "nobody"])
        .fails_with(1)
        .says(&[
            "no container \"nobody\"",
            "not there",
            "/run/docker.sock",
            "/run/podman/podman.sock",
        ]);
}
