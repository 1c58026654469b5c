//! S35: names are part of the contract, and change only with a new major version.

use cachet::telemetry::EventMask;
use cachet::telemetry::{CacheOperation, OperationOutcome, TierOperation, TierOutcome, attributes};

// S35
#[test]
fn attributes_keep_their_names() {
    let names: Vec<_> = attributes::ALL.iter().map(|(name, text)| format!("{name} {text}")).collect();
    assert_eq!(
        names,
        [
            "TARGET_OPERATION cachet::op",
            "TARGET_EVENT cachet::event",
            "TARGET_TIER cachet::tier",
            "SPAN_TIER cache.tier",
            "SPAN_LOAD cache.load",
            "SPAN_GET cache.get",
            "SPAN_CONTAINS cache.contains",
            "SPAN_INSERT cache.insert",
            "SPAN_INVALIDATE cache.invalidate",
            "SPAN_CLEAR cache.clear",
            "SPAN_LEN cache.len",
            "SPAN_GET_OR_INSERT cache.get_or_insert",
            "SPAN_TRY_GET_OR_INSERT cache.try_get_or_insert",
            "SPAN_OPTIONALLY_GET_OR_INSERT cache.optionally_get_or_insert",
            "SPAN_GET_MANY cache.get_many",
            "SPAN_INSERT_MANY cache.insert_many",
            "SPAN_INVALIDATE_MANY cache.invalidate_many",
            "SPAN_REFRESH cache.refresh",
            "FIELD_NAME cache.name",
            "FIELD_OPERATION cache.operation",
            "FIELD_REQUEST_ID cache.request_id",
            "FIELD_PARENT_REQUEST_ID cache.parent_request_id",
            "FIELD_TIER cache.tier",
            "FIELD_OUTCOME cache.outcome",
            "FIELD_FALLBACK cache.fallback",
            "FIELD_COALESCED cache.coalesced",
            "FIELD_LEADER_REQUEST_ID cache.leader_request_id",
            "FIELD_HIT cache.hit",
            "FIELD_KEYS cache.keys",
            "FIELD_HITS cache.hits",
            "FIELD_HIT_TIER cache.hit_tier",
            "FIELD_AGE_MS cache.age_ms",
            "FIELD_DURATION_NS cache.duration_ns",
            "FIELD_KEY cache.key",
            "FIELD_ERROR_TYPE error.type",
            "FIELD_OTEL_KIND otel.kind",
            "FIELD_OTEL_STATUS_CODE otel.status_code",
            "FIELD_SENTRY_OP sentry.op",
            "FIELD_DB_SYSTEM_NAME db.system.name",
            "FIELD_SERVER_ADDRESS server.address",
            "FIELD_SERVER_PORT server.port",
            "FIELD_MESSAGE message",
            "METRIC_REQUESTS cachet.requests",
            "METRIC_TIER_REQUESTS cachet.tier.requests",
            "METRIC_OPERATION_DURATION cachet.operation.duration",
            "METRIC_TIER_OPERATION_DURATION cachet.tier.operation.duration",
            "METRIC_LOAD_DURATION cachet.load.duration",
            "METRIC_COALESCED cachet.coalesced",
            "METRIC_REFRESHES cachet.refreshes",
            "METRIC_EVICTIONS cachet.evictions",
            "METRIC_ENTRY_COUNT cachet.entry.count",
            "METRIC_TELEMETRY_DROPPED cachet.telemetry.dropped",
        ]
    );
}

// S35
#[test]
fn operations_and_outcomes_keep_their_names() {
    let texts = |names: &mut dyn Iterator<Item = &'static str>| names.collect::<Vec<_>>().join(" ");
    assert_eq!(
        texts(&mut TierOperation::ALL.iter().map(|name| name.as_str())),
        "get contains insert invalidate clear len get_many insert_many invalidate_many evict breaker"
    );
    assert_eq!(
        texts(&mut TierOutcome::ALL.iter().map(|name| name.as_str())),
        "hit miss expired error panicked cancelled skipped inserted rejected superseded invalidated cleared counted evicted \
         opened closed"
    );
    assert_eq!(
        texts(&mut CacheOperation::ALL.iter().map(|name| name.as_str())),
        "get contains insert invalidate clear len get_or_insert try_get_or_insert optionally_get_or_insert \
         get_many insert_many invalidate_many refresh repay"
    );
    assert_eq!(
        texts(&mut OperationOutcome::ALL.iter().map(|name| name.as_str())),
        "hit stale miss inserted rejected computed none invalidated cleared counted error panicked cancelled refreshed \
         suppressed superseded"
    );
}

// S35
#[test]
fn names_are_printed_with_the_width_asked_for() {
    assert_eq!(format!("[{:>6}|{:<6}]", TierOperation::Get, TierOutcome::Hit), "[   get|hit   ]");
}

// S35
#[test]
fn reads_and_computes_are_what_the_laws_call_so() {
    use CacheOperation::{Contains, Get, GetMany, GetOrInsert, OptionallyGetOrInsert, TryGetOrInsert};
    let reads: Vec<_> = CacheOperation::ALL.iter().filter(|operation| operation.is_read()).collect();
    assert_eq!(reads, [&Get, &Contains, &GetOrInsert, &TryGetOrInsert, &OptionallyGetOrInsert, &GetMany]);
    let computes: Vec<_> = CacheOperation::ALL.iter().filter(|operation| operation.is_compute()).collect();
    assert_eq!(computes, [&GetOrInsert, &TryGetOrInsert, &OptionallyGetOrInsert]);
}

// S36
#[test]
fn interests_add_up() {
    let all = EventMask::OPERATIONS | EventMask::TIERS | EventMask::TIMING | EventMask::TRAIL;
    assert_eq!(all, EventMask::ALL);
    assert!(!EventMask::NONE.intersects(all) && all.contains(EventMask::NONE));
}
