//! netchaos: network faults for containers, pods and hosts by eBPF.

#[cfg(feature = "agent")]
pub mod agent;
pub mod cli;
pub mod door;
pub mod engine;
pub mod experiment;
pub mod kernel;
pub mod names;
pub mod place;
pub mod plan;
pub mod qdisc;
