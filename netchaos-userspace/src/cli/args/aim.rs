//! The flags that say which packets.

use clap::Args;

/// Which packets. They are text here, as those of a fault.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which packets")]
pub struct Aim {
    /// Whom it is aimed at: 1.2.3.4, 10.0.0.0/8, db.example.com, each also with :PORTS,
    /// [2001:db8::1]:80,8000-8100; @FILE reads them from a file and "-" from stdin, one per line
    #[arg(long, value_name = "TARGET", num_args = 1.., conflicts_with = "all_traffic")]
    pub to: Vec<String>,
    /// Aim it at everything but ARP, IPv6 neighbour discovery and DHCP
    #[arg(long)]
    pub all_traffic: bool,
    /// Whom it never touches, whatever it is aimed at; as with --to
    #[arg(long, value_name = "TARGET", num_args = 1..)]
    pub except: Vec<String>,
    /// Packets "to" the targets, "from" them, or "both"
    #[arg(long, value_name = "DIRECTION", default_value = "to")]
    pub direction: String,
    /// Only these ports of the targets, such as 80,443,8000-8100
    #[arg(long, value_name = "PORTS")]
    pub port: Vec<String>,
    /// Only these ports on this side
    #[arg(long, value_name = "PORTS")]
    pub local_port: Vec<String>,
    /// Only this protocol: tcp, udp, sctp, icmp, any, or a number
    #[arg(long, value_name = "PROTOCOL", value_delimiter = ',')]
    pub protocol: Vec<String>,
    /// Also what is spared otherwise: arp, nd, dhcp
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub include: Vec<String>,
}
