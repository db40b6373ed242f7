use super::{
    tree::{Data, Kind, Node},
    *,
};

/// The documents of a text that has no problems.
fn documents(text: &str) -> Vec<Node> {
    let sink = Sink::new("t.yaml");
    let documents = parse(text, &sink);
    if let Some(problems) = sink.into_problems() {
        panic!("{text:?}: {problems}");
    }
    documents
}

fn problems(text: &str) -> Vec<String> {
    let sink = Sink::new("t.yaml");
    parse(text, &sink);
    let problems = sink
        .into_problems()
        .map_or(Vec::new(), |problems| problems.0);
    problems.iter().map(ToString::to_string).collect()
}

/// One line per node: `line path kind text`.
fn flat(node: &Node, path: &str, lines: &mut Vec<String>) {
    match &node.data {
        Data::Scalar(kind, text) => lines.push(format!("{} {path} {kind:?} {text}", node.line)),
        Data::Sequence(items) => {
            for (index, item) in items.iter().enumerate() {
                flat(item, &format!("{path}[{index}]"), lines);
            }
        }
        Data::Mapping(entries) => {
            for entry in entries {
                flat(&entry.value, &format!("{path}.{}", entry.key), lines);
            }
        }
    }
}

fn flattened(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for document in documents(text) {
        flat(&document, "", &mut lines);
    }
    lines
}

#[test]
fn lines_and_order_are_those_of_the_text() {
    let text = "# comment\r\na: 1\r\nb:\r\n  - x\r\n\r\n  - {c: 'y', d: }\r\na: again\r\n--- \r\nz: |\r\n  long\r\n";
    assert_eq!(
        flattened(text),
        [
            "2 .a Number 1",
            "4 .b[0] String x",
            "6 .b[1].c String y",
            "6 .b[1].d Null ",
            "7 .a String again",
            // A block begins with its first line of text.
            "10 .z String long\n",
        ]
    );
}

#[test]
fn json_is_yaml() {
    let text = "{\n\t\"a\": [1, -2.5e3, true, null, \"x\\u00e4\\/\"],\n\t\"b\": {\"c\": {}}, \"d\": \"::1\"}";
    assert_eq!(
        flattened(text),
        [
            "2 .a[0] Number 1",
            "2 .a[1] Number -2.5e3",
            "2 .a[2] Boolean true",
            "2 .a[3] Null null",
            "2 .a[4] String xä/",
            "3 .d String ::1",
        ]
    );
}

#[test]
fn plain_scalars_have_the_type_of_the_core_schema() {
    for (text, kind) in [
        ("~", Kind::Null),
        ("null", Kind::Null),
        ("nUll", Kind::String),
        ("True", Kind::Boolean),
        ("yes", Kind::String),
        ("0", Kind::Number),
        ("-17", Kind::Number),
        ("+1.5", Kind::Number),
        (".5", Kind::Number),
        ("1e3", Kind::Number),
        ("0x1F", Kind::Number),
        ("0o17", Kind::Number),
        ("0o18", Kind::String),
        (".inf", Kind::Number),
        ("-.Inf", Kind::Number),
        (".nan", Kind::Number),
        ("nan", Kind::String),
        ("inf", Kind::String),
        ("50ms", Kind::String),
        ("1.2.3.4", Kind::String),
        ("::1", Kind::String),
        ("10.0.0.0/8", Kind::String),
        ("'1'", Kind::String),
        ("\"true\"", Kind::String),
        ("!!str 1", Kind::String),
        ("! 1", Kind::String),
        ("!!int 1", Kind::Number),
    ] {
        let documents = documents(&format!("- {text}"));
        let Data::Sequence(items) = &documents[0].data else {
            panic!("{text}");
        };
        let Data::Scalar(found, _) = items[0].data else {
            panic!("{text}");
        };
        assert_eq!(found, kind, "{text}");
    }
}

