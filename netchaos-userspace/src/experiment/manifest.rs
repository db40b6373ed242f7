//! From the text of a file to experiments: which kind each document is, and who reads it.

#[cfg(doc)]
use super::Fault;
use super::{
    Experiment, Pods, native, networkchaos,
    problem::{Invalid, Problems},
    target::Target,
    yaml::{self, Field, Fields, Sink},
};

#[cfg(test)]
mod tests;

/// One experiment of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub experiment: Experiment,
    /// What is legal and still worth a word, such as fields that have no meaning here.
    pub notes: Vec<String>,
    /// What a `NetworkChaos` says of the pods that it is for.
    pub pods: Option<Pods>,
}

/// How manifests are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Each of them as if it asked for it, see [`Fault::strict_compat`].
    pub strict_compat: bool,
    /// Targets that are pods are kept in [`Document::pods`], for whoever can do without their
    /// addresses. Otherwise they are refused, since only a cluster knows these.
    pub keeps_pods: bool,
}

/// Reads all experiments of a YAML or JSON file: native manifests and Chaos Mesh's `NetworkChaos`,
/// as documents of their own, as items of a list, or as those of a Kubernetes `List`.
///
/// # Errors
/// Every problem of the file, with `file_name`, line and field, in the order of the text. A file
/// without any experiment is one, too.
pub fn read(file_name: &str, text: &str, reading: Reading) -> Result<Vec<Document>, Problems> {
    let sink = Sink::new(file_name);
    let mut documents = Vec::new();
    for root in &yaml::parse(text, &sink) {
        read_node(&Field::root(&sink, root), reading, &mut documents);
    }
    if documents.is_empty() && sink.is_empty() {
        let invalid = Invalid::field("holds no experiment", Some(KINDS.to_owned()));
        sink.add(None, "", invalid);
    }
    match sink.into_problems() {
        None => Ok(documents),
        Some(problems) => Err(problems),
    }
}

const KINDS: &str = "apiVersion chaos-mesh.org/v1alpha1 with kind NetworkChaos, or apiVersion \
     netchaos/v1 with kind Experiment";

fn read_node(node: &Field, reading: Reading, documents: &mut Vec<Document>) {
    if node.is_null() {
        return;
    }
    if node.is_sequence() {
        for item in node.items().unwrap_or_default() {
            read_node(&item, reading, documents);
        }
    } else if let Some(fields) = node.fields() {
        read_document(&fields, reading, documents);
    }
}

fn read_document(fields: &Fields, reading: Reading, documents: &mut Vec<Document>) {
    let api_version = fields.require("apiVersion", KINDS);
    let kind = fields.require("kind", KINDS);
    let version_text = api_version.as_ref().and_then(Field::string);
    let kind_text = kind.as_ref().and_then(Field::string);
    // Each of the two says alone what was meant, so that the rest can be judged as well.
    match (version_text, kind_text) {
        (Some("v1"), Some("List")) => {
            // What `kubectl get -o yaml` prints.
            let items = fields.require("items", "a list of manifests");
            for item in items.and_then(|field| field.items()).unwrap_or_default() {
                read_node(&item, reading, documents);
            }
        }
        (_, Some(networkchaos::KIND)) | (Some(networkchaos::API_VERSION), None) => {
            expect(api_version.as_ref(), networkchaos::API_VERSION);
            documents.extend(networkchaos::read(fields, reading));
        }
        (_, Some(native::KIND)) | (Some(native::API_VERSION), None) => {
            expect(api_version.as_ref(), native::API_VERSION);
            documents.extend(native::read(fields, reading.strict_compat));
        }
        (Some(networkchaos::API_VERSION), _) => expect(kind.as_ref(), networkchaos::KIND),
        (Some(native::API_VERSION), _) => expect(kind.as_ref(), native::KIND),
        (Some(_), _) => expect(api_version.as_ref(), KINDS),
        (None, _) => {}
    }
}

/// Kinds of Chaos Mesh that hold faults of the network, and what can be done about them.
const INSTEAD: [(&str, &str); 3] = [
    (
        "Schedule",
        "NetworkChaos, with what stands in spec.networkChaos as its spec, started by cron or the \
         like",
    ),
    (
        "Workflow",
        "NetworkChaos, one for each template of that type, with what stands in its networkChaos \
         as spec",
    ),
    (
        "PodNetworkChaos",
        "NetworkChaos; Chaos Mesh makes this one of them for itself",
    ),
];

fn expect(field: Option<&Field>, allowed: &str) {
    let Some(field) = field else {
        return;
    };
    let Some(text) = field.shown().filter(|text| *text != allowed) else {
        return;
    };
    let instead = INSTEAD.iter().find(|(kind, _)| *kind == text);
    let allowed = instead.map_or(allowed, |(_, instead)| instead);
    field.refuse(Invalid::value(text, "is not read by netchaos", allowed));
}

/// Reads a list of targets. None if it is not a list, or one of them is wrong.
pub(super) fn read_targets(
    list: &Field,
    parse: fn(&str) -> Result<Target, Invalid>,
) -> Option<Vec<Target>> {
    // YAML takes [2001:db8::1]:443 without quotes for a list.
    const ALLOWED: &str = "a string; one that begins with [ needs quotes: \"[2001:db8::1]:443\"";
    let read = |item: &Field| item.accept(parse(item.text(ALLOWED)?));
    // All of them are read before the first one that is wrong ends it.
    let targets: Vec<Option<Target>> = list.items()?.iter().map(read).collect();
    targets.into_iter().collect()
}
