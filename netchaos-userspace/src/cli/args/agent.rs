use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

/// `netchaos agent`.
#[derive(Args, Debug)]
pub struct Agent {
    /// The node whose pods are in its hands
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    pub node: String,
    /// Where the Lease of the agents' leader is
    #[arg(
        long,
        value_name = "NAMESPACE",
        env = "POD_NAMESPACE",
        default_value = "netchaos"
    )]
    pub namespace: String,
    /// API group of the NetworkChaos objects
    #[arg(long, value_name = "GROUP", default_value = "chaos-mesh.org")]
    pub group: String,
    /// How long a fault without a duration goes on when no agent renews it, 10s or more
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub lease: String,
    /// Where /metrics, /healthz and /readyz are served
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:9797")]
    pub listen: SocketAddr,
    /// Where the command line on the node is served
    #[arg(long, value_name = "PATH", default_value = crate::door::SOCKET)]
    pub socket: PathBuf,
    /// A group, by its number, that may use the socket beside root
    #[arg(long, value_name = "GID")]
    pub socket_group: Option<u32>,
    /// Put faults on pods of the host's network too: they hit the whole node
    #[arg(long)]
    pub allow_host_network: bool,
}
