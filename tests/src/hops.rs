//! What every hop on the way has counted, so that a packet lost by the rig is not taken for one lost by netchaos.

use crate::{
    lab::{DEVICE, Lab},
    probe::{Device, Flowed, Udp, device, udp},
};

/// What every hop from the client's device to the peer's socket has counted.
#[derive(Clone, Copy, Debug)]
pub struct Hops {
    client: Device,
    peer: Device,
    socket: Udp,
}

impl Hops {
    /// # Panics
    /// When the kernel does not count.
    pub fn of(lab: &Lab) -> Self {
        Self {
            client: device(&lab.client, DEVICE),
            peer: device(&lab.peer, DEVICE),
            socket: udp(&lab.peer),
        }
    }

    /// Hop by hop, so that a loss is found where it happened: netchaos has to hand everything to
    /// the device, and the rig must not lose it after that.
    ///
    /// # Panics
    /// When one was lost, with the hop.
    #[track_caller]
    pub fn assert_all_passed(&self, lab: &Lab, flows: &[Flowed]) {
        let now = Self::of(lab);
        let sent: usize = flows.iter().map(Flowed::sent).sum();
        let sent = sent as u64;
        let handed_on =
            now.client.sent + now.client.send_drops - self.client.sent - self.client.send_drops;
        assert!(
            handed_on >= sent,
            "lost before the device: {sent} sent, {handed_on} there: {now:?}"
        );
        let rig = "lost by the rig, behind the device";
        assert_eq!(
            now.client.send_drops, self.client.send_drops,
            "{rig}: {now:?}"
        );
        assert_eq!(
            now.peer.receive_drops, self.peer.receive_drops,
            "{rig}: {now:?}"
        );
        let errors = now.socket.receive_buffer_errors - self.socket.receive_buffer_errors;
        assert_eq!(errors, 0, "{rig}: {now:?}");
        for flow in flows {
            flow.assert_whole("all");
        }
    }
}
