//! The fields that a tier declares for its spans.

use std::fmt;

use tracing::field::{Field, FieldSet, Value, Visit};

/// Saturates numbers that exceed the integers of spans and events.
pub(super) fn as_i64(number: u128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Collects the values of the fields that a tier declares; created only if its span is enabled.
///
/// All values are collected before the span is created: samplers and filters do not see a field that is recorded later.
#[doc(hidden)]
pub struct FieldRecorder<'a> {
    pub(super) fields: &'a FieldSet,
    pub(super) values: Vec<(usize, Recorded)>,
}

/// A value in one of the four supported types.
pub(super) enum Recorded {
    Integer(i64),
    Boolean(bool),
    Float(f64),
    Text(String),
}

impl Recorded {
    pub(super) fn as_value(&self) -> &dyn Value {
        match self {
            Self::Integer(value) => value,
            Self::Boolean(value) => value,
            Self::Float(value) => value,
            Self::Text(value) => value,
        }
    }
}

#[doc(hidden)]
impl FieldRecorder<'_> {
    pub(in crate::telemetry::span) fn record<V: Value + ?Sized>(&mut self, name: &'static str, value: &V) {
        if let Some(field) = self.fields.field(name) {
            value.record(&field, self);
        }
    }

    pub(in crate::telemetry::span) fn record_display(&mut self, name: &'static str, value: &dyn fmt::Display) {
        self.record(name, &tracing::field::display(value));
    }

    pub(in crate::telemetry::span) fn record_debug(&mut self, name: &'static str, value: &dyn fmt::Debug) {
        self.record(name, &tracing::field::debug(value));
    }

    /// Records `host`, `host:port` or `[host]:port`. The rest of a URL is omitted: it may contain a password.
    pub(in crate::telemetry::span) fn record_address(&mut self, address: &dyn fmt::Display) {
        let address = address.to_string();
        let address = match address.split_once("://") {
            Some((_scheme, rest)) => {
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                authority.rsplit_once('@').map_or(authority, |(_user, host)| host)
            }
            None => address.as_str(),
        };
        let split = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        match split {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                self.record("server.address", host.trim_matches(['[', ']']));
                self.record("server.port", &i64::from(port));
            }
            _ => self.record("server.address", address),
        }
    }
}

impl Visit for FieldRecorder<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.values.push((field.index(), Recorded::Integer(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_i64(field, as_i64(value.into()));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.record_i64(field, as_i64(value));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        let clamped = value.clamp(i64::MIN.into(), i64::MAX.into());
        self.record_i64(field, i64::try_from(clamped).unwrap_or_default());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.values.push((field.index(), Recorded::Boolean(value)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.values.push((field.index(), Recorded::Float(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.values.push((field.index(), Recorded::Text(value.to_owned())));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.values.push((field.index(), Recorded::Text(format!("{value:?}"))));
    }
}

impl fmt::Debug for FieldRecorder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldRecorder").finish()
    }
}
