//! What a machine needs before netchaos can be built and tried. Each step is skipped when it is done already.

pub mod apt;
pub mod go;
pub mod kernels;
pub mod linker;
pub mod packages;
pub mod standalone;
pub mod toolchain;
