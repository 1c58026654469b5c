//! The names under which telemetry appears: spans, fields, targets and metrics.
//!
//! They are part of this crate's public contract: a name changes only with a new major version. A pipeline that reads
//! spans, events or metrics should name these constants rather than repeat their text.
//!
//! The names of metrics are for those who export them: cachet sends no metrics itself, and a handler that does should use
//! them.
//!
//! OpenTelemetry has no convention for caches yet; `sentry.op` and `cache.hit` are what
//! [Sentry's Caches module](https://docs.sentry.io/product/insights/backend/caches/) reads, and the `error.*`,
//! `otel.*`, `db.*` and `server.*` names are OpenTelemetry's own.
//!
//! ```
//! use cachet::telemetry::attributes;
//! assert_eq!(attributes::FIELD_OUTCOME, "cache.outcome");
//! ```

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*

        /// Every name of this module with its text, in the order of their declaration.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $text)),*];
    };
}

names! {
    /// Target of the operations' spans.
    TARGET_OPERATION = "cachet::op";
    /// Target of the events that the library emits itself, operation completions above all.
    TARGET_EVENT = "cachet::event";
    /// Target of the spans and events of the library's own tiers.
    TARGET_TIER = "cachet::tier";

    /// Span of one call of a tier.
    SPAN_TIER = "cache.tier";
    /// Span of the closure of a compute method.
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
    /// Span of a refresh in the background: a root, which follows from the operation that triggered it.
    SPAN_REFRESH = "cache.refresh";

    /// The name of the cache; a string.
    FIELD_NAME = "cache.name";
    /// The method of the cache, or of the tier; a string.
    FIELD_OPERATION = "cache.operation";
    /// The operation's [`RequestId`](crate::RequestId); an integer.
    FIELD_REQUEST_ID = "cache.request_id";
    /// The id of the operation inside which this one was started; an integer.
    FIELD_PARENT_REQUEST_ID = "cache.parent_request_id";
    /// The name of the tier; a string.
    FIELD_TIER = "cache.tier";
    /// How it ended; a string, recorded once, at the end.
    FIELD_OUTCOME = "cache.outcome";
    /// On a tier: it was asked because an earlier one did not answer. On an operation: some tier was. A boolean.
    FIELD_FALLBACK = "cache.fallback";
    /// The operation waited for another's work instead of doing its own; a boolean.
    FIELD_COALESCED = "cache.coalesced";
    /// The id of the operation that did the work for this one; an integer.
    FIELD_LEADER_REQUEST_ID = "cache.leader_request_id";
    /// Whether a read found an entry; a boolean.
    FIELD_HIT = "cache.hit";
    /// How many keys it was about, where it was about several; an integer, on operations and on the events of tiers.
    FIELD_KEYS = "cache.keys";
    /// For how many of several keys a lookup had an entry; an integer, likewise.
    FIELD_HITS = "cache.hits";
    /// The tier that answered; a string.
    FIELD_HIT_TIER = "cache.hit_tier";
    /// The age of the entry in its tier, in milliseconds; an integer.
    FIELD_AGE_MS = "cache.age_ms";
    /// How long it took, in nanoseconds, on events; an integer.
    FIELD_DURATION_NS = "cache.duration_ns";
    /// The key, in the form that `record_keys` asked for; a string.
    FIELD_KEY = "cache.key";
    /// The class of a failure; a string of low cardinality.
    FIELD_ERROR_TYPE = "error.type";
    /// `internal`, or `client` on a tier that is declared `remote`.
    FIELD_OTEL_KIND = "otel.kind";
    /// `ERROR`, only when the call returned an error.
    FIELD_OTEL_STATUS_CODE = "otel.status_code";
    /// `cache.get`, `cache.put`, `cache.remove` or `cache.flush`, on operations.
    FIELD_SENTRY_OP = "sentry.op";
    /// The product behind a `remote` tier; a string.
    FIELD_DB_SYSTEM_NAME = "db.system.name";
    /// The host of a `remote` tier; a string.
    FIELD_SERVER_ADDRESS = "server.address";
    /// The port of a `remote` tier; an integer.
    FIELD_SERVER_PORT = "server.port";
    /// What an event says in words.
    FIELD_MESSAGE = "message";

    /// Counter of operations, unit `{request}`.
    METRIC_REQUESTS = "cachet.requests";
    /// Counter of tier calls, unit `{request}`.
    METRIC_TIER_REQUESTS = "cachet.tier.requests";
    /// Histogram of operation durations, unit `s`.
    METRIC_OPERATION_DURATION = "cachet.operation.duration";
    /// Histogram of tier call durations, unit `s`.
    METRIC_TIER_OPERATION_DURATION = "cachet.tier.operation.duration";
    /// Histogram of the durations of closures, unit `s`.
    METRIC_LOAD_DURATION = "cachet.load.duration";
    /// Counter of operations that waited for another's work, unit `{request}`.
    METRIC_COALESCED = "cachet.coalesced";
    /// Counter of refreshes, unit `{refresh}`.
    METRIC_REFRESHES = "cachet.refreshes";
    /// Counter of evictions, unit `{entry}`.
    METRIC_EVICTIONS = "cachet.evictions";
    /// Number of entries, unit `{entry}`.
    METRIC_ENTRY_COUNT = "cachet.entry.count";
    /// Counter of telemetry that was lost, unit `{event}`.
    METRIC_TELEMETRY_DROPPED = "cachet.telemetry.dropped";
}
