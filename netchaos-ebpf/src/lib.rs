//! Nothing: cargo wants a library to see that the userspace crate's build depends on this one.
#![no_std]
