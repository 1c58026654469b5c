//! A `tracing` layer that records everything, and the tree of what it recorded.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

mod tree;

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
