//! Rigs and probes for the tests that need root.
