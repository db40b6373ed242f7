//! Who is who in the cluster: certificates, tokens and kubeconfigs. All of it is made for one run and gone after it.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};

use super::network::{SERVER, SERVICE, node_address};

const KUBECONFIG: &str = include_str!("texts/kubeconfig.yaml");
/// Somebody of this group may do everything.
const MASTERS: &str = "system:masters";

/// The folder with all of it. Files: `ca.crt`, `sa.key`, `sa.pub`, `tokens.csv`, `NAME.crt`, `NAME.key`, `NAME.kubeconfig`.
pub struct Pki(PathBuf);

impl Pki {
    /// # Errors
    /// When a file cannot be written.
    pub fn make(dir: PathBuf, nodes: &[String]) -> Result<Self> {
        fs::create_dir_all(&dir)?;
        let pki = Self(dir);
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "test-ca");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        fs::write(pki.file("ca.crt"), ca.pem())?;
        let accounts = KeyPair::generate()?;
        fs::write(pki.file("sa.key"), accounts.serialize_pem())?;
        fs::write(pki.file("sa.pub"), accounts.public_key_pem())?;

        let servers = [SERVER, SERVICE, "127.0.0.1"].map(String::from);
        pki.server(&ca, "apiserver", &servers)?;
        pki.client(&ca, "apiserver-to-kubelet", MASTERS)?;
        for (number, node) in nodes.iter().enumerate() {
            pki.server(&ca, node, &[node_address(number), "127.0.0.1".into()])?;
        }
        pki.kubeconfigs(nodes)?;
        Ok(pki)
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn server(
        &self,
        ca: &CertifiedIssuer<'_, KeyPair>,
        name: &str,
        addresses: &[String],
    ) -> Result<()> {
        let names = ["localhost", "kubernetes", "kubernetes.default"];
        let mut params = CertificateParams::new(names.map(String::from))?;
        for address in addresses {
            let address = address.parse().context("an address")?;
            params.subject_alt_names.push(SanType::IpAddress(address));
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(ca, name, params)
    }

    fn client(&self, ca: &CertifiedIssuer<'_, KeyPair>, name: &str, group: &str) -> Result<()> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(ca, name, params)
    }

    fn sign(
        &self,
        ca: &CertifiedIssuer<'_, KeyPair>,
        name: &str,
        mut params: CertificateParams,
    ) -> Result<()> {
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, ca)?;
        fs::write(self.file(&format!("{name}.crt")), certificate.pem())?;
        fs::write(self.file(&format!("{name}.key")), key.serialize_pem())?;
        Ok(())
    }

    /// A token for each user (kubernetes.io, "Static token file"), and a kubeconfig with it.
    fn kubeconfigs(&self, nodes: &[String]) -> Result<()> {
        let mut users = vec![
            ("admin".to_owned(), "admin".to_owned(), MASTERS),
            (
                "controller-manager".into(),
                "system:kube-controller-manager".into(),
                "",
            ),
            ("scheduler".into(), "system:kube-scheduler".into(), ""),
            ("proxy".into(), "system:kube-proxy".into(), ""),
        ];
        let node = |name: &String| (name.clone(), format!("system:node:{name}"), "system:nodes");
        users.extend(nodes.iter().map(node));
        let mut tokens = String::new();
        for (file, user, group) in users {
            let token = token()?;
            writeln!(tokens, "{token},{user},{user},\"{group}\"")?;
            let text = KUBECONFIG
                .replace("@server@", SERVER)
                .replace("@ca@", &self.file("ca.crt").to_string_lossy())
                .replace("@token@", &token);
            fs::write(self.kubeconfig(&file), text)?;
        }
        fs::write(self.file("tokens.csv"), tokens)?;
        Ok(())
    }

    /// The kubeconfig of `admin`, `controller-manager`, `scheduler`, `proxy` or a node.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.file(&format!("{user}.kubeconfig"))
    }
}

fn token() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open(Path::new("/dev/urandom"))?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
