//! A way to the API server that can be cut.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns};

use super::variable;

/// How the way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Way {
    Open,
    /// Nobody listens, and those who were connected are reset.
    Refused,
    /// Nothing gets through, and nobody is told.
    BlackHole,
    /// It is taken away.
    Gone,
}

/// Forwards connections in the cluster's network, until dropped.
pub struct Proxy {
    address: SocketAddr,
    way: Arc<AtomicU8>,
    listening: Option<thread::JoinHandle<()>>,
}

/// A cut is noticed within this.
const TICK: Duration = Duration::from_millis(5);

impl Proxy {
    /// # Panics
    /// When it cannot listen.
    pub fn start() -> Self {
        let way = Arc::new(AtomicU8::new(Way::Open as u8));
        let of_thread = Arc::clone(&way);
        let (send, receive) = std::sync::mpsc::channel();
        let listening = thread::spawn(move || {
            let netns = File::open(variable("CLUSTER_NETNS")).expect("it is there");
            setns(netns, CloneFlags::CLONE_NEWNET).expect("root can enter a namespace");
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
            let address = listener.local_addr().expect("it has one");
            send.send(address).expect("somebody waits for it");
            listen(listener, address, &of_thread);
        });
        Self {
            address: receive.recv().expect("the thread listens"),
            way,
            listening: Some(listening),
        }
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The API server (xtask/src/cluster/network.rs).
    pub fn server() -> SocketAddr {
        SocketAddr::from(([10, 77, 0, 10], 6443))
    }

    pub fn set(&self, way: Way) {
        self.way.store(way as u8, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Way::Gone);
        let ended = self.listening.take().map(thread::JoinHandle::join);
        assert!(
            thread::panicking() || ended.is_some_and(|ended| ended.is_ok()),
            "the proxy has panicked"
        );
    }
}

fn is(way: &AtomicU8, wanted: Way) -> bool {
    way.load(Ordering::SeqCst) == wanted as u8
}

fn listen(listener: TcpListener, address: SocketAddr, way: &Arc<AtomicU8>) {
    let mut listener = Some(listener);
    while !is(way, Way::Gone) {
        if is(way, Way::Refused) {
            listener = None;
        } else if is(way, Way::Open) {
            let open =
                listener.get_or_insert_with(|| TcpListener::bind(address).expect("it was ours"));
            open.set_nonblocking(true).expect("Linux has it");
            while let Ok((stream, _)) = open.accept() {
                stream.set_nonblocking(false).expect("Linux has it");
                let server = TcpStream::connect(Proxy::server()).expect("the API server is there");
                let ends = [(&stream, &server), (&server, &stream)];
                for (from, to) in ends {
                    let clone = |stream: &TcpStream| stream.try_clone().expect("it can be shared");
                    let (from, to, way) = (clone(from), clone(to), Arc::clone(way));
                    thread::spawn(move || forward(from, to, &way));
                }
            }
        }
        thread::sleep(TICK);
    }
}

/// Carries what one says to the other as long as it may.
fn forward(mut from: TcpStream, mut to: TcpStream, way: &AtomicU8) {
    from.set_read_timeout(Some(TICK)).expect("it is not zero");
    let mut bytes = [0; 16 << 10];
    loop {
        if is(way, Way::Refused) || is(way, Way::Gone) {
            break;
        }
        if is(way, Way::BlackHole) {
            thread::sleep(TICK);
            continue;
        }
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => {
                // What was on its way when the way was cut arrives when it is open again.
                while is(way, Way::BlackHole) {
                    thread::sleep(TICK);
                }
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    // The other one may have done it already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
