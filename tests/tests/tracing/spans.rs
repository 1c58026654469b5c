//! Span trees, with every field.

use cachet::telemetry::TierOperation::{Get, Insert, Invalidate, Len};
use cachet::telemetry::{RecordKeys, RequestIdExt, SpanLevel};
use cachet::testing::Behavior::{Fail, Hang, Panic, Pend, Reject};
use cachet::{CacheEntry, CacheTier, InsertOutcome, InsertPolicy, RequestId, Tier, TierError, cache_tier};
use cachet_tests::task::pend;
use cachet_tests::tiers::Minimal;
use cachet_tests::trace::Recorder;
use cachet_tests::{ManualTask, ready};

use crate::{Ages, Logged, Mock, millis};

// S35
#[test]
fn a_read_that_falls_back_is_a_tree_of_its_calls() {
    let logged = Logged::new();
    logged.put_below("ada", 1, millis(1234));
    let seen = Recorder::listen(|| assert!(ready(logged.cache.get("ada")).unwrap().is_some()));
    seen.check();
    assert_eq!(
        seen.spans_as_lines(),
        [
            r#"cache.get DEBUG cachet::op cache.name="ages" cache.operation="get" cache.request_id=#1 otel.kind="internal" sentry.op="cache.get" | cache.outcome="hit" cache.hit=true cache.hit_tier="l2" cache.age_ms=1234 cache.fallback=true cache.coalesced=false"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l1" cache.operation="get" cache.request_id=#1 cache.fallback=false otel.kind="internal" | cache.outcome="miss" cache.hit=false"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l2" cache.operation="get" cache.request_id=#1 cache.fallback=true otel.kind="internal" | cache.outcome="hit" cache.hit=true cache.age_ms=1234"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l1" cache.operation="insert" cache.request_id=#1 cache.fallback=false otel.kind="internal" | cache.outcome="inserted""#,
        ]
    );
}

// S35
#[test]
fn writes_tell_what_became_of_them() {
    let logged = Logged::new();
    let seen = Recorder::listen(|| {
        ready(logged.cache.insert("ada", 1)).unwrap();
        ready(logged.cache.invalidate("ada")).unwrap();
        ready(logged.cache.clear()).unwrap();
    });
    seen.check();
    let operation = |name: &str, sentry: &str, id: u32, outcome: &str| {
        format!(
            r#"cache.{name} DEBUG cachet::op cache.name="ages" cache.operation="{name}" cache.request_id=#{id} otel.kind="internal" sentry.op="{sentry}" | cache.outcome="{outcome}" cache.fallback=false cache.coalesced=false"#
        )
    };
    let tier = |tier: &str, name: &str, id: u32, outcome: &str| {
        format!(
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="{tier}" cache.operation="{name}" cache.request_id=#{id} cache.fallback=false otel.kind="internal" | cache.outcome="{outcome}""#
        )
    };
    assert_eq!(
        seen.spans_as_lines(),
        [
            operation("insert", "cache.put", 1, "inserted"),
            tier("l1", "insert", 1, "inserted"),
            tier("l2", "insert", 1, "inserted"),
            operation("invalidate", "cache.remove", 2, "invalidated"),
            tier("l1", "invalidate", 2, "invalidated"),
            tier("l2", "invalidate", 2, "invalidated"),
            operation("clear", "cache.flush", 3, "cleared"),
            tier("l1", "clear", 3, "cleared"),
            tier("l2", "clear", 3, "cleared"),
        ]
    );
}

// S35
#[test]
fn every_method_has_a_span_of_its_own_name() {
    let logged = Logged::new();
    let cache = &logged.cache;
    let seen = Recorder::listen(|| {
        ready(cache.contains("ada")).unwrap();
        ready(cache.len()).unwrap();
        ready(cache.get_or_insert("ada", || async { 1 })).unwrap();
        ready(cache.try_get_or_insert("bob", || async { Err::<u32, _>("no") })).unwrap_err();
        ready(cache.optionally_get_or_insert("eve", || async { None::<u32> })).unwrap();
    });
    seen.check();
    assert_eq!(
        seen.outline(),
        [
            "cache.contains: miss",
            "  cache.tier l1 contains: miss",
            "  cache.tier l2 contains: miss",
            "cache.len: counted",
            "  cache.tier l1 len: counted",
            "cache.get_or_insert: computed",
            "  cache.tier l1 get: miss",
            "  cache.tier l2 get: miss",
            "  cache.load: computed",
            "  cache.tier l1 insert: inserted",
            "  cache.tier l2 insert: inserted",
            "cache.try_get_or_insert: error",
            "  cache.tier l1 get: miss",
            "  cache.tier l2 get: miss",
            "  cache.load: error",
            "cache.optionally_get_or_insert: none",
            "  cache.tier l1 get: miss",
            "  cache.tier l2 get: miss",
            "  cache.load: none",
        ]
    );
    let sentry: Vec<_> =
        seen.spans.iter().flat_map(|span| &span.fields).filter(|(name, _)| *name == "sentry.op").collect();
    assert_eq!(sentry.len(), 5, "only on operations");
}

