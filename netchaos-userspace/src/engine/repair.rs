//! Putting back what others have taken away from under experiments.

use serde::Serialize;

use super::{
    Session,
    error::Error,
    observe::{Known, Site},
    report::drift_of_tables,
};
use crate::{experiment, plan::Laid};

/// What was put right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Repaired {
    /// The experiment; none where nobody knows any more which faults they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub device: String,
    /// Whether it is at work again; else it was taken away.
    pub is_back: bool,
    /// What was wrong with it.
    pub found: Vec<String>,
}

impl Repaired {
    /// As the command line says it, `NAMESPACE/NAME` where it has both.
    pub fn id(&self) -> Option<String> {
        let name = self.name.as_ref()?;
        Some(experiment::id(self.namespace.as_deref(), name))
    }
}

impl Session<'_> {
    /// Puts back what others have taken away from under the experiments of the place, and finishes
    /// what a call that died has begun. What has ended is taken away, as by any call that writes.
    /// Gives back what was wrong, and how many packets went down with queues.
    ///
    /// # Errors
    /// As [`Session::change`].
    pub async fn repair(&self) -> Result<(Vec<Repaired>, u32), Error> {
        let _lock = self.lock()?;
        let mut draft = self.draft().await?;
        let mut repaired = Vec::new();
        for site in &mut draft.observed.sites {
            let drift = match &site.state {
                Known::Open { maps, .. } => drift_of_tables(maps, site.laid())?,
                _ => None,
            };
            if matches!(site.state, Known::Nothing) {
                repaired.push(Repaired {
                    name: None,
                    namespace: None,
                    device: site.device_name(),
                    is_back: false,
                    found: vec![site.remains()],
                });
            }
            for (laid, found) in site.wrong(drift.as_ref()) {
                repaired.push(Repaired {
                    name: Some(laid.experiment.name.clone()),
                    namespace: laid.experiment.namespace.clone(),
                    device: site.device_name(),
                    is_back: !laid.going && !site.is_over(laid, draft.now),
                    found,
                });
            }
            if let Known::Open { dirty, .. } = &mut site.state {
                // Somebody has written into the maps: what they hold has to be read.
                *dirty |= drift.is_some();
            }
        }
        let flushed = self.carry_out(draft, false).await?;
        Ok((repaired, flushed))
    }
}

impl Site {
    /// The experiments with which something is wrong, and what that is. `drift` is what is wrong with
    /// the maps of all of them.
    fn wrong<'l>(
        &'l self,
        drift: Option<&'l String>,
    ) -> impl Iterator<Item = (&'l Laid, Vec<String>)> {
        let all = self.told().map(move |laid| {
            let mut found = self.missing(laid);
            found.extend(self.drift_of_bands(laid));
            found.extend(drift.cloned());
            if self.is_dirty() || laid.going {
                found.push("a call died half-way".into());
            }
            if self.is_mixed {
                found.push("its programs use maps that differ".into());
            }
            (laid, found)
        });
        all.filter(|(_, found)| !found.is_empty())
    }
}
