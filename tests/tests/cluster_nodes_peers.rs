//! Faults among four real pods on two real nodes, with netchaos as `deploy/` installs it.

use netchaos_tests::kubernetes::Peers;

netchaos_tests::four_peers!(Peers::on_nodes());
