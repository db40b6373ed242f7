//! Reading a tree field by field: every problem is noted with line and path, and reading goes on.

use std::{
    cell::RefCell,
    collections::{HashMap, hash_map::Entry as Slot},
};

use super::tree::{Data, Entry, Kind, Node};
use crate::experiment::problem::{Invalid, Problem, Problems};

/// Where the problems of one file are collected.
pub(in crate::experiment) struct Sink<'a> {
    file: &'a str,
    problems: RefCell<Vec<Problem>>,
    /// Namespaces and names of the experiments so far, and the lines where the names were given.
    names: RefCell<HashMap<(Option<String>, String), u32>>,
}

impl<'a> Sink<'a> {
    pub fn new(file: &'a str) -> Self {
        Self {
            file,
            problems: RefCell::default(),
            names: RefCell::default(),
        }
    }

    pub fn add(&self, line: Option<u32>, field: &str, invalid: Invalid) {
        self.problems.borrow_mut().push(Problem {
            file: Some(self.file.to_owned()),
            line,
            field: field.to_owned(),
            invalid,
        });
    }

    pub fn is_empty(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// The problems in the order of the text, if there are any.
    pub fn into_problems(self) -> Option<Problems> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        (!problems.is_empty()).then_some(Problems(problems))
    }
}

/// A value, the path to it, and the line of its key.
#[derive(Clone)]
pub(in crate::experiment) struct Field<'a> {
    sink: &'a Sink<'a>,
    path: String,
    line: u32,
    node: &'a Node,
}

impl<'a> Field<'a> {
    pub fn root(sink: &'a Sink<'a>, node: &'a Node) -> Self {
        Self {
            sink,
            path: String::new(),
            line: node.line,
            node,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.node.data, Data::Scalar(Kind::Null, _))
    }

    pub fn is_sequence(&self) -> bool {
        matches!(self.node.data, Data::Sequence(_))
    }

    pub fn refuse(&self, invalid: Invalid) {
        self.sink.add(Some(self.line), &self.path, invalid);
    }

    /// Notes the problem, if it is one.
    pub fn accept<T>(&self, result: Result<T, Invalid>) -> Option<T> {
        result.map_err(|invalid| self.refuse(invalid)).ok()
    }

    fn wrong_type(&self, allowed: &str) {
        let (value, message) = match &self.node.data {
            Data::Scalar(Kind::Null, _) => (None, "has no value"),
            Data::Scalar(Kind::Boolean, text) => (Some(text), "is a boolean"),
            Data::Scalar(Kind::Number, text) => (Some(text), "is a number"),
            Data::Scalar(Kind::String, text) => (Some(text), "is a string"),
            Data::Sequence(_) => (None, "is a list"),
            Data::Mapping(_) => (None, "is a mapping"),
        };
        self.refuse(Invalid {
            value: value.cloned(),
            message: message.to_owned(),
            allowed: Some(allowed.to_owned()),
        });
    }

    /// A string as Kubernetes wants it: numbers and booleans have to be quoted.
    pub fn string(&self) -> Option<&'a str> {
        match &self.node.data {
            Data::Scalar(Kind::String, text) => return Some(text),
            Data::Scalar(Kind::Boolean | Kind::Number, text) => {
                self.wrong_type(&format!("a string, so write it in quotes: \"{text}\""));
            }
            _ => self.wrong_type("a string"),
        }
        None
    }

    /// The text of a number, as Kubernetes wants it: not in quotes.
    pub fn number(&self, allowed: &str) -> Option<&'a str> {
        match &self.node.data {
            Data::Scalar(Kind::Number, text) => Some(text),
            _ => {
                self.wrong_type(allowed);
                None
            }
        }
    }

    /// The text of any scalar; `allowed` is said of everything else.
    pub fn text(&self, allowed: &str) -> Option<&'a str> {
        match &self.node.data {
            Data::Scalar(kind, text) if *kind != Kind::Null => Some(text),
            _ => {
                self.wrong_type(allowed);
                None
            }
        }
    }

    /// The text of the value, where it is only shown and never read.
    pub fn shown(&self) -> Option<&'a str> {
        match &self.node.data {
            Data::Scalar(_, text) => Some(text),
            _ => None,
        }
    }

    pub fn boolean(&self) -> Option<bool> {
        if let Data::Scalar(Kind::Boolean, text) = &self.node.data {
            return Some(text.eq_ignore_ascii_case("true"));
        }
        self.wrong_type("true or false");
        None
    }

    pub fn items(&self) -> Option<Vec<Field<'a>>> {
        let Data::Sequence(items) = &self.node.data else {
            self.wrong_type("a list");
            return None;
        };
        let item = |(index, node): (usize, &'a Node)| Field {
            sink: self.sink,
            path: format!("{}[{index}]", self.path),
            line: node.line,
            node,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The value as a mapping. Keys that are given twice are noted; the first of them counts.
    pub fn fields(&self) -> Option<Fields<'a>> {
        let Data::Mapping(all) = &self.node.data else {
            self.wrong_type("a mapping");
            return None;
        };
        let mut entries: Vec<&Entry> = Vec::with_capacity(all.len());
        let mut lines: HashMap<&str, u32> = HashMap::new();
        for entry in all {
            match lines.get(entry.key.as_str()) {
                None => {
                    lines.insert(&entry.key, entry.line);
                    entries.push(entry);
                }
                Some(first) => self.sink.add(
                    Some(entry.line),
                    &child(&self.path, &entry.key),
                    Invalid::field(
                        format!("given twice, the first time in line {first}"),
                        Some("each field once".to_owned()),
                    ),
                ),
            }
        }
        Some(Fields {
            parent: self.clone(),
            entries,
            known: RefCell::default(),
        })
    }

    /// A mapping of strings to strings, such as labels.
    pub fn string_map(&self) -> Option<HashMap<&'a str, Field<'a>>> {
        let fields = self.fields()?;
        let strings = fields.all().filter(|(_, field)| field.string().is_some());
        Some(strings.collect())
    }

    /// A list of strings.
    pub fn strings(&self) -> Option<Vec<&'a str>> {
        Some(self.items()?.iter().filter_map(Field::string).collect())
    }

    /// Takes the value as the name of an experiment, which has to be the only one in its file and
    /// Kubernetes namespace.
    pub fn claim_name(&self, name: &str, namespace: Option<&str>) {
        let key = (namespace.map(str::to_owned), name.to_owned());
        match self.sink.names.borrow_mut().entry(key) {
            Slot::Vacant(slot) => {
                slot.insert(self.line);
            }
            Slot::Occupied(first) => self.refuse(Invalid::value(
                name,
                format!("is already the name in line {}", first.get()),
                "a name of its own for each experiment",
            )),
        }
    }
}

