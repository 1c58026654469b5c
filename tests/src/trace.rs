//! A `tracing` layer that writes down everything, and the tree that it saw.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// The value of a field, with the type that it was recorded as.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An `i64`.
    I64(i64),
    /// A `bool`.
    Bool(bool),
    /// An `f64`.
    F64(f64),
    /// A `&str`.
    Str(String),
    /// Anything else: its type, and its text.
    Other(&'static str, String),
}

/// The fields of one record, in order.
pub type Fields = Vec<(&'static str, Value)>;

struct Collect<'f>(&'f mut Fields);

impl Visit for Collect<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.push((field.name(), Value::I64(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.push((field.name(), Value::Bool(value)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.push((field.name(), Value::F64(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), Value::Str(value.to_owned())));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.push((field.name(), Value::Other("u64", value.to_string())));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.0.push((field.name(), Value::Other("i128", value.to_string())));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.0.push((field.name(), Value::Other("u128", value.to_string())));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.0.push((field.name(), Value::Other("error", value.to_string())));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name(), Value::Other("debug", format!("{value:?}"))));
    }
}

/// A span that was opened.
#[derive(Clone, Debug)]
pub struct SpanSeen {
    /// Its name.
    pub name: &'static str,
    /// Its target.
    pub target: &'static str,
    /// Its level.
    pub level: Level,
    /// The position in [`Seen::spans`] of the span it was opened in.
    pub parent: Option<usize>,
    /// The fields it was opened with.
    pub fields: Fields,
    /// The fields that were recorded later.
    pub recorded: Fields,
    /// The positions in [`Seen::spans`] of those it follows from, `None` for one that was closed by then.
    pub follows: Vec<Option<usize>>,
    /// Whether it is closed.
    pub closed: bool,
}

/// An event that was sent.
#[derive(Clone, Debug)]
pub struct EventSeen {
    /// Its target.
    pub target: &'static str,
    /// Its level.
    pub level: Level,
    /// The position in [`Seen::spans`] of the span it was sent in.
    pub parent: Option<usize>,
    /// Its fields.
    pub fields: Fields,
}

impl EventSeen {
    /// The text of a field, if it has it.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// The text of a field that is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.field(name)? {
            Value::Str(text) | Value::Other(_, text) => Some(text),
            _ => None,
        }
    }
}

/// Everything that a [`Recorder`] has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The spans, in the order of their opening.
    pub spans: Vec<SpanSeen>,
    /// The events, in the order of their sending.
    pub events: Vec<EventSeen>,
    /// One line for each thing that happened to a span, and for each event.
    pub journal: Vec<String>,
    order: Vec<Node>,
}

#[derive(Clone, Copy, Debug)]
enum Node {
    Span(usize),
    Event(usize),
}

#[derive(Default)]
struct State {
    seen: Seen,
    ids: HashMap<u64, usize>,
}

impl State {
    fn name(&self, id: &Id) -> String {
        let span = &self.seen.spans[self.ids[&id.into_u64()]];
        let tier = span.fields.iter().find(|(name, _)| *name == "cache.tier");
        match tier {
            Some((_, Value::Str(tier))) => format!("{}({tier})", span.name),
            _ => span.name.to_owned(),
        }
    }
}

/// A layer that remembers; clones share what they have seen.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<State>>);

impl Recorder {
    /// Has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` with this layer as all that listens on this thread, and takes what it saw.
    pub fn listen(work: impl FnOnce()) -> Seen {
        let recorder = Self::new();
        tracing::subscriber::with_default(Registry::default().with(recorder.clone()), work);
        recorder.take()
    }

    /// Takes what has been seen.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut *self.state()).seen
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("journal", &self.state().seen.journal).finish_non_exhaustive()
    }
}

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let metadata: &'static Metadata<'static> = attributes.metadata();
        let mut fields = Fields::new();
        attributes.record(&mut Collect(&mut fields));
        // The nearest one that this layer's own filter has let through.
        let parent = ctx.span(id).and_then(|span| span.parent()).map(|parent| parent.id().into_u64());
        let mut state = self.state();
        let parent = parent.and_then(|id| state.ids.get(&id).copied());
        let span = state.seen.spans.len();
        state.ids.insert(id.into_u64(), span);
        state.seen.spans.push(SpanSeen {
            name: metadata.name(),
            target: metadata.target(),
            level: *metadata.level(),
            parent,
            fields,
            recorded: Fields::new(),
            follows: Vec::new(),
            closed: false,
        });
        state.seen.order.push(Node::Span(span));
        let line = format!("new {}", state.name(id));
        state.seen.journal.push(line);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _ctx: Context<'_, S>) {
        let mut fields = Fields::new();
        values.record(&mut Collect(&mut fields));
        let mut state = self.state();
        let line = format!("record {}", state.name(id));
        state.seen.journal.push(line);
        let span = state.ids[&id.into_u64()];
        state.seen.spans[span].recorded.append(&mut fields);
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, _ctx: Context<'_, S>) {
        let mut state = self.state();
        // Ids are used again: what is closed is not followed.
        let followed = state.ids.get(&follows.into_u64()).copied();
        let line = match followed {
            Some(_) => format!("{} follows {}", state.name(id), state.name(follows)),
            None => format!("{} follows what is closed", state.name(id)),
        };
        state.seen.journal.push(line);
        let span = state.ids[&id.into_u64()];
        state.seen.spans[span].follows.push(followed);
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut Collect(&mut fields));
        let metadata = event.metadata();
        let parent = ctx.event_span(event).map(|parent| parent.id().into_u64());
        let mut state = self.state();
        let parent = parent.and_then(|id| state.ids.get(&id).copied());
        let seen = EventSeen { target: metadata.target(), level: *metadata.level(), parent, fields };
        let line = format!("event {}", seen.text("message").unwrap_or_default());
        state.seen.journal.push(line);
        let event = state.seen.events.len();
        state.seen.order.push(Node::Event(event));
        state.seen.events.push(seen);
    }

    fn on_enter(&self, id: &Id, _ctx: Context<'_, S>) {
        let mut state = self.state();
        let line = format!("enter {}", state.name(id));
        state.seen.journal.push(line);
    }

    fn on_exit(&self, id: &Id, _ctx: Context<'_, S>) {
        let mut state = self.state();
        let line = format!("exit {}", state.name(id));
        state.seen.journal.push(line);
    }

    fn on_close(&self, id: Id, _ctx: Context<'_, S>) {
        let mut state = self.state();
        let line = format!("close {}", state.name(&id));
        state.seen.journal.push(line);
        let span = state.ids.remove(&id.into_u64());
        if let Some(span) = span {
            state.seen.spans[span].closed = true;
        }
    }
}

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
