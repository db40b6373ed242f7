//! YAML as a tree that keeps what messages need: lines, the text of scalars, and keys given twice.
//!
//! Built from the parser's events, because every ready tree stops at the first problem or drops
//! the second of two equal keys. JSON is read too, as the subset of YAML 1.2 that it is.

mod fields;
mod tree;

#[cfg(test)]
mod tests;

pub(super) use self::{
    fields::{Field, Fields, Sink},
    tree::parse,
};
