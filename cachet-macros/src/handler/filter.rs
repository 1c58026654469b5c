//! The filters inside `count(…)` and `record(…)`, and whether any event can pass them.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::LitStr;

use super::model::{Filter, Scope};
use super::vocabulary::{operation_names, operations, outcome_names, outcomes_of};
use crate::syntax::args::{Arg, Shape, Spec, Table, Value, abbreviate, as_text, expect_comma};
use crate::syntax::diag::{Diagnostics, alternatives, did_you_mean};
use crate::syntax::tokens::{Cursor, as_group, as_ident, flatten, is_punct};

const OUTCOME: &str = "outcomes are chosen with `outcome = \"…\"`";
const OPERATION: &str = "operations are chosen with `operation = \"…\"`";

const FILTERS: Table = Table {
    specs: &[
        Spec { name: "outcome", shape: Shape::Value, example: "outcome = \"hit\"" },
        Spec { name: "operation", shape: Shape::Value, example: "operation = \"get\"" },
        Spec { name: "tier", shape: Shape::Value, example: "tier = \"l1\"" },
        Spec { name: "cache", shape: Shape::Value, example: "cache = \"pages\"" },
        Spec { name: "fallback", shape: Shape::Value, example: "fallback = true" },
        Spec { name: "coalesced", shape: Shape::Value, example: "coalesced = true" },
    ],
    aliases: &[
        ("result", OUTCOME),
        ("status", OUTCOME),
        ("hit", OUTCOME),
        ("miss", OUTCOME),
        ("error", OUTCOME),
        ("op", OPERATION),
        ("method", OPERATION),
        ("get", OPERATION),
        ("insert", OPERATION),
        ("name", "events are chosen by the names of caches and tiers: `cache = \"…\"`, `tier = \"…\"`"),
        ("any", "it stands behind a filter's `=`, for example `outcome = any(\"hit\", \"miss\")`"),
    ],
    repeated: None,
};

