//! Host names -> addresses, in the place's own view.
//!
//! A name means what it means to the programs that run in the place: its own hosts file first,
//! then its own name servers with its own search list (resolv.conf(5)), asked from within its
//! network namespace. Two things differ from the C library, both for the sake of a complete
//! answer: A and AAAA must both have been answered (a fault on one family alone would let the
//! other pass), and there is a bound on the time that one name may take.
//!
//! Not looked at: nsswitch.conf (the order is always hosts file, DNS) and the host name's own
//! domain where resolv.conf has neither `search` nor `domain`.

use std::{io, net::IpAddr, path::PathBuf, time::Duration};

use hickory_resolver::{
    config::{ResolverConfig, ResolverOpts},
    net::NetError,
    system_conf::parse_resolv_conf,
};

pub use self::lookup::{LONGEST, resolve, resolve_all, resolve_each};

mod files;
mod hosts;
mod lookup;

/// The files that give host names their meaning in one place.
pub struct View {
    /// The text of the hosts file.
    hosts: String,
    servers: ResolverConfig,
    options: ResolverOpts,
    /// The hosts file as a person would name it, for messages.
    hosts_path: PathBuf,
}

/// What a host name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// IPv4 and IPv6, sorted, each once, never empty. An IPv4-mapped IPv6 address stands here as
    /// the IPv4 address that such packets really carry.
    pub addresses: Vec<IpAddr>,
    /// The shortest time to live among the records; none for a name out of the hosts file.
    pub ttl: Option<Duration>,
}

/// Why a host name gives no addresses. Says what was asked where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0:?} is no name of a network namespace: a name is one file under /run/netns")]
    Namespace(String),
    #[error("process {pid} has no root directory to read resolv.conf and hosts from: {source}")]
    Process { pid: u32, source: io::Error },
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{} is not a regular file; a host name's meaning is only read from a plain file",
        path.display()
    )]
    NotAFile { path: PathBuf },
    #[error("{} is longer than the {limit} bytes that are read of it", path.display())]
    TooLong { path: PathBuf, limit: u64 },
    #[error("cannot make sense of {}: {problem}", path.display())]
    Configuration {
        path: PathBuf,
        /// Without what a terminal would obey: the file is of whoever is inside.
        problem: String,
    },
    #[error("{name:?} is no host name: {source}")]
    Name { name: String, source: NetError },
    #[error(
        "{name} has no address, neither IPv4 nor IPv6: it is not in {}, and {asked}; \
         correct the name, add it to that file, or give an address", hosts_path.display()
    )]
    NoAddress {
        name: String,
        hosts_path: PathBuf,
        asked: String,
    },
    #[error(
        "cannot find out all addresses of {name}: it is not in {}, and {asked}; \
         see that the name server can be reached from within the place, add the name to that \
         file, or give an address", hosts_path.display()
    )]
    Unanswered {
        name: String,
        hosts_path: PathBuf,
        asked: String,
    },
}

impl View {
    /// What `ip netns exec NAME` shows: each file from `/etc/netns/NAME/` where it is there, else
    /// from `/etc/` (ip-netns(8)).
    ///
    /// # Errors
    ///
    /// [`Error::Namespace`], or a file that is there and cannot be used.
    pub fn of_named_namespace(name: &str) -> Result<Self, Error> {
        if matches!(name, "" | "." | "..") || name.contains('/') {
            return Err(Error::Namespace(name.to_owned()));
        }
        Self::read(
            &files::Root::host()?,
            &[&format!("etc/netns/{name}"), "etc"],
        )
    }

    /// What the process sees as `/etc/`, in its own mount namespace and root. None of its symbolic
    /// links leads out of there.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] where there is no such process, or a file that cannot be used.
    pub fn of_process(pid: u32) -> Result<Self, Error> {
        Self::read(&files::Root::of_process(pid)?, &["etc"])
    }

    /// What netchaos itself sees as `/etc/`.
    ///
    /// # Errors
    ///
    /// A file that is there and cannot be used.
    pub fn of_host() -> Result<Self, Error> {
        Self::read(&files::Root::host()?, &["etc"])
    }

    /// What the hosts file alone says of a name, for fuzzing: nobody is asked.
    #[doc(hidden)]
    pub fn in_hosts_file(&self, name: &str) -> Option<Resolved> {
        lookup::in_hosts_file(self, name)
    }

    /// Takes each file from the first of `folders` that has it; a file that none has is empty.
    fn read(root: &files::Root, folders: &[&str]) -> Result<Self, Error> {
        let (resolv_conf, resolv_path) = root.first_text(folders, "resolv.conf")?;
        let (hosts, hosts_path) = root.first_text(folders, "hosts")?;
        Self::parse(&resolv_conf, resolv_path, &hosts, hosts_path)
    }

    /// What the texts of both files say; the paths are for messages.
    ///
    /// # Errors
    ///
    /// A text that cannot be used.
    pub fn parse(
        resolv_conf: &[u8],
        resolv_path: PathBuf,
        hosts: &[u8],
        hosts_path: PathBuf,
    ) -> Result<Self, Error> {
        let (servers, options) =
            configuration(resolv_conf).map_err(|error| Error::Configuration {
                path: resolv_path,
                problem: error.to_string().escape_debug().to_string(),
            })?;
        let hosts = str::from_utf8(hosts).map_err(|error| Error::Read {
            path: hosts_path.clone(),
            source: io::Error::new(io::ErrorKind::InvalidData, error),
        })?;
        Ok(Self {
            hosts: hosts.to_owned(),
            servers,
            options,
            hosts_path,
        })
    }
}

/// resolv.conf(5): "If no nameserver entries are present, the default is to use the name server on
/// the local machine."
fn configuration(resolv_conf: &[u8]) -> Result<(ResolverConfig, ResolverOpts), NetError> {
    // hickory refuses a file without servers, so that the local one goes last and comes off again
    // where there was another.
    let with_local = [resolv_conf, b"\nnameserver 127.0.0.1\n"].concat();
    let (mut servers, options) = parse_resolv_conf(with_local)?;
    if servers.name_servers.len() > 1 {
        servers.name_servers.pop();
    }
    // MAXNS of <resolv.h>: the C library asks no more than three.
    servers.name_servers.truncate(3);
    Ok((servers, options))
}

#[cfg(test)]
mod tests;
