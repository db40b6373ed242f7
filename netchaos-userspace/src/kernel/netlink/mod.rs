//! rtnetlink (rtnetlink(7)) as netchaos uses it. The only user of the netlink crates.

#[doc(hidden)]
pub mod decode;
mod encode;
mod error;
mod filter;
mod link;
pub mod netfilter;
mod qdisc;
mod route;

use std::io;

use futures_util::StreamExt as _;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::sys::AsyncSocket as _;
use tokio::task::JoinHandle;

pub use self::{
    error::Error,
    filter::{Filter, Hook},
    link::{Link, NewLink},
    qdisc::{Device, Qdisc, QdiscStatistics},
};

/// How a request treats what is there already.
#[derive(Clone, Copy)]
enum Mode {
    /// There must be none.
    Create,
    /// There must be one.
    Change,
    Delete,
}

impl Mode {
    const fn flags(self) -> u16 {
        match self {
            Self::Create => NLM_F_CREATE | NLM_F_EXCL,
            Self::Change | Self::Delete => 0,
        }
    }
}

/// A connection to the kernel's routing part in the namespace of the thread that opened it.
pub struct Netlink {
    handle: rtnetlink::Handle,
    connection: JoinHandle<()>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Netlink {
    /// Opens a connection in the calling thread's namespace. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// The kernel gives no netlink socket.
    pub fn connect() -> io::Result<Self> {
        let (mut connection, handle, _) = rtnetlink::new_connection()?;
        // The kernel's own sentence is the best error text there is (netlink(7), NETLINK_EXT_ACK).
        connection.socket_mut().socket_mut().set_ext_ack(true)?;
        Ok(Self {
            handle,
            connection: tokio::spawn(connection),
        })
    }

    /// Sends a request that is answered by "done" or an error.
    async fn send(
        &self,
        what: impl FnOnce() -> String,
        message: RouteNetlinkMessage,
        mode: Mode,
    ) -> Result<(), Error> {
        self.exchange(message, NLM_F_ACK | mode.flags())
            .await
            .map(drop)
            .map_err(|kernel| Error::refused(what(), kernel))
    }

    /// Sends a request that is answered by a list.
    async fn dump(
        &self,
        what: impl FnOnce() -> String,
        message: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, Error> {
        self.exchange(message, NLM_F_DUMP)
            .await
            .map_err(|kernel| Error::refused(what(), kernel))
    }

    async fn exchange(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, error::Kernel> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        let mut handle = self.handle.clone();
        let mut answers = handle.request(request).map_err(error::Kernel::from_send)?;
        let mut list = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => list.push(message),
                NetlinkPayload::Error(error) if error.code.is_some() => {
                    return Err(error::Kernel::from_answer(&error));
                }
                _ => {}
            }
        }
        Ok(list)
    }
}