// S35: status and error class where the call returned an error, and nowhere else.
#[test]
fn a_handled_failure_marks_the_call_of_the_tier_and_not_the_operation() {
    let logged = Logged::new();
    logged.put_below("ada", 1, millis(0));
    logged.l1.next(Get, Fail("unplugged"));
    logged.l1.next(Insert, Fail("full"));
    let seen = Recorder::listen(|| assert!(ready(logged.cache.get("ada")).unwrap().is_some()));
    seen.check();
    assert_eq!(
        seen.spans_as_lines(),
        [
            r#"cache.get DEBUG cachet::op cache.name="ages" cache.operation="get" cache.request_id=#1 otel.kind="internal" sentry.op="cache.get" | cache.outcome="hit" cache.hit=true cache.hit_tier="l2" cache.age_ms=0 cache.fallback=true cache.coalesced=false"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l1" cache.operation="get" cache.request_id=#1 cache.fallback=false otel.kind="internal" | cache.outcome="error" error.type="tier" otel.status_code="ERROR""#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l2" cache.operation="get" cache.request_id=#1 cache.fallback=true otel.kind="internal" | cache.outcome="hit" cache.hit=true cache.age_ms=0"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l1" cache.operation="insert" cache.request_id=#1 cache.fallback=false otel.kind="internal" | cache.outcome="error" error.type="tier" otel.status_code="ERROR""#,
        ]
    );
}

// S35
#[test]
fn a_returned_error_marks_the_operation() {
    let logged = Logged::new();
    logged.l2.next(Get, Fail("unplugged"));
    let seen = Recorder::listen(|| drop(ready(logged.cache.get("ada")).unwrap_err()));
    seen.check();
    assert_eq!(
        seen.spans_as_lines()[0],
        r#"cache.get DEBUG cachet::op cache.name="ages" cache.operation="get" cache.request_id=#1 otel.kind="internal" sentry.op="cache.get" | cache.outcome="error" cache.fallback=true cache.coalesced=false error.type="tier" otel.status_code="ERROR""#
    );
}

// S35
#[test]
fn a_closure_that_fails_marks_its_load_and_the_operation() {
    let logged = Logged::new();
    let seen = Recorder::listen(|| {
        drop(ready(logged.cache.try_get_or_insert("ada", || async { Err::<u32, _>("no") })).unwrap_err());
    });
    seen.check();
    let lines = seen.spans_as_lines();
    assert_eq!(
        [&lines[0], &lines[3]],
        [
            r#"cache.try_get_or_insert DEBUG cachet::op cache.name="ages" cache.operation="try_get_or_insert" cache.request_id=#1 otel.kind="internal" sentry.op="cache.get" | cache.outcome="error" cache.fallback=true cache.coalesced=false error.type="load" otel.status_code="ERROR""#,
            r#"  cache.load DEBUG cachet::op cache.name="ages" cache.operation="load" cache.request_id=#1 otel.kind="internal" | cache.outcome="error" error.type="load""#,
        ]
    );
}

// S35: an expired entry that could not be removed: the lookup did not return an error.
#[test]
fn a_lookup_that_found_an_expired_entry_has_no_error_status() {
    let logged = Logged::new();
    logged.l1.put("ada", CacheEntry::restore(1, Some(millis(1)), logged.clock.wall() - millis(50)));
    logged.l1.next(Invalidate, Fail("read-only"));
    let seen = Recorder::listen(|| assert!(ready(logged.cache.get("ada")).unwrap().is_none()));
    seen.check();
    assert_eq!(
        seen.spans_as_lines()[1],
        r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l1" cache.operation="get" cache.request_id=#1 cache.fallback=false otel.kind="internal" | cache.outcome="expired" cache.hit=false cache.age_ms=50 error.type="tier""#
    );
}

// S35, S17
#[test]
fn a_rejection_shows_the_removal_of_the_older_value() {
    let logged = Logged::new();
    logged.l1.next(Insert, Reject);
    let seen = Recorder::listen(|| assert_eq!(ready(logged.cache.insert("ada", 1)).unwrap(), InsertOutcome::Accepted));
    seen.check();
    assert_eq!(
        seen.outline(),
        [
            "cache.insert: inserted",
            "  cache.tier l1 insert: rejected",
            "  cache.tier l1 invalidate: invalidated",
            "  cache.tier l2 insert: inserted",
        ]
    );
}

