use super::*;

#[test]
fn a_named_namespace_is_known_by_its_path_too() {
    assert_eq!(name_of("blue"), Some("blue"));
    assert_eq!(name_of("/run/netns/blue"), Some("blue"));
    assert_eq!(name_of("/var/run/netns/blue"), Some("blue"));
    assert_eq!(name_of("/proc/1/ns/net"), None);
}

#[test]
fn a_pod_is_named_by_namespace_and_name_or_by_its_uid() {
    let named = PodName::Named {
        namespace: "default".into(),
        name: "web-0".into(),
    };
    assert_eq!("default/web-0".parse(), Ok(named));
    for uid in [
        "d64f80ba-0ce3-4bd4-8f21-9a1f2b3c4d5e",
        "c57a1ab1a03a1fa1a7d8a1fd4ac2a1d7",
    ] {
        assert_eq!(uid.parse(), Ok(PodName::Uid(uid.into())));
    }
    for wrong in ["", "web-0", "/web-0", "default/", "a/b/c"] {
        assert!(
            PodName::from_str(wrong)
                .unwrap_err()
                .contains("NAMESPACE/NAME"),
            "{wrong}"
        );
    }
}

#[test]
fn the_names_of_places_can_be_told_apart() {
    let shown = |wanted: Where| wanted.to_string();
    let container = Where::Container {
        name: "web".into(),
        host_network: false,
    };
    let pod = Where::Pod {
        name: "default/web-0".parse().unwrap(),
        host_network: true,
    };
    assert_eq!(shown(container), "container web");
    assert_eq!(shown(pod), "pod default/web-0");
}

#[test]
fn the_current_namespace_is_among_all_and_once() {
    let own = Namespace::current().unwrap().inode();
    let all: Vec<_> = everywhere()
        .filter_map(|(wanted, place)| Some((wanted, place.ok()?.namespace.inode())))
        .collect();
    let here: Vec<_> = all.iter().filter(|(_, inode)| *inode == own).collect();
    assert_eq!(here.len(), 1, "{all:?}");
    let mut inodes: Vec<_> = all.iter().map(|(_, inode)| inode).collect();
    inodes.sort_unstable();
    inodes.dedup();
    assert_eq!(inodes.len(), all.len(), "{all:?}");
}

#[test]
fn who_has_no_process_here_is_told_so() {
    let nobody = "00000000-0000-4000-8000-000000000000";
    let error = Place::of_pod(nobody, false).err().unwrap().to_string();
    assert!(error.contains(nobody) && error.contains("/proc"), "{error}");
}
