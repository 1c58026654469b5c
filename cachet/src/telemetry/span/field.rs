//! The values of a tier's span fields, as traits, so that rustc reports an unsupported type at the user's expression.

use std::fmt;

use super::FieldRecorder;

/// `name = value`
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be recorded directly",
    label = "not a number, a boolean or a text",
    note = "write `%` in front of it to record it by `Display`, or `?` to record it by `Debug`"
)]
pub trait FieldValue {
    fn record(&self, name: &'static str, recorder: &mut FieldRecorder<'_>);
}

/// `name = %value`
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be recorded by `Display`",
    label = "does not implement `Display`",
    note = "implement `std::fmt::Display` for `{Self}`, or write `?` instead of `%` to record it by `Debug`"
)]
pub trait DisplayField {
    fn record(&self, name: &'static str, recorder: &mut FieldRecorder<'_>);
}

/// `name = ?value`
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be recorded by `Debug`",
    label = "does not implement `Debug`",
    note = "add `#[derive(Debug)]` to `{Self}`, or write `%` instead of `?` to record it by `Display`"
)]
pub trait DebugField {
    fn record(&self, name: &'static str, recorder: &mut FieldRecorder<'_>);
}

/// `remote(address = value)`
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the address of a remote tier",
    label = "does not implement `Display`",
    note = "an address is anything that `Display` shows as `host` or `host:port`: a text, a `std::net::SocketAddr`"
)]
pub trait AddressField {
    fn record(&self, recorder: &mut FieldRecorder<'_>);
}

#[cfg(feature = "logs")]
#[diagnostic::do_not_recommend]
impl<V: tracing::field::Value + ?Sized> FieldValue for V {
    fn record(&self, name: &'static str, recorder: &mut FieldRecorder<'_>) {
        recorder.record(name, self);
    }
}

/// Accepts any type and records nothing.
#[cfg(not(feature = "logs"))]
impl<V: ?Sized> FieldValue for V {
    fn record(&self, name: &'static str, recorder: &mut FieldRecorder<'_>) {
        recorder.record(name, self);
    }
}

#[diagnostic::do_not_recommend]
impl<V: fmt::Display + ?Sized> DisplayField for V {
    fn record(&self, name: &'static str, recorder: &mut FieldRecorder<'_>) {
        recorder.record_display(name, &self);
    }
}

#[diagnostic::do_not_recommend]
impl<V: fmt::Debug + ?Sized> DebugField for V {
    fn record(&self, name: &'static str, recorder: &mut FieldRecorder<'_>) {
        recorder.record_debug(name, &self);
    }
}

#[diagnostic::do_not_recommend]
impl<V: fmt::Display + ?Sized> AddressField for V {
    fn record(&self, recorder: &mut FieldRecorder<'_>) {
        recorder.record_address(&self);
    }
}
