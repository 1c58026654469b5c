//! The path under which the generated code finds the runtime crate.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote_spanned;

use crate::syntax::diag::Diagnostics;
use crate::syntax::tokens::{flatten, is_joint, is_punct};

/// The path used where no `crate = …` is given.
pub(crate) fn default_path() -> TokenStream {
    quote_spanned!(Span::mixed_site()=> ::cachet)
}

/// Reads `::a::b`, `crate::a::b` or `$crate::a::b`; reports anything else and falls back to the default.
pub(crate) fn read(tokens: TokenStream, diagnostics: &mut Diagnostics) -> TokenStream {
    let flat = flatten(tokens.clone());
    if is_rooted_path(&flat) {
        return flat.into_iter().collect();
    }
    let hint = hint(&flat);
    diagnostics.report(
        tokens,
        format!("`crate` takes a path that starts with `::`, `crate` or `$crate`, for example `crate = {hint}`"),
    );
    default_path()
}

fn is_rooted_path(tokens: &[TokenTree]) -> bool {
    let segments = match tokens {
        [TokenTree::Ident(root), rest @ ..] if root == "crate" || root == "$crate" => rest,
        [TokenTree::Punct(dollar), TokenTree::Ident(root), rest @ ..] if dollar.as_char() == '$' && root == "crate" => {
            rest
        }
        [] => return false,
        absolute => absolute,
    };
    segments.chunks(3).all(|segment| {
        matches!(segment, [colon, second, TokenTree::Ident(_)]
            if is_joint(Some(colon), ':') && is_punct(Some(second), ':'))
    })
}

/// What the user probably meant.
fn hint(tokens: &[TokenTree]) -> String {
    let text = match tokens {
        [TokenTree::Literal(literal)] => {
            syn::parse2::<syn::LitStr>(TokenTree::from(literal.clone()).into()).map(|text| text.value())
        }
        other => Ok(other.iter().map(ToString::to_string).collect()),
    };
    let text = text.unwrap_or_default();
    let text = text.strip_prefix("::").unwrap_or(&text);
    if text.starts_with("crate") || text.starts_with("$crate") {
        if text.split("::").all(is_word) {
            return text.to_owned();
        }
    } else if !text.starts_with("self") && !text.starts_with("super") && text.split("::").all(is_word) {
        return format!("::{text}");
    }
    "::cachet".to_owned()
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| char == '_' || char.is_alphanumeric())
}
