//! What was recorded, as lines to compare.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::{EventSeen, Fields, Node, Seen, Value};

/// Replaces the ids of a run by `#1`, `#2`, … in the order of their appearance, so that runs can be compared.
#[derive(Default)]
struct Ids(HashMap<i64, usize>);

impl Ids {
    fn text(&mut self, fields: &Fields) -> String {
        let mut text = String::new();
        for (name, value) in fields {
            let _ = match value {
                Value::I64(id) if name.ends_with("request_id") => {
                    let next = self.0.len() + 1;
                    write!(text, " {name}=#{}", self.0.entry(*id).or_insert(next))
                }
                Value::I64(number) => write!(text, " {name}={number}"),
                Value::Bool(flag) => write!(text, " {name}={flag}"),
                Value::F64(number) => write!(text, " {name}={number:?}"),
                Value::Str(string) => write!(text, " {name}={string:?}"),
                // A message is text that is written only when wanted; everything else has to have a type.
                Value::Other("debug", message) if *name == "message" => write!(text, " {message:?}"),
                Value::Other(kind, other) => write!(text, " {name}={kind}:{other}"),
            };
        }
        text
    }
}

impl Seen {
    /// The spans as a tree, two spaces per level: name, level, target, the fields it was opened with, then, behind a `|`,
    /// those recorded later.
    pub fn spans_as_lines(&self) -> Vec<String> {
        self.lines(|node| matches!(node, Node::Span(_)))
    }

    /// The same with the events in their places: `- level target "message"` and the other fields.
    pub fn as_lines(&self) -> Vec<String> {
        self.lines(|_| true)
    }

    /// The spans of the library as a tree, each with no more than the name of its tier, what it did and how it ended.
    pub fn outline(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for span in &self.spans {
            let text = |wanted: &str| {
                let field = span.fields.iter().chain(&span.recorded).find(|(name, _)| *name == wanted);
                match field {
                    Some((_, Value::Str(text))) => format!(" {text}"),
                    _ => String::new(),
                }
            };
            let (mut depth, mut parent) = (0, span.parent);
            while let Some(above) = parent {
                depth += 1;
                parent = self.spans[above].parent;
            }
            let operation = if span.name == "cache.tier" { text("cache.operation") } else { String::new() };
            lines.push(format!(
                "{:indent$}{}{}{operation}:{}",
                "",
                span.name,
                text("cache.tier"),
                text("cache.outcome"),
                indent = depth * 2
            ));
        }
        lines
    }

    /// The events, wherever they were sent.
    pub fn events_as_lines(&self) -> Vec<String> {
        let mut ids = Ids::default();
        self.events.iter().map(|event| event_line(event, &mut ids)).collect()
    }

    fn lines(&self, wanted: impl Fn(Node) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        self.below(None, 0, &wanted, &mut Ids::default(), &mut lines);
        lines
    }

    fn below(
        &self,
        parent: Option<usize>,
        depth: usize,
        wanted: &impl Fn(Node) -> bool,
        ids: &mut Ids,
        lines: &mut Vec<String>,
    ) {
        for node in self.order.iter().filter(|node| wanted(**node)) {
            match *node {
                Node::Span(index) if self.spans[index].parent == parent => {
                    let span = &self.spans[index];
                    let opened = ids.text(&span.fields);
                    let recorded = ids.text(&span.recorded);
                    lines.push(format!(
                        "{:depth$}{} {} {}{opened} |{recorded}{}",
                        "",
                        span.name,
                        span.level,
                        span.target,
                        if span.closed { "" } else { " (open)" },
                        depth = depth * 2
                    ));
                    self.below(Some(index), depth + 1, wanted, ids, lines);
                }
                Node::Event(index) if self.events[index].parent == parent => {
                    lines.push(format!("{:depth$}{}", "", event_line(&self.events[index], ids), depth = depth * 2));
                }
                Node::Span(_) | Node::Event(_) => {}
            }
        }
    }

    /// Checks what holds for every span and event that the library makes: a field is recorded once, has a type that
    /// every backend understands, and is never called `error`; the outcome is known at the end; every span is closed.
    ///
    /// # Panics
    ///
    /// When it does not hold.
    #[track_caller]
    pub fn check(&self) {
        for span in self.spans.iter().filter(|span| span.name.starts_with("cache.")) {
            let fields: Fields = span.fields.iter().chain(&span.recorded).cloned().collect();
            check_fields(span.name, &fields);
            assert!(span.closed, "{} is still open", span.name);
            for expected in ["cache.name", "cache.operation", "cache.request_id", "cache.outcome", "otel.kind"] {
                assert!(fields.iter().any(|(name, _)| *name == expected), "{} has no `{expected}`", span.name);
            }
        }
        for event in self.events.iter().filter(|event| event.field("cache.name").is_some()) {
            check_fields("an event", &event.fields);
        }
    }
}

fn event_line(event: &EventSeen, ids: &mut Ids) -> String {
    format!("- {} {}{}", event.level, event.target, ids.text(&event.fields))
}

#[track_caller]
fn check_fields(owner: &str, fields: &Fields) {
    for (position, (name, value)) in fields.iter().enumerate() {
        assert!(fields[..position].iter().all(|(earlier, _)| earlier != name), "{owner} records `{name}` twice");
        assert_ne!(*name, "error", "{owner} has a field called `error`");
        let plain = !matches!(value, Value::Other(..)) || *name == "message";
        assert!(plain, "{owner} records `{name}` as {value:?}");
    }
}
