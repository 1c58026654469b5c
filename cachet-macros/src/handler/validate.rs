//! Validates what was read, and turns it into what can be expanded.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote_spanned;

use super::filter;
use super::model::{Body, Handler, Part, Role, Variant};
use super::parse::{Parsed, ParsedField, ParsedShape};
use crate::syntax::args::{Arg, Value};
use crate::syntax::diag::Diagnostics;
use crate::syntax::krate;
use crate::syntax::tokens::{Cursor, are_brackets_balanced, flatten};

pub(super) fn validate(parsed: Parsed, diagnostics: &mut Diagnostics) -> Handler {
    let (mut on_tier, mut on_operation, mut krate) = (None, None, krate::default_path());
    for arg in parsed.arguments {
        match (arg.name, arg.value) {
            ("on_tier", Value::Tokens(path)) => on_tier = function("on_tier", path, diagnostics),
            ("on_operation", Value::Tokens(path)) => on_operation = function("on_operation", path, diagnostics),
            ("crate", Value::Tokens(path)) => krate = krate::read(path, diagnostics),
            _ => {}
        }
    }
    let ident = parsed.ident;
    let body = match parsed.shape {
        ParsedShape::Struct(fields) => Body::Struct(parts(fields, diagnostics)),
        ParsedShape::Enum(variants) => {
            let validate = |(ident, fields)| Variant { ident, parts: parts(fields, diagnostics) };
            Body::Enum(variants.into_iter().map(validate).collect())
        }
        ParsedShape::Union(keyword) => {
            diagnostics.report_at(
                keyword,
                "`CacheEventHandler` cannot be derived for a union: which of its fields is alive is not known; use an enum",
            );
            Body::None
        }
    };
    if !parsed.has_roles && !matches!(body, Body::None) {
        diagnostics.report(
            &ident,
            format!(
                "no field of `{ident}` has a role, so it would see no event; put `#[cache_event(forward)]`, \
                 `#[cache_event(count(…))]` or `#[cache_event(record(…))]` on a field, or \
                 `#[cache_event(on_operation = …)]` on the type"
            ),
        );
    }
    Handler {
        krate,
        ident,
        is_deprecated: parsed.is_deprecated,
        generics: parsed.generics,
        lints: parsed.lints,
        on_tier,
        on_operation,
        body,
    }
}

/// A path that is called with the handler and the event; a bare name is a method of the type.
fn function(name: &str, tokens: TokenStream, diagnostics: &mut Diagnostics) -> Option<TokenStream> {
    let mut cursor = Cursor::new(flatten(tokens.clone()).into_iter().collect());
    let path = cursor.take_path();
    if path.is_empty()
        || !are_brackets_balanced(&path)
        || !cursor.is_empty()
        || matches!(path.last(), Some(TokenTree::Group(_) | TokenTree::Literal(_)))
    {
        diagnostics.report(
            tokens,
            format!(
                "`{name}` takes the path of a function, for example `{name} = Self::log` for `fn log(&self, event: …)`"
            ),
        );
        return None;
    }
    Some(match path.as_slice() {
        [TokenTree::Ident(method)] => quote_spanned!(method.span()=> Self::#method),
        _ => tokens,
    })
}

fn parts(fields: Vec<ParsedField>, diagnostics: &mut Diagnostics) -> Vec<Part> {
    fields.into_iter().filter_map(|field| part(field, diagnostics)).collect()
}

fn part(field: ParsedField, diagnostics: &mut Diagnostics) -> Option<Part> {
    let ParsedField { member, ty, role } = field;
    let Arg { name, key, value } = role?;
    let role = match (name, value) {
        ("count", Value::List(list)) => {
            let (scope, filters) = filter::read(&key, list, diagnostics)?;
            refuse_plain_number(&ty, diagnostics)?;
            Role::Count(scope, filters)
        }
        ("record", Value::List(list)) => {
            let (scope, filters) = filter::read(&key, list, diagnostics)?;
            Role::Record(scope, filters)
        }
        _ => Role::Forward,
    };
    Some(Part { member, ty, role })
}

fn refuse_plain_number(ty: &TokenStream, diagnostics: &mut Diagnostics) -> Option<()> {
    const PLAIN: [&str; 14] =
        ["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64"];
    if let [TokenTree::Ident(ident)] = flatten(ty.clone()).as_slice()
        && PLAIN.iter().any(|plain| ident == plain)
    {
        diagnostics.report(ty, format!("`{ident}` cannot count events: handlers run through `&self`; use `AtomicU64`"));
        return None;
    }
    Some(())
}
