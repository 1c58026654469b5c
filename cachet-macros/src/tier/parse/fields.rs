//! `fields(name = value, dotted.name = %value, "any name" = ?value)`.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::LitStr;

use crate::syntax::args::{abbreviate, as_text, at_colon, expect_comma};
use crate::syntax::diag::Diagnostics;
use crate::syntax::tokens::{Cursor, as_ident, is_joint, is_punct, unraw};
use crate::tier::model::{Field, Form, compact};

/// tracing stops at 32 fields in a span; the library's own need the other half.
const MOST: usize = 16;

const RESERVED: [&str; 8] = [
    "error.type",
    "otel.kind",
    "otel.status_code",
    "sentry.op",
    "db.system.name",
    "server.address",
    "server.port",
    "message",
];

/// Reads all fields that can be read, and reports the rest.
pub(super) fn read(list: TokenStream, key: &Ident, diagnostics: &mut Diagnostics) -> Vec<Field> {
    let mut cursor = Cursor::new(list);
    let mut fields: Vec<Field> = Vec::new();
    if cursor.is_empty() {
        diagnostics.report(key, "`fields` is empty; write `fields(name = value)` or remove it");
    }
    while !cursor.is_empty() {
        if let Some(field) = read_one(&mut cursor, diagnostics) {
            let name = field.name.value();
            if fields.iter().any(|earlier| earlier.name.value() == name) {
                diagnostics.report(&field.name, format!("the field `{name}` is given twice; keep one"));
            } else if fields.len() == MOST {
                diagnostics.report(&field.name, format!("a tier has at most {MOST} fields of its own"));
                break;
            } else {
                fields.push(field);
            }
        }
        expect_comma(&mut cursor, diagnostics);
    }
    fields
}

fn read_one(cursor: &mut Cursor, diagnostics: &mut Diagnostics) -> Option<Field> {
    let Some(name) = read_name(cursor) else {
        report_no_name(cursor, diagnostics);
        cursor.skip_to_comma();
        return None;
    };
    if at_colon(cursor) {
        let shown = name.value();
        diagnostics.report(cursor.peek(), format!("write `=` instead of `:`, for example `{shown} = self.{shown}`"));
    } else if !cursor.at_punct('=') || is_joint(cursor.peek(), '=') && is_punct(cursor.nth(1), '=') {
        let behind = cursor.peek().cloned();
        let rest = cursor.taken_by(Cursor::skip_to_comma);
        let shown = name.value();
        let equals = rest.iter().position(|token| is_punct(Some(token), '='));
        if let Some(equals) = equals.filter(|_| is_punct(behind.as_ref(), '-')) {
            let rest = compact(&rest[..equals].iter().cloned().collect());
            diagnostics.report(behind, format!("a name is made of words and dots; write `\"{shown}{rest}\" = …`"));
        } else if shown == "self" {
            diagnostics.report(&name, "a field needs a name in front of its value: write `name = self`");
        } else if name.value().starts_with("self.") || !rest.is_empty() {
            diagnostics.report(&name, "a field needs a name and a value: write `name = value`");
        } else {
            diagnostics.report(&name, format!("the field `{shown}` needs a value: write `{shown} = self.{shown}`"));
        }
        return None;
    }
    let equals = cursor.bump();
    let form = match cursor.peek() {
        Some(TokenTree::Punct(sigil)) if sigil.as_char() == '%' => Form::Display,
        Some(TokenTree::Punct(sigil)) if sigil.as_char() == '?' => Form::Debug,
        _ => Form::Value,
    };
    let sigil = if matches!(form, Form::Value) { None } else { cursor.bump() };
    let value = cursor.take_expression();
    if value.tokens.is_empty() {
        let place = sigil.or(equals);
        let shown = name.value();
        diagnostics.report(place, format!("the field `{shown}` needs a value behind this"));
        return None;
    }
    validate_name(&name, diagnostics)?;
    value.is_complete(diagnostics).then_some(Field { name, form, value: value.tokens })
}

/// A dotted name, or any name as a string literal.
fn read_name(cursor: &mut Cursor) -> Option<LitStr> {
    if let Some(text) = cursor.take(as_text) {
        return Some(text);
    }
    let first = cursor.take(as_ident)?;
    let mut text = unraw(&first);
    while cursor.at_punct('.')
        && let Some(next) = cursor.nth(1).and_then(as_ident)
    {
        cursor.bump();
        cursor.bump();
        text = format!("{text}.{}", unraw(&next));
    }
    Some(LitStr::new(&text, first.span()))
}

fn report_no_name(cursor: &Cursor, diagnostics: &mut Diagnostics) {
    match cursor.peek() {
        Some(comma) if cursor.at_punct(',') => {
            diagnostics.report(comma, "a field is missing in front of this comma");
        }
        Some(sigil) if cursor.at_punct('%') || cursor.at_punct('?') => {
            diagnostics.report(sigil, format!("a field needs a name in front of its value: write `name = {sigil}…`"));
        }
        Some(token) => {
            let shown = abbreviate(token);
            diagnostics.report(token, format!("expected a field, for example `shard = self.shard()`, found `{shown}`"));
        }
        None => {}
    }
}

fn validate_name(name: &LitStr, diagnostics: &mut Diagnostics) -> Option<()> {
    let text = name.value();
    if text.trim().is_empty() {
        diagnostics.report(name, "the name of a field must not be empty");
        return None;
    }
    if text.contains(char::is_control) {
        diagnostics.report(name, "the name of a field must not contain control characters");
        return None;
    }
    if text.starts_with("cache.") || RESERVED.contains(&text.as_str()) {
        let advice = match text.as_str() {
            "db.system.name" => "; it is set with `remote(system = \"…\")`",
            "server.address" | "server.port" => "; it is set with `remote(system = \"…\", address = …)`",
            _ => "; choose another name",
        };
        diagnostics.report(name, format!("the field `{text}` is recorded by the library itself{advice}"));
        return None;
    }
    Some(())
}
