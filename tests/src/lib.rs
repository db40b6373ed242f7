//! Rigs and probes for the tests that need root: namespaces to put faults in, and measurements of
//! what packets meet there.
//!
//! But for `fuzz` and `packets::laid`, nothing here uses netchaos' own code for what it looks at: namespaces and qdiscs are made and
//! read with iproute2, packets are sent and timed with plain sockets. Everything panics on
//! trouble, since a rig that does not stand is a failed test.

pub mod command;
pub mod counted;
pub mod cri;
pub mod directions;
pub mod foreign;
pub mod fuzz;
pub mod hops;
pub mod kubernetes;
pub mod lab;
pub mod ledger;
pub mod lost;
pub mod meta;
pub mod model;
pub mod name_server;
pub mod netchaos;
pub mod netns;
pub mod no_children;
pub mod node;
pub mod packets;
pub mod probe;
pub mod random;
pub mod requires;
pub mod rights;
pub mod rival;
pub mod rounds;
pub mod running;
pub mod settings;
pub mod snapshot;
pub mod statistics;
pub mod stepped;
pub mod upgrade;
