//! The image that pods of the tests are made of. No registry can be reached, so it is made here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::dist::archive::Archive;
use crate::dist::image;
use crate::ui::output;

/// The image without its tag: that of the examples, which has the same programs.
const REPOSITORY: &str = "docker.io/library/busybox";
const TAG: &str = "1";

/// The image with its tag. A node also takes it for what keeps a pod's namespaces.
pub fn busybox() -> String {
    format!("{REPOSITORY}:{TAG}")
}

/// Writes the archive of the image: `program`, a static busybox, with all of its names in /bin.
///
/// # Errors
/// When busybox does not run, or the archive cannot be written.
pub fn write_busybox(program: &Path, dir: &Path) -> Result<PathBuf> {
    let mut layer = Archive::new();
    for folder in ["bin", "etc", "proc", "sys", "dev", "root"] {
        layer.folder(folder, 0o755)?;
    }
    layer.folder("tmp", 0o1777)?;
    layer.file("bin/busybox", &fs::read(program)?, 0o755)?;
    for name in output(Command::new(program).arg("--list"))?.lines() {
        if name != "busybox" {
            layer.link(&format!("bin/{name}"), "busybox")?;
        }
    }
    layer.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644)?;
    let config = json!({
        "Env": ["PATH=/bin"],
        // What keeps a pod's namespaces never ends by itself.
        "Cmd": ["sleep", "2147483647"],
    });
    let archive = image::pack(REPOSITORY, TAG, &config, &layer.finish()?)?;
    let path = dir.join("busybox.tar");
    fs::write(&path, archive).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