#[test]
fn aliases_and_merge_keys_are_resolved() {
    let text = "\
base: &base {a: 1, b: 2}
more: &more {b: 3, c: 4}
one:
  b: own
  <<: [*base, *more]
two: {<<: *more}
three: *base
";
    assert_eq!(
        flattened(text)[4..],
        [
            "4 .one.b String own",
            "1 .one.a Number 1",
            "2 .one.c Number 4",
            "2 .two.b Number 3",
            "2 .two.c Number 4",
            "1 .three.a Number 1",
            "1 .three.b Number 2",
        ]
    );
    assert_eq!(
        problems("a: 1\n<<: 5\n"),
        [r#"t.yaml:2: "<<: 5" merges (<<) something else than a mapping"#]
    );
}

#[test]
fn what_is_not_yaml_is_said_with_its_line() {
    for (text, expected) in [
        ("a: 1\nb: [1, 2\n", "t.yaml:3: is not YAML: "),
        ("a: 1\nb: [1, 2", r#"t.yaml:2: "b: [1, 2" is not YAML: "#),
        ("a: 1\n b: 2\n", r#"t.yaml:2: "b: 2" is not YAML: "#),
        ("a: *b\n", r#"t.yaml:1: "a: *b" is not YAML: "#),
        (
            "a: 1\n? {b: 2}\n: 3\n",
            r#"t.yaml:2: "? {b: 2}" has a key that is not a string"#,
        ),
        (
            "a: !secret x\n",
            r#"t.yaml:1: "a: !secret x" has the tag !secret, which means nothing here"#,
        ),
    ] {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        assert!(found[0].starts_with(expected), "{text:?}: {found:?}");
    }
    let brackets = problems("to:\n- [::1]:443\n");
    assert!(
        brackets[0].ends_with(r#"allowed: quotes around what begins with [, such as "[::1]:443""#),
        "{brackets:?}"
    );
}

#[test]
fn documents_before_a_broken_one_are_still_read() {
    let sink = Sink::new("t.yaml");
    assert_eq!(parse("a: 1\n---\nb: [\n---\nc: 1\n", &sink).len(), 1);
    assert!(!sink.is_empty());
}

/// Small texts that would take for ever, or all of the memory or the stack.
#[test]
fn texts_that_explode_are_refused_at_once() {
    let laughs = |depth: usize| -> String {
        let level = |i: usize| {
            format!(
                "a{i}: &a{i} [{}]\n",
                vec![format!("*a{}", i - 1); 10].join(",")
            )
        };
        "a0: &a0 [x]\n".to_owned() + &(1..depth).map(level).collect::<String>()
    };
    let chain = |depth: usize| -> String {
        let level = |i: usize| format!("a{i}: &a{i} [*a{}]\n", i - 1);
        "a0: &a0 [x]\n".to_owned() + &(1..depth).map(level).collect::<String>()
    };
    let indented = |depth: usize| {
        (0..depth)
            .map(|i| format!("{}a:\n", " ".repeat(i)))
            .collect()
    };
    // A single node each time.
    let repeated = |length| format!("- &a {}\n{}", "x".repeat(length), "- *a\n".repeat(100_000));
    for (text, message) in [
        (laughs(20), "values, those of aliases counted"),
        (repeated(1 << 20), "that copy more than 67108864 bytes"),
        (chain(100_000), "is deeper than 64 levels"),
        (
            "&a [*a]".to_owned(),
            "has an alias to what it is itself a part of",
        ),
        ("[".repeat(1_000_000), "is not YAML"),
        ("{a: ".repeat(100_000), "is not YAML"),
        ("- ".repeat(500_000), "is deeper than 64 levels"),
        ("? ".repeat(500_000), "is deeper than 64 levels"),
        (indented(1_000), "is deeper than 64 levels"),
        ("a\n".repeat(5_000_000), "bytes; at most 8388608 are read"),
    ] {
        let start: String = text.chars().take(20).collect();
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{start:?}");
        assert!(found[0].contains(message), "{start:?}: {found:?}");
    }
    assert_eq!(problems(&laughs(5)), [""; 0]);
    assert_eq!(problems(&repeated(100)), [""; 0]);
    assert_eq!(problems(&indented(64)), [""; 0]);
}

#[test]
fn ten_thousands_of_targets_are_fine() {
    let text = format!("to:\n{}", "- 10.0.0.1\n".repeat(50_000));
    assert_eq!(flattened(&text).len(), 50_000);
}

#[test]
fn fields_say_what_is_missing_unknown_twice_or_of_the_wrong_type() {
    let text = "\
name: 5
nmae: x
list: {a: b}
map: [1]
flag: 'yes'
twice: a
twice: b
label/x: 1
empty:
";
    let sink = Sink::new("t.yaml");
    let documents = parse(text, &sink);
    let fields = Field::root(&sink, &documents[0]).fields().unwrap();
    let (name, list) = (fields.get("name").unwrap(), fields.get("list").unwrap());
    assert_eq!((name.string(), name.text("")), (None, Some("5")));
    assert!(list.items().is_none());
    assert!(list.text("a word").is_none());
    assert!(fields.get("map").unwrap().fields().is_none());
    assert!(fields.get("flag").unwrap().boolean().is_none());
    assert_eq!(fields.get("twice").unwrap().string(), Some("a"));
    assert!(fields.get("empty").is_none());
    assert!(fields.require("empty", "something").is_none());
    assert!(fields.require("gone", "a thing").is_none());
    fields.finish();
    assert_eq!(
        sink.into_problems().unwrap().to_string(),
        r#"t.yaml:1: name: "5" is a number; allowed: a string, so write it in quotes: "5"
t.yaml:1: gone: missing; allowed: a thing
t.yaml:2: nmae: unknown field; did you mean "name"?
t.yaml:3: list: is a mapping; allowed: a list
t.yaml:3: list: is a mapping; allowed: a word
t.yaml:4: map: is a list; allowed: a mapping
t.yaml:5: flag: "yes" is a string; allowed: true or false
t.yaml:7: twice: given twice, the first time in line 6; allowed: each field once
t.yaml:8: ["label/x"]: unknown field; allowed: name, list, map, flag, twice, empty, gone
t.yaml:9: empty: missing; allowed: something"#
    );
}
