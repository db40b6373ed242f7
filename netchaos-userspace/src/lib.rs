//! netchaos: network faults for containers, pods and hosts by eBPF.

pub mod experiment;
pub mod kernel;
pub mod names;
pub mod plan;
pub mod qdisc;