// S23, S35
#[test]
fn a_nested_operation_lies_below_the_load_and_names_its_parent() {
    let logged = Logged::new();
    let cache = &logged.cache;
    let seen = Recorder::listen(|| {
        ready(cache.get_or_insert("ada", || async {
            cache.insert("bob", 2).await.unwrap();
            1
        }))
        .unwrap();
    });
    seen.check();
    assert_eq!(
        seen.spans_as_lines(),
        [
            r#"cache.get_or_insert DEBUG cachet::op cache.name="ages" cache.operation="get_or_insert" cache.request_id=#1 otel.kind="internal" sentry.op="cache.get" | cache.outcome="computed" cache.hit=false cache.fallback=true cache.coalesced=false"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l1" cache.operation="get" cache.request_id=#1 cache.fallback=false otel.kind="internal" | cache.outcome="miss" cache.hit=false"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l2" cache.operation="get" cache.request_id=#1 cache.fallback=true otel.kind="internal" | cache.outcome="miss" cache.hit=false"#,
            r#"  cache.load DEBUG cachet::op cache.name="ages" cache.operation="load" cache.request_id=#1 otel.kind="internal" | cache.outcome="computed""#,
            r#"    cache.insert DEBUG cachet::op cache.name="ages" cache.operation="insert" cache.request_id=#2 cache.parent_request_id=#1 otel.kind="internal" sentry.op="cache.put" | cache.outcome="inserted" cache.fallback=false cache.coalesced=false"#,
            r#"      cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l1" cache.operation="insert" cache.request_id=#2 cache.fallback=false otel.kind="internal" | cache.outcome="inserted""#,
            r#"      cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l2" cache.operation="insert" cache.request_id=#2 cache.fallback=false otel.kind="internal" | cache.outcome="inserted""#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l1" cache.operation="insert" cache.request_id=#1 cache.fallback=false otel.kind="internal" | cache.outcome="inserted""#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l2" cache.operation="insert" cache.request_id=#1 cache.fallback=false otel.kind="internal" | cache.outcome="inserted""#,
        ]
    );
}

// S35
#[test]
fn an_operation_lies_below_the_callers_span() {
    let logged = Logged::new();
    let seen = Recorder::listen(|| {
        let request = tracing::info_span!("request", answer = 42);
        request.in_scope(|| ready(logged.cache.len())).unwrap();
    });
    seen.check();
    assert_eq!(seen.outline(), ["request:", "  cache.len: counted", "    cache.tier l1 len: counted"]);
}

// S35: the order of everything that happens to spans.
#[test]
fn a_tiers_span_is_entered_at_every_poll_and_the_operations_never() {
    let logged = Logged::new();
    logged.l1.next(Len, Pend(1));
    let seen = Recorder::listen(|| {
        let mut len = ManualTask::new(logged.cache.len());
        len.pend(1);
        len.ready().unwrap();
    });
    assert_eq!(
        seen.journal,
        [
            "new cache.len",
            "new cache.tier(l1)",
            "enter cache.tier(l1)",
            "exit cache.tier(l1)",
            "enter cache.tier(l1)",
            "exit cache.tier(l1)",
            "enter cache.tier(l1)",
            "exit cache.tier(l1)",
            "record cache.tier(l1)",
            "event l1 len: counted",
            "close cache.tier(l1)",
            "record cache.len",
            "event len: counted",
            "close cache.len",
        ]
    );
}

// S38, S35
#[test]
fn what_is_cancelled_says_so_in_every_open_span() {
    let logged = Logged::new();
    logged.l2.next(Get, Hang);
    let seen = Recorder::listen(|| {
        let mut get = ManualTask::new(logged.cache.get("ada"));
        get.pend(1);
    });
    seen.check();
    assert_eq!(seen.outline(), ["cache.get: cancelled", "  cache.tier l1 get: miss", "  cache.tier l2 get: cancelled"]);
}

// S38, S35: the closure's span has an outcome as well.
#[test]
fn a_cancelled_closure_says_so_in_its_span() {
    let logged = Logged::new();
    let seen = Recorder::listen(|| {
        let mut compute = ManualTask::new(logged.cache.get_or_insert("ada", || async {
            pend(u32::MAX).await;
            1
        }));
        compute.pend(1);
    });
    assert_eq!(
        seen.outline(),
        [
            "cache.get_or_insert: cancelled",
            "  cache.tier l1 get: miss",
            "  cache.tier l2 get: miss",
            "  cache.load: cancelled",
        ]
    );
    seen.check();
}