/// A name from a fixed set, and where it was written.
type Named = (&'static str, LitStr);

/// Reads `tier | operation, filters…`; `None` if it is not known what the role is about.
pub(super) fn read(role: &Ident, list: TokenStream, diagnostics: &mut Diagnostics) -> Option<(Scope, Vec<Filter>)> {
    let mut cursor = Cursor::new(list);
    let scope = read_scope(role, &mut cursor, diagnostics);
    let rest = std::iter::from_fn(|| cursor.bump()).collect();
    let scope = scope?;
    let given = FILTERS.read(rest, diagnostics).given;
    let mut filters = Vec::new();
    let (mut chosen, mut outcomes) = (Vec::new(), Vec::new());
    for arg in given {
        let key = arg.key.clone();
        match (arg.name, scope) {
            ("tier", Scope::Operation) => diagnostics.report(
                key,
                format!("an operation has no `tier`; write `{role}(tier, tier = …)` to look at the calls of one tier"),
            ),
            ("coalesced", Scope::Tier) => diagnostics.report(
                key,
                format!(
                    "a tier call is never `coalesced`, only operations are; write `{role}(operation, coalesced = …)`"
                ),
            ),
            ("operation", _) => {
                chosen = known(arg, |text| unknown_operation(scope, text), &operation_names(scope), diagnostics);
            }
            ("outcome", _) => {
                outcomes = known(arg, |text| unknown_outcome(scope, text), &outcome_names(scope), diagnostics);
            }
            ("tier", Scope::Tier) => filters.extend(some(texts(arg, diagnostics)).map(Filter::Tier)),
            ("cache", _) => filters.extend(some(texts(arg, diagnostics)).map(Filter::Cache)),
            ("fallback", _) => filters.extend(truth(arg, diagnostics).map(Filter::Fallback)),
            _ => filters.extend(truth(arg, diagnostics).map(Filter::Coalesced)),
        }
    }
    refuse_impossible(scope, &chosen, &outcomes, diagnostics);
    let names = |chosen: Vec<Named>| chosen.into_iter().map(|(name, _)| name).collect();
    let by_outcome = some(outcomes).map(names).map(Filter::Outcome);
    let by_operation = some(chosen).map(names).map(Filter::Operation);
    Some((scope, by_operation.into_iter().chain(by_outcome).chain(filters).collect()))
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn read_scope(role: &Ident, cursor: &mut Cursor, diagnostics: &mut Diagnostics) -> Option<Scope> {
    let is_filter = is_punct(cursor.nth(1), '=');
    if let Some(text) = cursor.take(as_text) {
        let word = text.value();
        diagnostics.report(text, format!("`{role}` starts with `tier` or `operation`, without quotes"));
        expect_comma(cursor, diagnostics);
        return scope(&word);
    }
    let word = if is_filter { None } else { cursor.take(as_ident) };
    let Some(word) = word else {
        diagnostics.report(
            role,
            format!(
                "`{role}` needs to know of what: write `{role}(tier, …)` for the calls of tiers or \
                     `{role}(operation, …)` for the operations of the cache"
            ),
        );
        return None;
    };
    let known = scope(&word.to_string());
    if known.is_none() {
        let meant = did_you_mean(&word.to_string(), &["tier", "operation"]);
        let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        diagnostics.report(&word, format!("`{role}` starts with `tier` or `operation`, not with `{word}`{meant}"));
        cursor.skip_to_comma();
    }
    expect_comma(cursor, diagnostics);
    known
}

fn scope(word: &str) -> Option<Scope> {
    [Scope::Tier, Scope::Operation].into_iter().find(|scope| scope.name() == word)
}

/// The values of a filter whose values are fixed.
fn known(
    arg: Arg,
    unknown: impl Fn(&str) -> String,
    accepted: &[&'static str],
    diagnostics: &mut Diagnostics,
) -> Vec<Named> {
    let mut found = Vec::new();
    for text in texts(arg, diagnostics) {
        match accepted.iter().find(|name| **name == text.value()) {
            Some(name) => found.push((*name, text)),
            None => diagnostics.report(&text, unknown(&text.value())),
        }
    }
    found
}

fn unknown_operation(scope: Scope, text: &str) -> String {
    let names = operation_names(scope);
    if operation_names(scope.other()).contains(&text) {
        let (this, other) = (scope.name(), scope.other().name());
        let accepted = alternatives(&names, '"');
        return format!("\"{text}\" is an operation of `{other}` events; those of `{this}` events are {accepted}");
    }
    unknown("operation", text, &names)
}

fn unknown_outcome(scope: Scope, text: &str) -> String {
    let names = outcome_names(scope);
    if outcome_names(scope.other()).contains(&text) {
        let (this, other) = (scope.name(), scope.other().name());
        let accepted = alternatives(&names, '"');
        return format!("\"{text}\" is an outcome of `{other}` events; those of `{this}` events are {accepted}");
    }
    unknown("outcome", text, &names)
}

fn unknown(what: &str, text: &str, names: &[&str]) -> String {
    let meant = did_you_mean(text, names).map(|meant| format!("; did you mean \"{meant}\"?")).unwrap_or_default();
    format!("unknown {what} \"{text}\"{meant} (accepted: {})", alternatives(names, '"'))
}

/// Refuses what no event can ever be, at the value that has to change.
fn refuse_impossible(scope: Scope, chosen: &[Named], outcomes: &[Named], diagnostics: &mut Diagnostics) {
    if chosen.is_empty() || outcomes.is_empty() {
        return;
    }
    let reports = |operation: &str, outcome: &str| outcomes_of(scope, operation).contains(&outcome);
    let mut is_possible = true;
    for (outcome, place) in outcomes {
        if !chosen.iter().any(|(operation, _)| reports(operation, outcome)) {
            is_possible = false;
            diagnostics.report(place, never(scope, chosen, outcome));
        }
    }
    for (operation, place) in chosen {
        if is_possible && !outcomes.iter().any(|(outcome, _)| reports(operation, outcome)) {
            let own = alternatives(outcomes_of(scope, operation), '"');
            diagnostics.report(place, format!("`{operation}` reports none of these outcomes; it reports {own}"));
        }
    }
}

fn never(scope: Scope, chosen: &[Named], outcome: &str) -> String {
    if let [(operation, _)] = chosen {
        let own = alternatives(outcomes_of(scope, operation), '"');
        return format!("`{operation}` never reports \"{outcome}\"; it reports {own}");
    }
    let reporting: Vec<_> = operations(scope)
        .iter()
        .filter(|operation| operation.outcomes.contains(&outcome))
        .map(|operation| operation.name)
        .collect();
    format!("none of these operations reports \"{outcome}\"; it is reported by {}", alternatives(&reporting, '`'))
}

/// `"text"` or `any("text", "text")`.
fn texts(arg: Arg, diagnostics: &mut Diagnostics) -> Vec<LitStr> {
    let Value::Tokens(tokens) = arg.value else { return Vec::new() };
    let flat = flatten(tokens.clone());
    let list = match flat.as_slice() {
        [TokenTree::Ident(any), list] if any == "any" => as_group(list, Delimiter::Parenthesis),
        _ => None,
    };
    let mut found = match (list, flat.as_slice()) {
        (Some(list), _) if !list.stream().is_empty() => any_of(list.stream(), diagnostics),
        (None, [single]) if as_text(single).is_some() => as_text(single).into_iter().collect(),
        _ => {
            let name = arg.name;
            diagnostics.report(
                tokens,
                format!(
                    "`{name}` takes a string literal or a list of them, for example `{name} = \"…\"` or \
                         `{name} = any(\"…\", \"…\")`"
                ),
            );
            return Vec::new();
        }
    };
    found.retain(|text| {
        let is_empty = text.value().is_empty();
        if is_empty {
            diagnostics.report(text, format!("`{}` must not be empty", arg.name));
        }
        !is_empty
    });
    found
}

fn any_of(list: TokenStream, diagnostics: &mut Diagnostics) -> Vec<LitStr> {
    let mut cursor = Cursor::new(list);
    let mut found: Vec<LitStr> = Vec::new();
    while !cursor.is_empty() {
        if let Some(text) = cursor.take(as_text) {
            if found.iter().any(|earlier| earlier.value() == text.value()) {
                diagnostics.report(&text, format!("\"{}\" is given twice; keep one", text.value()));
            } else {
                found.push(text);
            }
        } else if let Some(token) = cursor.peek() {
            let shown = abbreviate(token);
            diagnostics.report(token, format!("`any(…)` takes string literals, not `{shown}`"));
            cursor.skip_to_comma();
        }
        expect_comma(&mut cursor, diagnostics);
    }
    found
}

/// `true` or `false`.
fn truth(arg: Arg, diagnostics: &mut Diagnostics) -> Option<bool> {
    let Value::Tokens(tokens) = arg.value else { return None };
    if let [TokenTree::Ident(word)] = flatten(tokens.clone()).as_slice() {
        if word == "true" {
            return Some(true);
        }
        if word == "false" {
            return Some(false);
        }
    }
    let name = arg.name;
    diagnostics.report(tokens, format!("`{name}` takes `true` or `false`, for example `{name} = true`"));
    None
}
