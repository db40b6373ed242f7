use super::*;

const ID: &str = "3f4a1b0c9d8e7f605142332415060718293a4b5c6d7e8f90a1b2c3d4e5f60718";
const OUTER: &str = "aaaa1b0c9d8e7f605142332415060718293a4b5c6d7e8f90a1b2c3d4e5f6aaaa";
const UID: &str = "d64f80ba-0ce3-4bd4-8f21-9a1f2b3c4d5e";
const STATIC: &str = "c57a1ab1a03a1fa1a7d8a1fd4ac2a1d7";

fn owners(text: &str) -> Owners {
    let slice = UID.replace('-', "_");
    let text = text.replace("<id>", ID).replace("<outer>", OUTER);
    Owners::of(
        &text
            .replace("<slice>", &slice)
            .replace("<uid>", UID)
            .replace("<static>", STATIC),
    )
}

/// Paths as the runtimes make them for the container [`ID`].
const CONTAINERS: [(&str, &str); 22] = [
    (
        "docker, cgroupfs, v1",
        "12:pids:/docker/<id>\n1:name=systemd:/docker/<id>\n",
    ),
    (
        "docker, systemd, v1",
        "4:memory:/system.slice/docker-<id>.scope\n",
    ),
    (
        "docker, systemd, v2",
        "0::/system.slice/docker-<id>.scope\n",
    ),
    ("docker, cgroupfs, v2", "0::/docker/<id>\n"),
    ("docker, a cgroup made inside", "0::/docker/<id>/init\n"),
    (
        "docker, hybrid",
        "11:cpu,cpuacct:/docker/<id>\n0::/system.slice/containerd.service\n",
    ),
    (
        "docker, rootless",
        "0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-<id>.scope\n",
    ),
    (
        "containerd, kubelet, cgroupfs",
        "9:pids:/kubepods/burstable/pod<uid>/<id>\n",
    ),
    (
        "the same of a guaranteed pod",
        "9:pids:/kubepods/pod<uid>/<id>\n",
    ),
    (
        "containerd, kubelet, systemd",
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<slice>.slice/cri-containerd-<id>.scope\n",
    ),
    (
        "the same of a guaranteed pod",
        "0::/kubepods.slice/kubepods-pod<slice>.slice/cri-containerd-<id>.scope\n",
    ),
    (
        "containerd, systemd's form in cgroupfs",
        "2:cpuset:/system.slice/containerd.service/kubepods-besteffort-pod<slice>.slice:cri-containerd:<id>\n",
    ),
    (
        "CRI-O, systemd",
        "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod<slice>.slice/crio-<id>.scope\n",
    ),
    (
        "CRI-O, crun",
        "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod<slice>.slice/crio-<id>.scope/container\n",
    ),
    (
        "CRI-O, cgroupfs",
        "0::/kubepods/besteffort/pod<uid>/crio-<id>\n",
    ),
    (
        "podman, systemd, v1",
        "12:devices:/machine.slice/libpod-<id>.scope\n",
    ),
    (
        "podman, systemd, v2",
        "0::/machine.slice/libpod-<id>.scope/container\n",
    ),
    ("podman, cgroupfs", "0::/libpod_parent/libpod-<id>\n"),
    (
        "podman, in a pod of podman's",
        "0::/machine.slice/machine-libpod_pod_<outer>.slice/libpod-<id>.scope/container\n",
    ),
    ("nerdctl", "0::/system.slice/nerdctl-<id>.scope\n"),
    (
        "seen from a pod's own cgroup namespace",
        "0::/../../kubepods-besteffort-pod<slice>.slice/cri-containerd-<id>.scope\n",
    ),
    ("the same, cgroupfs", "0::/../../pod<uid>/<id>\n"),
];

#[test]
fn each_runtimes_paths_have_the_id_and_the_pods_uid() {
    for (what, text) in CONTAINERS {
        let owners = owners(text);
        assert_eq!(owners.containers(), [ID], "{what}: {owners:?}");
        let in_pod = text.contains("<uid>") || text.contains("<slice>");
        assert_eq!(
            owners.container_in_pod(UID),
            in_pod.then_some(ID),
            "{what}: {owners:?}"
        );
        let owner = if in_pod {
            Owner::Pod(UID.into())
        } else {
            Owner::Container(ID.into())
        };
        assert_eq!(owners.innermost(), Some(owner), "{what}");
    }
}

#[test]
fn a_kubelets_own_parent_and_static_pods_are_known() {
    let kind = "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/\
                kubelet-kubepods-burstable-pod<static>.slice/cri-containerd-<id>.scope\n";
    assert_eq!(owners(kind).container_in_pod(STATIC), Some(ID));
    let root = "9:pids:/n1/kubepods/burstable/pod<static>/<id>\n";
    assert_eq!(owners(root).container_in_pod(STATIC), Some(ID));
}

#[test]
fn what_watches_over_a_container_is_not_in_it() {
    for text in [
        "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod<slice>.slice/crio-conmon-<id>.scope\n",
        "0::/kubepods/besteffort/pod<uid>/crio-conmon-<id>\n",
        "0::/machine.slice/libpod-conmon-<id>.scope\n",
        "12:devices:/libpod_parent/conmon\n",
    ] {
        let owners = owners(text);
        assert!(owners.containers().is_empty(), "{text}: {owners:?}");
        assert_eq!(owners.container_in_pod(UID), None, "{text}");
        assert_eq!(owners.innermost(), None, "{text}");
    }
    // A shim that was put into the pod's cgroup, beside its containers.
    let shim = owners("0::/kubepods/burstable/pod<uid>\n");
    assert_eq!(shim.container_in_pod(UID), None);
}

#[test]
fn a_container_in_a_container_is_in_both() {
    let inner = owners("0::/docker/<outer>/docker/<id>\n");
    assert!(inner.is_in_container(ID) && inner.is_in_container(OUTER));
    assert_eq!(inner.innermost(), Some(Owner::Container(ID.into())));
    let kind = owners("0::/docker/<outer>/kubelet/kubepods/besteffort/pod<uid>/<id>\n");
    assert!(kind.is_in_container(OUTER));
    assert_eq!(kind.container_in_pod(UID), Some(ID));
}

#[test]
fn names_that_are_no_ids_count_where_ctr_puts_them() {
    for (text, name) in [
        ("10:memory:/default/web\n0::/\n", Some("web")),
        ("0::/default/web/inner\n", Some("web")),
        ("0::/../../default/web\n", Some("web")),
        ("0::/kubepods/burstable/pod<uid>/pause\n", Some("pause")),
        ("0::/user.slice/user-1000.slice/session-2.scope\n", None),
        ("0::/system.slice/ssh.service\n", None),
        ("0::/init.scope\n", None),
        ("0::/web\n", None),
        ("0::/\n", None),
        ("", None),
        ("no cgroup", None),
    ] {
        assert_eq!(owners(text).containers().first().copied(), name, "{text}");
    }
}

#[test]
fn what_only_looks_like_an_id_or_uid_is_none() {
    assert!(is_id(ID) && !is_id(&ID[1..]) && !is_id(&ID.replace('3', "G")));
    assert!(is_uid(UID) && is_uid(STATIC));
    for no_uid in [
        "",
        "podman",
        &UID[1..],
        &UID.replace('-', "_"),
        "d64f80ba0ce3-4bd4-8f21-9a1f-2b3c4d5e",
    ] {
        assert!(!is_uid(no_uid), "{no_uid}");
    }
    assert_eq!(owners("0::/podman-3.scope/podcast\n").innermost(), None);
}