// S35
#[test]
fn a_panic_is_told_by_every_span_it_unwinds_through() {
    let logged = Logged::new();
    logged.l2.next(Get, Panic("boom"));
    let seen = Recorder::listen(|| {
        let get = std::panic::AssertUnwindSafe(|| ready(logged.cache.get("ada")));
        assert!(std::panic::catch_unwind(get).is_err());
        let load =
            std::panic::AssertUnwindSafe(|| ready(logged.cache.get_or_insert("bob", || async { crate_panic() })));
        assert!(std::panic::catch_unwind(load).is_err());
    });
    seen.check();
    assert_eq!(
        seen.outline(),
        [
            "cache.get: panicked",
            "  cache.tier l1 get: miss",
            "  cache.tier l2 get: panicked",
            "cache.get_or_insert: panicked",
            "  cache.tier l1 get: miss",
            "  cache.tier l2 get: miss",
            "  cache.load: panicked",
        ]
    );
    let classes: Vec<_> = seen
        .spans
        .iter()
        .map(|span| span.recorded.iter().find(|(name, _)| *name == "error.type").map(|(_, value)| format!("{value:?}")))
        .collect();
    let panic = Some(r#"Str("panic")"#.to_owned());
    assert_eq!(classes, [panic.clone(), None, panic.clone(), panic.clone(), None, None, panic]);
}

fn crate_panic() -> u32 {
    panic!("boom")
}

// S35
#[test]
fn the_level_of_operations_is_set_per_cache() {
    for (level, text) in [(SpanLevel::Trace, "TRACE"), (SpanLevel::Debug, "DEBUG"), (SpanLevel::Info, "INFO")] {
        let logged = Logged::with(|builder| builder.span_level(level));
        let seen = Recorder::listen(|| {
            ready(logged.cache.get("ada")).unwrap();
            ready(logged.cache.insert("ada", 1)).unwrap();
        });
        seen.check();
        let levels: Vec<_> = seen.spans.iter().map(|span| format!("{} {}", span.name, span.level)).collect();
        let tier = "cache.tier DEBUG".to_owned();
        assert_eq!(
            levels,
            [
                format!("cache.get {text}"),
                tier.clone(),
                tier.clone(),
                format!("cache.insert {text}"),
                tier.clone(),
                tier
            ]
        );
    }
}

/// A remote tier with everything that can be said of one.
struct Redis {
    host: &'static str,
    shard: u64,
    weight: f64,
}

impl Redis {
    fn address(&self) -> &'static str {
        self.host
    }
}

#[cache_tier(
    name = "redis",
    level = "trace",
    target = "app::redis",
    remote(system = "redis", address = self.address()),
    fields(shard = self.shard, app.weight = self.weight, host = %self.host, debug = ?self.shard, ready = true)
)]
impl CacheTier<str, u32> for Redis {
    async fn get(&self, _: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        Err(TierError::msg("connection refused").with_type("connect"))
    }

    async fn insert(&self, _: String, _: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, _: &str) -> Result<(), TierError> {
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        Ok(())
    }
}

