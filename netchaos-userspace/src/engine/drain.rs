//! Waiting until bands that steer nothing any more are empty.

use std::time::{Duration, Instant};

use super::{error::Error, observe::Site};
use crate::{kernel::netlink::Netlink, plan::Band};

/// How often the queues are looked at.
const PAUSE: Duration = Duration::from_millis(10);

/// From the band to the device a packet still has a way to go.
const LAST_STEPS: Duration = Duration::from_millis(20);

impl Site {
    /// Waits until the bands hold no packet, for `bound` at the longest, and gives back how many
    /// they hold then.
    pub(super) async fn drain(
        &self,
        netlink: &Netlink,
        bands: &[Band],
        bound: Duration,
    ) -> Result<u32, Error> {
        let start = Instant::now();
        loop {
            let held = self.held(netlink, bands).await?;
            if held == 0 {
                tokio::time::sleep(LAST_STEPS).await;
                return Ok(0);
            }
            if start.elapsed() >= bound {
                return Ok(held);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Packets in the bands right now.
    async fn held(&self, netlink: &Netlink, bands: &[Band]) -> Result<u32, Error> {
        let qdiscs = netlink.qdiscs().await?;
        let held = bands
            .iter()
            .map(|band| self.statistics(&qdiscs, *band).queued);
        Ok(held.sum())
    }
}
