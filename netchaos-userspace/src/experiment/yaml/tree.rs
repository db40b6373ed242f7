//! From the parser's events to a tree of [`Node`]s, within bounds.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::Sink;
use crate::experiment::problem::Invalid;

/// Longer texts are refused: a quarter of a million targets fit in less.
const MOST_BYTES: usize = 8 << 20;
/// Nodes of all documents, those that aliases repeat included; a few anchors can ask for billions.
const MOST_NODES: usize = 500_000;
/// Bytes that anchors and aliases copy: a long text that is repeated is a single node each time.
const MOST_COPIED: usize = 64 << 20;
/// Mappings and sequences in each other. Bounds the recursion of whoever walks the tree.
const MOST_DEPTH: usize = 64;

/// A value and the line that it begins in, counted from 1.
#[derive(Clone, Debug)]
pub(in crate::experiment) struct Node {
    pub line: u32,
    pub data: Data,
}

#[derive(Clone, Debug)]
pub(in crate::experiment) enum Data {
    Scalar(Kind, String),
    Sequence(Vec<Node>),
    /// In the order of the text; a key can be there more than once.
    Mapping(Vec<Entry>),
}

/// What a scalar is by the core schema (YAML 1.2.2 §10.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::experiment) enum Kind {
    Null,
    Boolean,
    Number,
    String,
}

#[derive(Clone, Debug)]
pub(in crate::experiment) struct Entry {
    pub key: String,
    pub line: u32,
    pub value: Node,
}

/// The documents of `text`. What cannot be read goes into `sink`; the documents before it are
/// returned all the same, so that their problems are found in the same run.
pub(in crate::experiment) fn parse(text: &str, sink: &Sink) -> Vec<Node> {
    let mut loader = Loader::default();
    if text.len() > MOST_BYTES {
        let message = format!("has {} bytes; at most {MOST_BYTES} are read", text.len());
        sink.add(None, "", Invalid::field(message, None));
        return loader.documents;
    }
    let end = loader.load(text).err();
    let broken: Vec<Broken> = end.into_iter().chain(loader.foreign_tags).collect();
    let lines: Vec<&str> = match broken.len() {
        0 => Vec::new(),
        _ => text.lines().collect(),
    };
    for Broken { line, message } in broken {
        // Of a text that is cut short the parser names a line behind the last one.
        let line = line.min(text.split('\n').count() as u32);
        let index = line.saturating_sub(1) as usize;
        let shown = lines.get(index).map_or("", |line| line.trim());
        let invalid = Invalid {
            value: Some(shown.to_owned()).filter(|shown| !shown.is_empty()),
            message,
            // The trap of IPv6 targets with a port.
            allowed: (shown.contains('[') && shown.contains("]:"))
                .then(|| "quotes around what begins with [, such as \"[::1]:443\"".to_owned()),
        };
        sink.add(Some(line), "", invalid);
    }
    loader.documents
}

/// What makes a text unreadable.
struct Broken {
    line: u32,
    message: String,
}

impl Broken {
    fn at(line: u32, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
        }
    }
}

#[derive(Default)]
struct Loader {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    copied: usize,
    foreign_tags: Vec<Broken>,
}

/// A mapping or sequence whose end has not come yet.
struct Open {
    node: Node,
    anchor: usize,
    /// The key of a mapping whose value comes next.
    key: Option<(String, u32)>,
}

