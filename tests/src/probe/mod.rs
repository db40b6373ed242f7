//! Measuring what packets meet on their way. A probe runs on the calling thread, in whatever
//! namespace that is in: see [`Netns::run`](crate::netns::Netns::run).

mod counters;
mod each_to_each;
mod echo;
mod flow;
mod flowed;
mod frames;
mod line;
mod neighbour;
mod partition;
mod raw;
mod reach;
mod round_trip;
mod tcp;
mod way;

pub use self::{
    counters::{Device, Udp, class_packets, device, filter_packets, find, netem_queue, udp},
    each_to_each::each_to_each,
    echo::EchoServer,
    flow::{Flow, Options, Sink, realtime},
    flowed::Flowed,
    frames::{Capture, leave_checksums_out},
    line::Line,
    neighbour::{arp_round_trips, neighbour_discovery_round_trips},
    partition::{answers, assert_silent},
    raw::raw_delays,
    reach::{Reach, Reached},
    round_trip::{
        RoundTrips, SLACK, assert_delayed, assert_prompt, ping_round_trips, udp_between,
        udp_round_trips, udp_round_trips_of, udp_to,
    },
    tcp::{TcpServer, tcp_connects, tcp_push, tcp_transfer},
    way::assert_delays,
};
