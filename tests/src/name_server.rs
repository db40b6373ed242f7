//! A name server inside a namespace (RFC 1035, UDP).

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record},
};

use crate::netns::Netns;

/// The names that there are, and their addresses.
type Zone = Vec<(Name, Vec<IpAddr>)>;

/// Knows the addresses of some names; every other name does not exist. Ends when dropped.
pub struct NameServer {
    zone: Arc<Mutex<Zone>>,
    asked: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Answers on port 53 of an address of the namespace, with records that live for a minute.
    ///
    /// # Panics
    /// When the port is taken, or a name is none.
    pub fn start(netns: &Netns, at: IpAddr, names: &[(&str, &[&str])]) -> Self {
        Self::start_with_ttl(netns, at, names, 60)
    }

    /// As [`Self::start`], with records that live for so many seconds.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with_ttl(netns: &Netns, at: IpAddr, names: &[(&str, &[&str])], ttl: u32) -> Self {
        let socket = netns.run(|| UdpSocket::bind(SocketAddr::new(at, 53)));
        let socket = socket.expect("the port is free");
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("it is not zero");
        let zone = Arc::new(Mutex::new(zone(names)));
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicU64::new(0));
        let server = Server {
            socket,
            zone: zone.clone(),
            asked: asked.clone(),
            ttl,
        };
        let stopped = stop.clone();
        Self {
            zone,
            asked,
            stop,
            thread: Some(netns.start(move || server.serve(&stopped))),
        }
    }

    /// From now on these names are the only ones.
    ///
    /// # Panics
    /// When a name is none.
    pub fn set(&self, names: &[(&str, &[&str])]) {
        *self.zone.lock().expect("the server does not panic") = zone(names);
    }

    /// How many questions have come so far.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

fn zone(names: &[(&str, &[&str])]) -> Zone {
    let parse = |address: &&str| address.parse().expect("an address");
    let entry = |(name, addresses): &(&str, &[&str])| {
        let name = Name::from_ascii(name).expect("a name");
        (name, addresses.iter().map(parse).collect())
    };
    names.iter().map(entry).collect()
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panicked: the test has seen names that do not resolve.
            let _ = thread.join();
        }
    }
}

struct Server {
    socket: UdpSocket,
    zone: Arc<Mutex<Zone>>,
    asked: Arc<AtomicU64>,
    ttl: u32,
}

impl Server {
    fn serve(&self, stop: &AtomicBool) {
        let mut bytes = [0; 1500];
        while !stop.load(Ordering::Relaxed) {
            let Ok((length, from)) = self.socket.recv_from(&mut bytes) else {
                continue;
            };
            self.asked.fetch_add(1, Ordering::Relaxed);
            let question = Message::from_vec(&bytes[..length]).expect("a question");
            let answer = self.answer(question).to_vec().expect("a short answer");
            // An answer that cannot be sent is one that does not come.
            let _ = self.socket.send_to(&answer, from);
        }
    }

    fn answer(&self, question: Message) -> Message {
        let query = question.queries[0].clone();
        let mut answer = question.into_response();
        let zone = self.zone.lock().expect("nobody panics with it");
        let Some((name, addresses)) = zone.iter().find(|(name, _)| name == query.name()) else {
            answer.metadata.response_code = ResponseCode::NXDomain;
            return answer;
        };
        for address in addresses {
            let data = RData::from(*address);
            if data.record_type() == query.query_type() {
                answer.add_answer(Record::from_rdata(name.clone(), self.ttl, data));
            }
        }
        answer
    }
}
