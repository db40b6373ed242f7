//! Taking everything of ours away by names and handles alone, whatever state it is in.

use std::time::Duration;

use super::{
    Session, attach,
    error::Error,
    observe::Observed,
    ours::{Own, Role},
};
use crate::kernel::netns::Patience;

/// Somebody may hold the lock on purpose: healing does not wait for long, and goes on without it.
const PATIENCE: Patience = Patience {
    with_one: Duration::from_secs(2),
    in_all: Duration::from_secs(30),
};

/// What was taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Healed {
    pub devices: Vec<String>,
    pub filters: Vec<String>,
    /// Why the lock was not waited for any longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_lock: Option<String>,
}

impl Session<'_> {
    /// Takes away every filter and device of ours in the place. No map and no program is looked
    /// at, so it works whoever laid them and whatever has become of them.
    ///
    /// # Errors
    /// The first refusal of the kernel; all that could be taken away has been.
    pub async fn heal(&self) -> Result<Healed, Error> {
        let mut healed = Healed::default();
        let _lock = match self.place.namespace.lock(PATIENCE) {
            Ok(lock) => Some(lock),
            Err(error) => {
                healed.without_lock = Some(error.to_string());
                None
            }
        };
        let mut first_error = None;
        let mut note = |result: Result<(), Error>| {
            if let Err(error) = result {
                first_error.get_or_insert(error);
            }
        };
        let mut observed = Observed::take_without_maps(&self.netlink).await?;
        // First stop steering, on every device: also where the pair has been taken away already.
        for link in &observed.links {
            if Own::recognise(link).is_some() {
                continue;
            }
            let clsact = observed.clsact_of(link.index);
            let freed = attach::free(&self.netlink, link.as_device(), clsact).await;
            note(freed.map(|filters| healed.filters.extend(filters)));
        }
        for site in &mut observed.sites {
            note(site.take_down(&self.netlink).await);
        }
        // The pairs are gone; what is left of ours stands alone.
        for link in self.netlink.links().await? {
            if Own::recognise(&link).is_some() {
                note(self.netlink.delete_link(&link).await.map_err(Error::from));
            }
        }
        let pairs = observed
            .links
            .iter()
            .filter(|link| Own::recognise(link).is_some_and(|own| own.role != Role::FarEnd));
        healed.devices.extend(pairs.map(|link| link.name.clone()));
        match first_error {
            None => Ok(healed),
            Some(error) => Err(error),
        }
    }
}
