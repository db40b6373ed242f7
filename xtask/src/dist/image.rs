//! The image of the container: the program and its licences, nothing else.
//!
//! The archive is an OCI image layout (OCI Image Format Specification 1.1, image-layout.md), which containerd and
//! Podman read, with the `manifest.json` that `docker load` reads beside it.

use std::env::consts::ARCH;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::VERSION;
use super::archive::{Archive, sha256};
use crate::ctx::Ctx;

/// The image without its tag.
const REPOSITORY: &str = "docker.io/netchaos/netchaos";
const LICENCES: [&str; 3] = ["LICENSE-APACHE", "LICENSE-GPL2", "LICENSE-MIT"];

/// The image with its tag, as Kubernetes names it.
pub fn reference() -> String {
    format!("{REPOSITORY}:{VERSION}")
}

/// What the archive is called.
pub fn file_name() -> String {
    format!("netchaos-{VERSION}-image-{ARCH}.tar")
}

/// The archive for `ctr images import`, `podman load` and `docker load`.
///
/// # Errors
/// When the program or a licence cannot be read.
pub fn archive(ctx: &Ctx, program: &Path) -> Result<Vec<u8>> {
    let program =
        fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let mut layer = Archive::new();
    layer.file("netchaos", &program, 0o755)?;
    for licence in LICENCES {
        let text =
            fs::read(ctx.root.join(licence)).with_context(|| format!("cannot read {licence}"))?;
        layer.file(&format!("licenses/{licence}"), &text, 0o644)?;
    }
    let config = json!({
        "Entrypoint": ["/netchaos"],
        "Labels": {
            "org.opencontainers.image.title": "netchaos",
            "org.opencontainers.image.version": VERSION,
            "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
        },
    });
    pack(REPOSITORY, VERSION, &config, &layer.finish()?)
}

/// The archive of an image with one layer: `repository` and `tag` are its name, `config` is what a container of it is
/// started with (OCI Image Format Specification 1.1, config.md).
///
/// # Errors
/// None that writing to memory has.
pub fn pack(repository: &str, tag: &str, config: &Value, layer: &[u8]) -> Result<Vec<u8>> {
    let reference = format!("{repository}:{tag}");
    let config = bytes_of(&json!({
        "architecture": architecture(),
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
    }));
    let manifest = bytes_of(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    }));
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["platform"] = json!({"architecture": architecture(), "os": "linux"});
    entry["annotations"] = json!({
        // containerd's name for it, and the specification's, which has room for a tag alone.
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": tag,
    });
    let index = bytes_of(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    }));
    let docker = bytes_of(&json!([{
        "Config": blob(&config),
        "RepoTags": [reference],
        "Layers": [blob(layer)],
    }]));
    let mut archive = Archive::new();
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
    archive.file("index.json", &index, 0o644)?;
    archive.file("manifest.json", &docker, 0o644)?;
    for bytes in [&config, &manifest, layer] {
        archive.file(&blob(bytes), bytes, 0o644)?;
    }
    archive.finish()
}

/// The machine's architecture in Go's words, which are the specification's.
fn architecture() -> &'static str {
    match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn bytes_of(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes))
}

fn blob(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", sha256(bytes))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    /// The files of an archive.
    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let read = |entry: std::io::Result<tar::Entry<&[u8]>>| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn every_digest_in_an_image_is_that_of_a_blob() {
        let pack = || pack("example.org/a", "1", &json!({"Cmd": ["/a"]}), b"a layer").unwrap();
        let archive = pack();
        let files = files(&archive);
        let parse = |name: &str| serde_json::from_slice::<Value>(&files[name]).unwrap();
        let named = |value: &Value| {
            let digest = value["digest"].as_str().unwrap();
            let bytes = &files[&format!("blobs/{}", digest.replace(':', "/"))];
            assert_eq!(value["size"], bytes.len());
            assert_eq!(format!("sha256:{}", sha256(bytes)), digest);
            bytes.clone()
        };
        let index = parse("index.json");
        let manifest: Value = serde_json::from_slice(&named(&index["manifests"][0])).unwrap();
        let config: Value = serde_json::from_slice(&named(&manifest["config"])).unwrap();
        assert_eq!(named(&manifest["layers"][0]), b"a layer");
        assert_eq!(
            config["rootfs"]["diff_ids"][0],
            manifest["layers"][0]["digest"]
        );
        assert_eq!(config["config"]["Cmd"], json!(["/a"]));
        let docker = parse("manifest.json");
        for name in [&docker[0]["Config"], &docker[0]["Layers"][0]] {
            assert!(files.contains_key(name.as_str().unwrap()), "{name}");
        }
        let name = &index["manifests"][0]["annotations"]["io.containerd.image.name"];
        assert_eq!(*name, docker[0]["RepoTags"][0]);
        assert_eq!(docker[0]["RepoTags"], json!(["example.org/a:1"]));
        assert_eq!(pack(), archive, "the same bytes each time");
    }
}
