//! `RecordKeys`: whether and in which form telemetry contains keys.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use foldhash::fast::FixedState;

/// Sets whether and in which form spans and events contain the key of an operation.
///
/// By default they do not: keys often are personal data, and have a high cardinality.
///
/// ```
/// use cachet::telemetry::RecordKeys;
/// use cachet::Cache;
///
/// let users = Cache::<str, u32>::builder("users").record_keys(RecordKeys::with(|key: &str| {
///     // Only the part before the `@`.
///     key.split('@').next().unwrap_or_default().to_owned()
/// }));
/// # drop(users);
/// ```
pub struct RecordKeys<K: ?Sized>(Option<Arc<Text<K>>>);

type Text<K> = dyn Fn(&K) -> String + Send + Sync;

impl<K: ?Sized> RecordKeys<K> {
    /// Omits keys; the default.
    pub const fn omitted() -> Self {
        Self(None)
    }

    /// Records a 64-bit hash of the key, in hexadecimal, to correlate operations on the same key. The hash is the same in every
    /// process of the same build. It is not cryptographic: a key can be found by guessing.
    pub fn hashed() -> Self
    where
        K: Hash + 'static,
    {
        Self::with(|key| format!("{:016x}", FixedState::default().hash_one(key)))
    }

    /// Records the whole key.
    pub fn full() -> Self
    where
        K: fmt::Display + 'static,
    {
        Self::with(ToString::to_string)
    }

    /// Records the text that `text` returns, for example a part or a redacted form of the key.
    pub fn with(text: impl Fn(&K) -> String + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(text)))
    }

    #[inline]
    pub(crate) fn text(&self, key: &K) -> Option<Arc<str>> {
        let text = self.0.as_deref()?;
        Some(shared(text, key))
    }
}

/// Kept apart, since keys are hardly ever recorded.
#[cold]
fn shared<K: ?Sized>(text: &Text<K>, key: &K) -> Arc<str> {
    text(key).into()
}

impl<K: ?Sized> Default for RecordKeys<K> {
    fn default() -> Self {
        Self::omitted()
    }
}

impl<K: ?Sized> Clone for RecordKeys<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: ?Sized> fmt::Debug for RecordKeys<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "RecordKeys::with(..)" } else { "RecordKeys::omitted()" })
    }
}
