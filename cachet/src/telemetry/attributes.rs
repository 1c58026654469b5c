//! The names of spans, fields, targets and metrics in telemetry.
//!
//! They are part of the public interface: a name changes only in a new major version. Use these constants, rather than their text,
//! in code that reads spans, events or metrics.
//!
//! The names of metrics are recommendations for exporters: cachet itself exports no metrics.
//!
//! OpenTelemetry has no convention for caches yet. `sentry.op` and `cache.hit` are read by
//! [Sentry's Caches module](https://docs.sentry.io/product/insights/backend/caches/); the `error.*`, `otel.*`, `db.*` and
//! `server.*` names are OpenTelemetry's.
//!
//! ```
//! use cachet::telemetry::attributes;
//! assert_eq!(attributes::FIELD_OUTCOME, "cache.outcome");
//! ```

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*

        /// All names of this module with their texts, in the order of declaration.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $text)),*];
    };
}

names! {
    /// Target of the operations' spans.
    TARGET_OPERATION = "cachet::op";
    /// Target of the library's own events, most of which are completions of operations.
    TARGET_EVENT = "cachet::event";
    /// Target of the spans and events of the library's own tiers.
    TARGET_TIER = "cachet::tier";

    /// Span of one call of a tier.
    SPAN_TIER = "cache.tier";
    /// Span of the loader of a compute method.
    SPAN_LOAD = "cache.load";
    /// Span of `Cache::get`.
    SPAN_GET = "cache.get";
    /// Span of `Cache::contains`.
    SPAN_CONTAINS = "cache.contains";
    /// Span of `Cache::insert`.
    SPAN_INSERT = "cache.insert";
    /// Span of `Cache::invalidate`.
    SPAN_INVALIDATE = "cache.invalidate";
    /// Span of `Cache::clear`.
    SPAN_CLEAR = "cache.clear";
    /// Span of `Cache::len`.
    SPAN_LEN = "cache.len";
    /// Span of `Cache::get_or_insert`.
    SPAN_GET_OR_INSERT = "cache.get_or_insert";
    /// Span of `Cache::try_get_or_insert`.
    SPAN_TRY_GET_OR_INSERT = "cache.try_get_or_insert";
    /// Span of `Cache::optionally_get_or_insert`.
    SPAN_OPTIONALLY_GET_OR_INSERT = "cache.optionally_get_or_insert";
    /// Span of `Cache::get_many`.
    SPAN_GET_MANY = "cache.get_many";
    /// Span of `Cache::insert_many`.
    SPAN_INSERT_MANY = "cache.insert_many";
    /// Span of `Cache::invalidate_many`.
    SPAN_INVALIDATE_MANY = "cache.invalidate_many";
    /// Span of a background refresh: a root span that follows from the operation that triggered it.
    SPAN_REFRESH = "cache.refresh";

    /// The name of the cache; a string.
    FIELD_NAME = "cache.name";
    /// The method of the cache or of the tier; a string.
    FIELD_OPERATION = "cache.operation";
    /// The operation's [`RequestId`](crate::RequestId); an integer.
    FIELD_REQUEST_ID = "cache.request_id";
    /// The id of the operation whose loader or tier started this one; an integer.
    FIELD_PARENT_REQUEST_ID = "cache.parent_request_id";
    /// The name of the tier; a string.
    FIELD_TIER = "cache.tier";
    /// The outcome; a string, recorded once, at the end.
    FIELD_OUTCOME = "cache.outcome";
    /// On a tier: it was called because an upper tier had no entry or failed. On an operation: this applies to one of its tiers.
    /// A boolean.
    FIELD_FALLBACK = "cache.fallback";
    /// The operation was a follower, which waited for the result of a leader; a boolean.
    FIELD_COALESCED = "cache.coalesced";
    /// The id of the leader of this operation; an integer.
    FIELD_LEADER_REQUEST_ID = "cache.leader_request_id";
    /// Whether a read found an entry; a boolean.
    FIELD_HIT = "cache.hit";
    /// The number of keys of a batch; an integer, on operations and on tier events.
    FIELD_KEYS = "cache.keys";
    /// The number of hits of a batch lookup; an integer, on operations and on tier events.
    FIELD_HITS = "cache.hits";
    /// The tier that answered; a string.
    FIELD_HIT_TIER = "cache.hit_tier";
    /// The age of the entry in its tier, in milliseconds; an integer.
    FIELD_AGE_MS = "cache.age_ms";
    /// The duration in nanoseconds; an integer, on events.
    FIELD_DURATION_NS = "cache.duration_ns";
    /// The key in the form set by `record_keys`; a string.
    FIELD_KEY = "cache.key";
    /// The class of an error; a string of low cardinality.
    FIELD_ERROR_TYPE = "error.type";
    /// `client` on a tier that is declared `remote`, otherwise `internal`.
    FIELD_OTEL_KIND = "otel.kind";
    /// `ERROR` if the call returned an error, otherwise absent.
    FIELD_OTEL_STATUS_CODE = "otel.status_code";
    /// `cache.get`, `cache.put`, `cache.remove` or `cache.flush`, on operations.
    FIELD_SENTRY_OP = "sentry.op";
    /// The product behind a `remote` tier; a string.
    FIELD_DB_SYSTEM_NAME = "db.system.name";
    /// The host of a `remote` tier; a string.
    FIELD_SERVER_ADDRESS = "server.address";
    /// The port of a `remote` tier; an integer.
    FIELD_SERVER_PORT = "server.port";
    /// The text of an event.
    FIELD_MESSAGE = "message";

    /// Counter of operations, unit `{request}`; labels `cache.name`, `cache.operation`, `cache.outcome`.
    METRIC_REQUESTS = "cachet.requests";
    /// Counter of tier calls, unit `{request}`; labels `cache.name`, `cache.tier`, `cache.operation`, `cache.outcome`.
    METRIC_TIER_REQUESTS = "cachet.tier.requests";
    /// Histogram of operation durations, unit `s`; labels `cache.name`, `cache.operation`, `cache.outcome`.
    METRIC_OPERATION_DURATION = "cachet.operation.duration";
    /// Histogram of tier call durations, unit `s`; labels `cache.name`, `cache.tier`, `cache.operation`, `cache.outcome`.
    METRIC_TIER_OPERATION_DURATION = "cachet.tier.operation.duration";
    /// Histogram of load durations, unit `s`; label `cache.name`.
    METRIC_LOAD_DURATION = "cachet.load.duration";
    /// Counter of followers, unit `{request}`; label `cache.name`.
    METRIC_COALESCED = "cachet.coalesced";
    /// Counter of refreshes, unit `{refresh}`; labels `cache.name`, `cache.outcome`.
    METRIC_REFRESHES = "cachet.refreshes";
    /// Counter of evictions, unit `{entry}`; labels `cache.name`, `cache.tier`.
    METRIC_EVICTIONS = "cachet.evictions";
    /// Number of entries, unit `{entry}`; labels `cache.name`, `cache.tier`.
    METRIC_ENTRY_COUNT = "cachet.entry.count";
    /// Counter of dropped telemetry events, unit `{event}`.
    METRIC_TELEMETRY_DROPPED = "cachet.telemetry.dropped";
}
