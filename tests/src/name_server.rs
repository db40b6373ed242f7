//! A name server inside a namespace (RFC 1035, UDP).

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record},
};

use crate::netns::Netns;

/// Knows the addresses of some names; every other name does not exist. Ends when dropped.
pub struct NameServer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Answers on port 53 of an address of the namespace.
    ///
    /// # Panics
    /// When the port is taken, or a name is none.
    pub fn start(netns: &Netns, at: IpAddr, names: &[(&str, &[&str])]) -> Self {
        let zone: Vec<(Name, Vec<IpAddr>)> = names
            .iter()
            .map(|(name, addresses)| {
                let parse = |address: &&str| address.parse().expect("an address");
                (
                    Name::from_ascii(name).expect("a name"),
                    addresses.iter().map(parse).collect(),
                )
            })
            .collect();
        let socket = netns.run(|| UdpSocket::bind(SocketAddr::new(at, 53)));
        let socket = socket.expect("the port is free");
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("it is not zero");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = netns.start(move || serve(&socket, &zone, &stopped));
        Self {
            stop,
            thread: Some(thread),
        }
    }
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

fn serve(socket: &UdpSocket, zone: &[(Name, Vec<IpAddr>)], stop: &AtomicBool) {
    let mut bytes = [0; 1500];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut bytes) else {
            continue;
        };
        let question = Message::from_vec(&bytes[..length]).expect("a question");
        let answer = answer(question, zone).to_vec().expect("a short answer");
        // An answer that cannot be sent is one that does not come.
        let _ = socket.send_to(&answer, from);
    }
}

fn answer(question: Message, zone: &[(Name, Vec<IpAddr>)]) -> Message {
    let query = question.queries[0].clone();
    let mut answer = question.into_response();
    let Some((name, addresses)) = zone.iter().find(|(name, _)| name == query.name()) else {
        answer.metadata.response_code = ResponseCode::NXDomain;
        return answer;
    };
    for address in addresses {
        let data = RData::from(*address);
        if data.record_type() == query.query_type() {
            answer.add_answer(Record::from_rdata(name.clone(), 60, data));
        }
    }
    answer
}
