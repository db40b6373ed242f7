//! Asking: the hosts file, then each name of the search list of each name server in turn.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    net::IpAddr,
    time::Duration,
};

use futures_util::{StreamExt, future, stream};
use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig, ServerOrderingStrategy},
    lookup::Lookup,
    net::{DnsError, NetError, NoRecords, runtime::TokioRuntimeProvider},
    proto::{op::ResponseCode, rr::Name},
};
use tokio::time::timeout;

use super::{
    Error, Resolved, View,
    hosts::{self, InHosts},
};

/// The longest time that one name may take, all servers and search domains together.
pub const LONGEST: Duration = Duration::from_secs(5);

/// So many names are asked for at the same time.
const AT_ONCE: usize = 16;

/// The addresses of every name, or every name's error.
///
/// As [`resolve`] says of the thread it must run on. A list with the same name twice asks once.
///
/// # Errors
///
/// One [`Error`] for each name that cannot be resolved, in the names' order.
pub async fn resolve_all(
    view: &View,
    names: impl IntoIterator<Item = &str>,
) -> Result<BTreeMap<String, Resolved>, Vec<Error>> {
    let mut resolved = BTreeMap::new();
    let mut errors = Vec::new();
    for (name, answer) in resolve_each(view, names).await {
        match answer {
            Ok(addresses) => drop(resolved.insert(name, addresses)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(resolved)
    } else {
        Err(errors)
    }
}

/// Each name with its addresses or its own error.
///
/// As [`resolve`] says of the thread it must run on. A list with the same name twice asks once.
pub async fn resolve_each(
    view: &View,
    names: impl IntoIterator<Item = &str>,
) -> BTreeMap<String, Result<Resolved, Error>> {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let parsed = names.iter().filter_map(|name| parse(name).ok());
    let hosts = &hosts::find(&view.hosts, parsed);
    stream::iter(names)
        .map(async |name| (name.to_owned(), resolve_beside(view, hosts, name).await))
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// The addresses of one name: those of the hosts file where it has any, else those of the first
/// name of the search list that has any, both families.
///
/// Sockets are opened by the calling thread: it must have entered the place's network namespace
/// and drive a current-thread runtime with I/O and time.
///
/// # Errors
///
/// [`Error::NoAddress`] when the answer is that there is none, [`Error::Unanswered`] when there
/// was no answer within [`LONGEST`] (for one family suffices), [`Error::Name`] for what cannot be
/// a host name.
pub async fn resolve(view: &View, name: &str) -> Result<Resolved, Error> {
    let hosts = hosts::find(&view.hosts, parse(name).into_iter());
    resolve_beside(view, &hosts, name).await
}

fn parse(name: &str) -> Result<Name, Error> {
    Name::from_str_relaxed(name)
        .map_err(NetError::from)
        .and_then(|parsed| match parsed.num_labels() {
            0 => Err("it has no label".into()),
            _ => Ok(parsed),
        })
        .map_err(|source| Error::Name {
            name: name.to_owned(),
            source,
        })
}

/// As with the C library, one line of the hosts file settles the name for both families.
fn settled(hosts: &InHosts, name: &Name) -> Option<Resolved> {
    let addresses = hosts.get(&hosts::absolute(name.clone()))?;
    Some(Resolved {
        addresses: addresses.iter().copied().collect(),
        ttl: None,
    })
}

pub(super) fn in_hosts_file(view: &View, name: &str) -> Option<Resolved> {
    let name = parse(name).ok()?;
    let hosts = hosts::find(&view.hosts, [name.clone()].into_iter());
    settled(&hosts, &name)
}

/// Asks for a name that the hosts file has nothing of.
async fn resolve_beside(view: &View, hosts: &InHosts, name: &str) -> Result<Resolved, Error> {
    let parsed = parse(name)?;
    if let Some(found) = settled(hosts, &parsed) {
        return Ok(found);
    }

    let mut search = Search::new(view);
    let found = timeout(LONGEST, search.run(candidates(view, parsed))).await;
    let asked = search.report(found.is_err());
    let (name, hosts_path) = (name.to_owned(), view.hosts_path.clone());
    match found {
        Ok(Some(found)) => Ok(found),
        Ok(None) if search.failures.is_empty() => Err(Error::NoAddress {
            name,
            hosts_path,
            asked,
        }),
        Ok(None) | Err(_) => Err(Error::Unanswered {
            name,
            hosts_path,
            asked,
        }),
    }
}

/// What to ask for, in this order (resolv.conf(5), `search` and `ndots`).
fn candidates(view: &View, name: Name) -> Vec<Name> {
    if name.is_fqdn() {
        return vec![name];
    }
    let dots = usize::from(name.num_labels()).saturating_sub(1);
    let mut absolute = name.clone();
    absolute.set_fqdn(true);
    let searched = view.servers.search().iter();
    let mut list: Vec<Name> = searched
        // A domain that makes the name longer than 255 bytes cannot be the one that is meant.
        .filter_map(|domain| name.clone().append_domain(domain).ok())
        .filter(|candidate| *candidate != absolute)
        .collect();
    let place = if dots >= view.options.ndots {
        0
    } else {
        list.len()
    };
    list.insert(place, absolute);
    list
}

/// One name's way through candidates and servers, and what was met on it.
struct Search {
    /// In the order of resolv.conf, each a resolver of its own: like the C library, the next one
    /// is only asked when the one before gave no answer.
    servers: Vec<(String, TokioResolver)>,
    /// The addresses of all of them, those that fell silent too.
    all_servers: String,
    asked: Vec<Name>,
    /// "SERVER: reason", each once.
    failures: BTreeSet<String>,
}

/// What one server said about one name.
enum Answer {
    Addresses(Resolved),
    NoAddress,
    Failed(NetError),
}

impl Search {
    fn new(view: &View) -> Self {
        let servers = &view.servers.name_servers;
        // Each gets its share of the time, so that a dead first server leaves some for the next.
        let share = LONGEST / (servers.len() as u32 + 1);
        let servers: Vec<_> = servers
            .iter()
            .map(|server| (server_address(server), resolver(view, server, share)))
            .collect();
        let addresses: Vec<&str> = servers.iter().map(|(address, _)| &**address).collect();
        Self {
            all_servers: addresses.join(", "),
            servers,
            asked: Vec::new(),
            failures: BTreeSet::new(),
        }
    }

    /// None when no candidate has an address, as far as servers answered.
    async fn run(&mut self, candidates: Vec<Name>) -> Option<Resolved> {
        for candidate in candidates {
            if self.servers.is_empty() {
                break;
            }
            self.asked.push(candidate.clone());
            let mut silent = Vec::new();
            for (index, (server, resolver)) in self.servers.iter().enumerate() {
                match ask(resolver, &candidate).await {
                    Answer::Addresses(found) => return Some(found),
                    Answer::NoAddress => break,
                    Answer::Failed(error) => {
                        self.failures.insert(format!("{server}: {error}"));
                        if !matches!(error, NetError::Dns(_)) {
                            silent.push(index);
                        }
                    }
                }
            }
            // Who did not answer for one name is not waited for again at the next.
            for index in silent.into_iter().rev() {
                self.servers.remove(index);
            }
        }
        None
    }

    fn report(&self, out_of_time: bool) -> String {
        let names: Vec<String> = self.asked.iter().map(Name::to_string).collect();
        let mut text = format!("{} was asked for {}", self.all_servers, names.join(", "));
        let failures: Vec<&str> = self.failures.iter().map(String::as_str).collect();
        if !failures.is_empty() {
            let _ = write!(text, " ({})", failures.join("; "));
        }
        if out_of_time {
            let _ = write!(text, ", no complete answer within {} s", LONGEST.as_secs());
        }
        text
    }
}

/// A and AAAA of one absolute name, from one server.
async fn ask(resolver: &TokioResolver, name: &Name) -> Answer {
    let (v4, v6) = future::join(
        resolver.ipv4_lookup(name.clone()),
        resolver.ipv6_lookup(name.clone()),
    )
    .await;
    let mut lookups = Vec::new();
    for result in [v4, v6] {
        match result {
            Ok(lookup) => lookups.push(lookup),
            Err(NetError::Dns(DnsError::NoRecordsFound(NoRecords {
                response_code: ResponseCode::NoError | ResponseCode::NXDomain,
                ..
            }))) => {}
            Err(error) => return Answer::Failed(error),
        }
    }
    addresses(&lookups).map_or(Answer::NoAddress, Answer::Addresses)
}

/// The unspecified address, which some servers give for names they block, is no peer and is left
/// out.
fn addresses<'a>(lookups: impl IntoIterator<Item = &'a Lookup>) -> Option<Resolved> {
    let mut addresses = BTreeSet::new();
    let mut ttl = None;
    for record in lookups.into_iter().flat_map(Lookup::answers) {
        let lives = Duration::from_secs(record.ttl.into());
        ttl = Some(ttl.map_or(lives, |shortest: Duration| shortest.min(lives)));
        addresses.extend(record.data.ip_addr().map(|address| address.to_canonical()));
    }
    let addresses: Vec<IpAddr> = addresses
        .into_iter()
        .filter(|address| !address.is_unspecified())
        .collect();
    (!addresses.is_empty()).then_some(Resolved { addresses, ttl })
}

fn resolver(view: &View, server: &NameServerConfig, share: Duration) -> TokioResolver {
    let config = ResolverConfig::from_name_servers(vec![server.clone()]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    *options = view.options.clone();
    options.timeout = options.timeout.min(share);
    // Within that time hickory itself sends again; an attempt is another round of it.
    options.attempts = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    builder
        .build()
        .expect("only DNSSEC and TLS settings can fail to build, and neither is compiled in")
}

fn server_address(server: &NameServerConfig) -> String {
    let port = server.connections.first().map_or(53, |first| first.port);
    std::net::SocketAddr::new(server.ip, port).to_string()
}
