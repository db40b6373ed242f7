//! Whose a process is, by the names that container runtimes give to its cgroups. Pure.
//!
//! Every runtime puts a container into a cgroup of its own whose last folder has the container's
//! id, and every kubelet puts a pod's containers below a folder with the pod's uid. How the folders
//! are called depends on the runtime and on who makes them: systemd (`….slice/….scope`) or the
//! runtime itself (cgroupfs). Sources: `libcontainer/cgroups` of runc and `libcgroup` of crun,
//! `pkg/cri/server` of containerd, `internal/config/cgmgr` of CRI-O, `libpod/container_internal_linux.go`
//! of Podman, `pkg/kubelet/cm` of Kubernetes.

/// What a folder of a cgroup's path stands for. Other folders stand for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// A pod, by its uid with dashes.
    Pod(String),
    /// A container, by its id.
    Container(String),
    /// A runtime's own program that watches over a container. It is not in the container.
    Monitor,
}

/// A process' pods and containers, from the outside to the inside, by each of its hierarchies.
#[derive(Debug)]
pub(super) struct Owners(Vec<Vec<Part>>);

impl Owners {
    /// Reads `/proc/PID/cgroup` (cgroups(7)): lines `ID:CONTROLLERS:PATH`, of cgroup v1 one for each
    /// hierarchy, of v2 a single `0::PATH`. A path is seen from the reader's own cgroup namespace,
    /// and begins with `/..` where it lies outside.
    pub(super) fn of(text: &str) -> Self {
        let path = |line: &str| line.splitn(3, ':').nth(2).map(parts);
        Self(text.lines().filter_map(path).collect())
    }

    /// The ids of all containers that the process is in, each once.
    pub(super) fn containers(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = Vec::new();
        for part in self.0.iter().flatten() {
            if let Part::Container(id) = part
                && !ids.contains(&id.as_str())
            {
                ids.push(id);
            }
        }
        ids
    }

    pub(super) fn is_in_container(&self, id: &str) -> bool {
        self.containers().contains(&id)
    }

    /// The container of this pod that the process is in. What lies in the pod's cgroup beside its
    /// containers is not in the pod's namespaces.
    pub(super) fn container_in_pod(&self, uid: &str) -> Option<&str> {
        let pairs = self.0.iter().flat_map(|parts| parts.windows(2));
        pairs
            .filter_map(|pair| match pair {
                [Part::Pod(pod), Part::Container(id)] if pod == uid => Some(id.as_str()),
                _ => None,
            })
            .next()
    }

    /// The innermost pod or container, as a person would ask for it.
    pub(super) fn innermost(&self) -> Option<Owner> {
        let by_depth = self.0.iter().max_by_key(|parts| parts.len())?;
        match by_depth.as_slice() {
            [.., Part::Pod(uid), Part::Container(_)] => Some(Owner::Pod(uid.clone())),
            [.., Part::Container(id)] => Some(Owner::Container(id.clone())),
            _ => None,
        }
    }
}

/// A pod or a container, by what the kernel knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// By its id.
    Container(String),
    /// By its uid.
    Pod(String),
}

fn parts(path: &str) -> Vec<Part> {
    // A runtime that was told to use systemd's form and does not leaves it as
    // `kubepods-podUID.slice:cri-containerd:ID`.
    let folders: Vec<&str> = path
        .split(['/', ':'])
        .filter(|name| !name.is_empty())
        .collect();
    let mut parts: Vec<Part> = Vec::new();
    for folder in &folders {
        let below_pod = matches!(parts.last(), Some(Part::Pod(_)));
        match part(folder) {
            Some(part) => parts.push(part),
            // `cri-containerd` of that form is no container.
            None if below_pod && !path.contains(':') => {
                parts.push(Part::Container(stem(folder).to_owned()));
            }
            None => {}
        }
    }
    if parts.is_empty() {
        parts.extend(free_name(&folders));
    }
    parts
}

fn stem(folder: &str) -> &str {
    folder.strip_suffix(".scope").unwrap_or(folder)
}

fn part(folder: &str) -> Option<Part> {
    let name = stem(folder);
    let (head, tail) = name.rsplit_once('-').unwrap_or(("", name));
    if name.contains("conmon") {
        Some(Part::Monitor)
    } else if is_id(tail) && !head.ends_with("_pod") {
        Some(Part::Container(tail.to_owned()))
    } else {
        let slice = folder.strip_suffix(".slice").unwrap_or(folder);
        let uid = match slice.rsplit_once("-pod") {
            Some((_, uid)) => uid,
            None => slice.strip_prefix("pod")?,
        };
        // systemd takes a dash for the way down to another slice.
        let uid = uid.replace('_', "-");
        is_uid(&uid).then_some(Part::Pod(uid))
    }
}

/// The container of a path that has no id in it: `ctr run` and LXC use the names that they are
/// given, in `/NAMESPACE/NAME`. What systemd makes there ends as its units do.
fn free_name(folders: &[&str]) -> Option<Part> {
    let mut folders = folders.iter().skip_while(|folder| **folder == "..");
    let (space, name) = (folders.next()?, folders.next()?);
    let is_unit = |folder: &str| {
        [".slice", ".service", ".scope", ".mount", ".socket", ".swap"]
            .iter()
            .any(|end| folder.ends_with(end))
    };
    (!is_unit(space) && !is_unit(name)).then(|| Part::Container((*name).to_owned()))
}

/// Whether this is the id of a container as all but `ctr run` make them: 64 hexadecimal digits.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 64 && is_hexadecimal(text)
}

/// Whether this is a pod's uid: that of an object (RFC 9562), or the 32 hexadecimal digits that a
/// kubelet makes of a static pod's manifest.
pub(super) fn is_uid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let groups: Vec<&str> = text.split('-').collect();
    let is_of_object = groups.len() == lengths.len()
        && groups
            .iter()
            .zip(lengths)
            .all(|(group, length)| group.len() == length);
    (is_of_object || text.len() == 32) && groups.iter().all(|group| is_hexadecimal(group))
}

pub(super) fn is_hexadecimal(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