impl Loader {
    fn load(&mut self, text: &str) -> Result<(), Broken> {
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event
                .map_err(|e| Broken::at(line(e.marker()), format!("is not YAML: {}", e.info())))?;
            self.event(event, line(&span.start))?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, line: u32) -> Result<(), Broken> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let kind = self.kind(&text, style, tag.as_deref(), line);
                let data = Data::Scalar(kind, text.into_owned());
                self.finish(Node { line, data }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(Data::Sequence(Vec::new()), anchor, tag.as_deref(), line)
            }
            Event::MappingStart(anchor, tag) => {
                self.begin(Data::Mapping(Vec::new()), anchor, tag.as_deref(), line)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open { node, anchor, .. }) => self.finish(merged(node)?, anchor),
                None => Ok(()),
            },
            Event::Alias(anchor) => self.alias(anchor, line),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(
        &mut self,
        data: Data,
        anchor: usize,
        tag: Option<&Tag>,
        line: u32,
    ) -> Result<(), Broken> {
        if self.open.len() >= MOST_DEPTH {
            return Err(Broken::at(
                line,
                format!("is deeper than {MOST_DEPTH} levels"),
            ));
        }
        self.core_tag(tag, line);
        self.open.push(Open {
            node: Node { line, data },
            anchor,
            key: None,
        });
        Ok(())
    }

    /// Puts a complete node where it belongs.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Broken> {
        self.count(1, node.line)?;
        if anchor > 0 {
            self.copy(bytes(&node), node.line)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match (&mut parent.node.data, parent.key.take()) {
            (Data::Mapping(entries), Some((key, line))) => {
                let value = node;
                entries.push(Entry { key, line, value });
            }
            (Data::Mapping(_), None) => match node.data {
                Data::Scalar(_, key) => parent.key = Some((key, node.line)),
                _ => return Err(Broken::at(node.line, "has a key that is not a string")),
            },
            (Data::Sequence(items), _) => items.push(node),
            (Data::Scalar(..), _) => {}
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, line: u32) -> Result<(), Broken> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(Broken::at(
                line,
                "has an alias to what it is itself a part of",
            ));
        };
        let (size, depth, bytes) = (size(node), depth(node), bytes(node));
        if self.open.len() + depth > MOST_DEPTH {
            return Err(Broken::at(
                line,
                format!("is deeper than {MOST_DEPTH} levels"),
            ));
        }
        self.count(size, line)?;
        self.copy(bytes, line)?;
        let node = self.anchors[&anchor].clone();
        self.finish(node, 0)
    }

    fn count(&mut self, nodes: usize, line: u32) -> Result<(), Broken> {
        self.nodes += nodes;
        if self.nodes <= MOST_NODES {
            return Ok(());
        }
        let message = format!("has more than {MOST_NODES} values, those of aliases counted");
        Err(Broken::at(line, message))
    }

    fn copy(&mut self, bytes: usize, line: u32) -> Result<(), Broken> {
        self.copied += bytes;
        if self.copied <= MOST_COPIED {
            return Ok(());
        }
        let message = format!("has anchors and aliases that copy more than {MOST_COPIED} bytes");
        Err(Broken::at(line, message))
    }

    fn kind(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, line: u32) -> Kind {
        let forced = self.core_tag(tag, line) == Some("str");
        // "!" alone asks for a string (YAML 1.2.2 §6.9.1).
        let non_specific = tag.is_some_and(is_non_specific);
        if style != ScalarStyle::Plain || forced || non_specific {
            return Kind::String;
        }
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Kind::Boolean,
            _ if is_number(text) => Kind::Number,
            _ => Kind::String,
        }
    }

    /// The name of a tag of the core schema. Others ask for a type that nobody here knows.
    fn core_tag<'a>(&mut self, tag: Option<&'a Tag>, line: u32) -> Option<&'a str> {
        let tag = tag.filter(|tag| !is_non_specific(tag))?;
        if tag.is_yaml_core_schema() {
            return Some(&tag.suffix);
        }
        let message = format!("has the tag {tag}, which means nothing here");
        self.foreign_tags.push(Broken::at(line, message));
        None
    }
}

fn is_non_specific(tag: &Tag) -> bool {
    (tag.handle.as_str(), tag.suffix.as_str()) == ("", "!")
        || (tag.handle.as_str(), tag.suffix.as_str()) == ("!", "")
}

/// Numbers of the core schema: integers (also 0o7 and 0x1f), decimals, `.inf` and `.nan`.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let Some(digits) = text.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return !digits.is_empty() && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    }
    match unsigned {
        ".inf" | ".Inf" | ".INF" => true,
        ".nan" | ".NaN" | ".NAN" => unsigned == text,
        // Rust also reads the words "inf" and "nan", which are strings in YAML.
        _ => {
            unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
                && unsigned.parse::<f64>().is_ok()
        }
    }
}

/// Resolves the merge keys (`<<: *defaults`) of a mapping, as Kubernetes' YAML reader does: its own
/// entries win, then the first source that has the key.
fn merged(node: Node) -> Result<Node, Broken> {
    const MERGE: &str = "<<";
    let Node { line, data } = node;
    let Data::Mapping(entries) = data else {
        return Ok(Node { line, data });
    };
    let (merges, mut own): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| entry.key == MERGE);
    let mut keys: HashSet<String> = HashSet::new();
    if !merges.is_empty() {
        keys.extend(own.iter().map(|entry| entry.key.clone()));
    }
    for merge in merges {
        let sources = match merge.value.data {
            Data::Sequence(items) => items,
            data => vec![Node { line, data }],
        };
        for source in sources {
            let Data::Mapping(entries) = source.data else {
                return Err(Broken::at(
                    merge.line,
                    "merges (<<) something else than a mapping",
                ));
            };
            own.extend(
                entries
                    .into_iter()
                    .filter(|entry| keys.insert(entry.key.clone())),
            );
        }
    }
    let data = Data::Mapping(own);
    Ok(Node { line, data })
}

fn children(node: &Node) -> Box<dyn Iterator<Item = &Node> + '_> {
    match &node.data {
        Data::Scalar(..) => Box::new(std::iter::empty()),
        Data::Sequence(items) => Box::new(items.iter()),
        Data::Mapping(entries) => Box::new(entries.iter().map(|entry| &entry.value)),
    }
}

fn size(node: &Node) -> usize {
    1 + children(node).map(size).sum::<usize>()
}

/// The memory that a node takes.
fn bytes(node: &Node) -> usize {
    let text = match &node.data {
        Data::Scalar(_, text) => text.len(),
        Data::Sequence(_) => 0,
        Data::Mapping(entries) => entries.iter().map(|entry| entry.key.len()).sum(),
    };
    size_of::<Entry>() + text + children(node).map(bytes).sum::<usize>()
}

/// How many mappings and sequences are in each other.
fn depth(node: &Node) -> usize {
    match node.data {
        Data::Scalar(..) => 0,
        _ => 1 + children(node).map(depth).max().unwrap_or(0),
    }
}

fn line(marker: &Marker) -> u32 {
    u32::try_from(marker.line()).unwrap_or(u32::MAX)
}
