//! Frames of every shape, rules, and a plain reference that says what becomes of the one by the other:
//! for the tests of the classifiers in the kernel, and for fuzzing what user space has of it.

pub mod laid;
pub mod reference;
pub mod rules;
pub mod shapes;
