//! The only I/O with the kernel. It knows devices, qdiscs, filters, maps, namespaces and processes,
//! and no experiment: what they mean is decided in `plan` and put together in `engine`.

pub mod bpf;
pub mod clock;
pub mod iptables;
pub mod netlink;
pub mod netns;
pub mod process;
pub mod rights;