fn child(path: &str, key: &str) -> String {
    let simple = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match (path.is_empty(), key.chars().all(simple) && !key.is_empty()) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        // Keys such as "experiment.chaos-mesh.org/pause" would look like a path of their own.
        (_, false) => format!("{path}[{key:?}]"),
    }
}

/// The fields of a mapping. Those that nobody asked for are unknown; see [`Fields::finish`].
pub(in crate::experiment) struct Fields<'a> {
    parent: Field<'a>,
    entries: Vec<&'a Entry>,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    /// A mapping that may be missing. The outer option is none if it is refused, the inner one if it
    /// is not there.
    pub fn part<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Fields<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        let Some(field) = self.get(name) else {
            return Some(None);
        };
        let fields = field.fields()?;
        let part = read(&fields);
        fields.finish();
        part.map(Some)
    }

    /// A field that may be missing; without a value it is missing.
    pub fn get(&self, name: &'static str) -> Option<Field<'a>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&name) {
            known.push(name);
        }
        let entry = self.entries.iter().find(|entry| entry.key == name)?;
        let field = self.field(entry);
        (!field.is_null()).then_some(field)
    }

    /// A field that has to be there.
    pub fn require(&self, name: &'static str, allowed: &str) -> Option<Field<'a>> {
        let field = self.get(name);
        if field.is_none() {
            self.missing(name, "missing", allowed);
        }
        field
    }

    /// Notes that the field, or its value, is not there.
    pub fn missing(&self, name: &str, message: &str, allowed: &str) {
        let entry = self.entries.iter().find(|entry| entry.key == name);
        self.parent.sink.add(
            Some(entry.map_or(self.parent.line, |entry| entry.line)),
            &child(&self.parent.path, name),
            Invalid::field(message, Some(allowed.to_owned())),
        );
    }

    /// Fields that are right there and say nothing to us.
    pub fn ignore(&self, names: &[&'static str]) {
        self.known.borrow_mut().extend(names);
    }

    /// Notes the fields that nobody asked for.
    pub fn finish(&self) {
        let known = self.known.borrow();
        for entry in &self.entries {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            let invalid = match similar(&entry.key, &known) {
                Some(name) => {
                    Invalid::field(format!("unknown field; did you mean {name:?}?"), None)
                }
                None => Invalid::field("unknown field", Some(known.join(", "))),
            };
            let path = child(&self.parent.path, &entry.key);
            self.parent.sink.add(Some(entry.line), &path, invalid);
        }
    }

    /// Notes what is wrong with a field, which may be one inside another or not be there.
    pub fn refuse_at(&self, path: &[&str], invalid: Invalid) {
        let mut field = self.parent.clone();
        let mut node = Some(field.node);
        for name in path {
            field.path = child(&field.path, name);
            let entry = match node.map(|node| &node.data) {
                Some(Data::Mapping(all)) => all.iter().find(|entry| entry.key == *name),
                _ => None,
            };
            node = entry.map(|entry| &entry.value);
            field.line = entry.map_or(field.line, |entry| entry.line);
        }
        field.refuse(invalid);
    }

    /// Whether a field is there and has a value, whoever asks for it.
    pub fn has(&self, name: &str) -> bool {
        let entry = self.entries.iter().find(|entry| entry.key == name);
        entry.is_some_and(|entry| !self.field(entry).is_null())
    }

    /// All of them, whatever their names are.
    pub fn all(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> + '_ {
        let named = |entry: &&'a Entry| (entry.key.as_str(), self.field(entry));
        self.entries.iter().map(named)
    }

    fn field(&self, entry: &'a Entry) -> Field<'a> {
        Field {
            sink: self.parent.sink,
            path: child(&self.parent.path, &entry.key),
            line: entry.line,
            node: &entry.value,
        }
    }
}

/// The known name that was probably meant: other case or dashes, or at most two slips of the pen.
fn similar(key: &str, known: &[&'static str]) -> Option<&'static str> {
    const MOST_SLIPS: usize = 2;
    const LONGEST: usize = 64;
    if key.len() > LONGEST {
        return None;
    }
    let plain = |name: &str| name.replace(['-', '_'], "").to_lowercase();
    let slips = |name: &&'static str| strsim::damerau_levenshtein(&plain(key), &plain(name));
    let (slips, name) = known.iter().map(|name| (slips(name), *name)).min()?;
    // Short names are close to everything.
    (slips <= MOST_SLIPS && slips * 2 < name.len()).then_some(name)
}
