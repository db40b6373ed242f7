//! Images for the nodes, as `docker save` writes them: made here, since no registry can be reached.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::ui::output;

/// busybox, which a test's pods are made of; also what keeps a pod's namespaces.
pub const BUSYBOX: &str = "docker.io/local/busybox:1";
/// What it stands in for in the examples.
const ITS_NAME: &str = "docker.io/library/busybox:1";

/// Writes the archive of an image with one layer (OCI image specification, "Image Configuration"; moby's image
/// specification 1.2 for the archive).
fn archive(to: &Path, names: &[&str], layer: &[u8], config: &serde_json::Value) -> Result<()> {
    let digest: String = Sha256::digest(layer)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": names, "Layers": ["layer.tar"]}]);
    let mut tar = tar::Builder::new(File::create(to)?);
    for (file, bytes) in [
        ("manifest.json", manifest.to_string().as_bytes()),
        ("config.json", config.to_string().as_bytes()),
        ("layer.tar", layer),
    ] {
        add(&mut tar, file, bytes, 0o644)?;
    }
    tar.into_inner()?;
    Ok(())
}

fn add(
    tar: &mut tar::Builder<impl std::io::Write>,
    path: &str,
    bytes: &[u8],
    mode: u32,
) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    tar.append_data(&mut header, path, bytes)?;
    Ok(())
}

/// The image of busybox, with all of its programs in /bin.
///
/// # Errors
/// When busybox does not run, or the archive cannot be written.
pub fn busybox(busybox: &Path, dir: &Path) -> Result<PathBuf> {
    let mut tar = tar::Builder::new(Vec::new());
    for folder in ["bin", "etc", "tmp", "proc", "sys", "dev", "root"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(if folder == "tmp" { 0o1777 } else { 0o755 });
        tar.append_data(&mut header, folder, std::io::empty())?;
    }
    add(&mut tar, "bin/busybox", &fs::read(busybox)?, 0o755)?;
    for name in output(Command::new(busybox).arg("--list"))?.lines() {
        if name != "busybox" {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            header.set_mode(0o777);
            tar.append_link(&mut header, format!("bin/{name}"), "busybox")?;
        }
    }
    add(
        &mut tar,
        "etc/passwd",
        b"root:x:0:0:root:/root:/bin/sh\n",
        0o644,
    )?;
    let path = dir.join("busybox.tar");
    let config = json!({
        "Env": ["PATH=/bin"],
        // What keeps a pod's namespaces never ends by itself.
        "Cmd": ["sleep", "2147483647"],
    });
    archive(&path, &[BUSYBOX, ITS_NAME], &tar.into_inner()?, &config)
        .context("the image of busybox")?;
    Ok(path)
}

/// The image of netchaos: `program`, which needs no library, and nothing else.
///
/// # Errors
/// When the archive cannot be written.
pub fn netchaos(program: &Path, name: &str, dir: &Path) -> Result<PathBuf> {
    let mut tar = tar::Builder::new(Vec::new());
    add(&mut tar, "netchaos", &fs::read(program)?, 0o755)?;
    let path = dir.join("netchaos.tar");
    let config = json!({"Entrypoint": ["/netchaos"]});
    archive(&path, &[name], &tar.into_inner()?, &config).context("the image of netchaos")?;
    Ok(path)
}