// S35
#[test]
fn a_remote_tier_says_where_it_is_and_what_its_author_wants_it_to() {
    for (host, server) in [
        ("10.0.0.7:6379", r#"server.address="10.0.0.7" server.port=6379"#),
        ("redis.internal", r#"server.address="redis.internal""#),
        ("[::1]:6379", r#"server.address="::1" server.port=6379"#),
        ("::1", r#"server.address="::1""#),
        // Of a URL nothing private is kept.
        ("redis://user:secret@redis.internal:6379/0?a=b@c", r#"server.address="redis.internal" server.port=6379"#),
        ("redis://redis.internal", r#"server.address="redis.internal""#),
    ] {
        let tier = Tier::new(Redis { host, shard: 3, weight: 0.5 });
        let cache = Ages::builder("ages").clock(cachet::ManualClock::new()).tier(tier).enable_logs().build();
        let seen = Recorder::listen(|| drop(ready(cache.get("ada")).unwrap_err()));
        seen.check();
        assert_eq!(
            seen.spans_as_lines()[1],
            format!(
                r#"  cache.tier TRACE app::redis cache.name="ages" cache.tier="redis" cache.operation="get" cache.request_id=#1 cache.fallback=false otel.kind="client" db.system.name="redis" {server} shard=3 app.weight=0.5 host="{host}" debug="3" ready=true | cache.outcome="error" error.type="connect" otel.status_code="ERROR""#
            )
        );
        assert_eq!(seen.events[0].target, "app::redis");
        assert_eq!(seen.events[1].target, "cachet::event");
    }
}

// S35: the module of the impl, unless said otherwise; the library's own tiers have theirs.
#[test]
fn a_tiers_spans_and_events_come_from_its_module() {
    let cache =
        Ages::builder("ages").tier(Tier::memory(10)).tier(Tier::new(Minimal(Mock::new()))).enable_logs().build();
    let seen = Recorder::listen(|| assert!(ready(cache.get("ada")).unwrap().is_none()));
    seen.check();
    let targets: Vec<_> = seen.spans.iter().map(|span| span.target).collect();
    assert_eq!(targets, ["cachet::op", "cachet::tier", "cachet_tests::tiers"]);
    let targets: Vec<_> = seen.events.iter().map(|event| event.target).collect();
    assert_eq!(targets, ["cachet::tier", "cachet_tests::tiers", "cachet::event"]);
}

// S35
#[test]
fn keys_are_on_spans_and_events_only_on_request() {
    let logged = Logged::with(|builder| builder.record_keys(RecordKeys::full()));
    let seen = Recorder::listen(|| {
        ready(logged.cache.get("ada")).unwrap();
        ready(logged.cache.clear()).unwrap();
    });
    seen.check();
    let has_key = |fields: &cachet_tests::trace::Fields| {
        fields.iter().find(|(name, _)| *name == "cache.key").map(|(_, value)| format!("{value:?}"))
    };
    let ada = Some(r#"Str("ada")"#.to_owned());
    let spans: Vec<_> = seen.spans.iter().map(|span| has_key(&span.fields)).collect();
    assert_eq!(spans, [ada.clone(), ada.clone(), ada.clone(), None, None, None]);
    let events: Vec<_> = seen.events.iter().map(|event| has_key(&event.fields)).collect();
    assert_eq!(events, [ada.clone(), ada.clone(), ada, None, None, None]);
}

// S35: integers that do not fit are the largest that do.
#[test]
fn an_id_beyond_all_measure_is_clamped_and_stays_an_integer() {
    let logged = Logged::new();
    let id = RequestId::from_u64(u64::MAX).unwrap();
    let seen = Recorder::listen(|| ready(logged.cache.len().with_request_id(id)).map(drop).unwrap());
    seen.check();
    let parent = seen.spans[0].fields.iter().find(|(name, _)| *name == "cache.parent_request_id").unwrap();
    assert_eq!(format!("{:?}", parent.1), format!("I64({})", i64::MAX));
}

// S35: a field once, four types, no field called `error`, every span closed, whatever happens.
#[test]
fn all_that_ever_happens_keeps_to_the_rules() {
    let logged = Logged::with(|builder| builder.record_keys(RecordKeys::hashed()));
    let (cache, l1, l2) = (&logged.cache, &logged.l1, &logged.l2);
    let policy = Ages::builder("strict")
        .tier(Tier::memory(1).ttl(millis(1)).insert_policy(InsertPolicy::never()))
        .tier(Tier::memory(1))
        .enable_logs()
        .clock(logged.clock.clone())
        .build();
    let behaviours = || [Fail("x"), Reject, Pend(2), Panic("boom"), Hang];
    let seen = Recorder::listen(|| {
        for first in behaviours() {
            for second in behaviours() {
                for operation in cachet::telemetry::TierOperation::ALL {
                    l1.always(*operation, first.clone());
                    l2.always(*operation, second.clone());
                }
                for work in [0_u8, 1, 2, 3, 4, 5, 6] {
                    let run = std::panic::AssertUnwindSafe(|| {
                        let mut stepped = ManualTask::new(async {
                            match work {
                                0 => drop(cache.get("ada").await),
                                1 => drop(cache.insert("ada", 1).await),
                                2 => drop(cache.invalidate("ada").await),
                                3 => drop(cache.clear().await),
                                4 => drop(cache.contains("ada").await),
                                5 => drop(cache.len().await),
                                _ => drop(cache.try_get_or_insert("ada", || async { Err::<u32, _>("x") }).await),
                            }
                        });
                        (0..8).any(|_| stepped.poll().is_ready())
                    });
                    drop(std::panic::catch_unwind(run));
                }
                l2.put("ada", 1);
            }
        }
        for key in ["ada", "bob", "eve"] {
            drop(ready(policy.insert(key, 1)));
            logged.clock.advance(millis(2));
            drop(ready(policy.get("ada")));
        }
    });
    assert!(seen.spans.len() > 400, "{}", seen.spans.len());
    seen.check();
}
