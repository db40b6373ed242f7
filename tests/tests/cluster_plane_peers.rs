//! Faults among four peers, through an API server and one agent.

use netchaos_tests::kubernetes::Peers;

netchaos_tests::four_peers!(Peers::on_plane());
