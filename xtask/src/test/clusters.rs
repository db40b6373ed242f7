//! The tests in a real Kubernetes.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::results::Results;
use super::{Run, announce, failure, follow};
use crate::build;
use crate::cluster::{self, binaries};
use crate::ctx::as_root;
use crate::dist::image;
use crate::setup::packages;

impl Run<'_> {
    /// Runs the tests whose file names begin with `prefix` on a cluster with so many nodes. What does not run there
    /// has failed: it has all that they need.
    pub(super) fn cluster(&self, stage: &str, prefix: &str, nodes: usize) -> Results {
        let mut results = Results::new(stage, true);
        announce(&results.stage);
        let outcome = self.cluster_command(prefix, nodes).and_then(|words| {
            words.map_or(Ok(true), |words| {
                follow(as_root(&words[0])?.args(&words[1..]), &mut results)
            })
        });
        results.end(failure(
            outcome,
            "the cluster or its tests ended with an error",
        ));
        results
    }

    /// The words of a command that does so, in a VM as well; none where the filter leaves no test.
    pub(super) fn cluster_command(
        &self,
        prefix: &str,
        nodes: usize,
    ) -> Result<Option<Vec<PathBuf>>> {
        let Some(told) = self.told(prefix)? else {
            return Ok(None);
        };
        let busybox = packages::cluster_tools(self.ctx)?;
        let bin = binaries::ready(self.ctx, nodes > 0)?;
        let image = (nodes > 0).then(|| self.image()).transpose()?;
        cluster::command(&bin, nodes, &busybox, image.as_deref(), told.words()).map(Some)
    }

    /// The archive of the image, as it is handed out.
    fn image(&self) -> Result<PathBuf> {
        let program = build::standalone(self.ctx, &self.toolchain)?;
        let path = program.with_file_name(image::file_name());
        fs::write(&path, image::archive(self.ctx, &program)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}
