//! Watching an experiment steer packets, while somebody looks.

use super::{Session, error::Error, ours::Own, stop::Stop};
use crate::kernel::{
    bpf::{self, Follow, Steered},
    netlink::{Hook, Link},
};

impl Session<'_> {
    /// Calls `see` for each packet that the experiment steers, until SIGINT, SIGTERM or SIGHUP.
    ///
    /// The program that tells of them sits on the pair's own device for as long as that takes; a
    /// fault that nobody follows carries no such program.
    ///
    /// # Errors
    /// There is no such experiment, or the kernel's refusal.
    pub async fn follow(&self, name: &str, see: impl Fn(&Steered)) -> Result<(), Error> {
        let shown = self.show(name).await?;
        let links = self.netlink.links().await?;
        let is_upper =
            |link: &&Link| shown.uppers.contains(&link.name) && Own::recognise(link).is_some();
        let uppers: Vec<&Link> = links.iter().filter(is_upper).collect();
        if uppers.is_empty() {
            return Err(Error::Refused(format!("{name} has lost its devices")));
        }
        let mut follow = Follow::load()?;
        for upper in &uppers {
            self.remove_follower(upper).await?;
            bpf::attach(follow.program()?, &upper.name, Hook::Egress, bpf::HANDLE)?;
        }
        let watched = watch(&mut follow, shown.slot, see).await;
        for upper in uppers {
            self.remove_follower(upper).await?;
        }
        watched
    }

    /// A follower that was killed leaves its filter on our device, where it tells nobody anything.
    async fn remove_follower(&self, upper: &Link) -> Result<(), Error> {
        for filter in self.netlink.filters(upper.as_device()).await? {
            if matches!(&filter.program, Some((name, _)) if name == bpf::FOLLOW) {
                self.netlink
                    .delete_filter(upper.as_device(), &filter)
                    .await?;
            }
        }
        Ok(())
    }
}

async fn watch(follow: &mut Follow, slot: u8, see: impl Fn(&Steered)) -> Result<(), Error> {
    let mut stop = Stop::listen()?;
    loop {
        tokio::select! {
            () = stop.wait() => return Ok(()),
            packets = follow.next() => {
                let packets = packets?;
                packets.iter().filter(|packet| packet.slot == u32::from(slot)).for_each(&see);
            }
        }
    }
}
