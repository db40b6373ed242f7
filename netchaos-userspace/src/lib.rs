pub static X: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/netchaos-classifier"));

pub mod names;
