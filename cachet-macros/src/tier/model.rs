//! What the expansion of one `#[cache_tier]` is made from.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::LitStr;

use super::arguments::Arguments;
use crate::diag::Diagnostics;
use crate::tokens::{flatten, is_ident, is_punct, unraw};

/// The header of `impl CacheTier<K, V> for Type where … { … }`, as token slices.
pub(super) struct Header {
    /// The attributes that the sibling shares: `cfg`, `cfg_attr` and lint levels.
    pub(super) shared_attributes: TokenStream,
    pub(super) generics: TokenStream,
    pub(super) key: TokenStream,
    pub(super) value: TokenStream,
    pub(super) self_type: TokenStream,
    pub(super) where_clause: TokenStream,
    /// Where the parts of the user's trait impl are.
    pub(super) places: Option<Places>,
    /// What stands in the braces of an inherent impl, which has no key and value type of its own.
    pub(super) inherent_body: Option<TokenStream>,
}

/// Where the header of the sibling is put, part by part: exactly where the user's is.
///
/// It makes what rustc says of the header's types the same for both impls, so that it says it once.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) impl_token: Span,
    /// The first and the last token.
    pub(super) trait_path: [Span; 2],
    pub(super) body: Span,
}

/// How one recorded value is turned into a field.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// `name = value`
    Value,
    /// `name = %value`
    Display,
    /// `name = ?value`
    Debug,
    /// `remote(address = value)`
    Address,
}

/// One value that is recorded while the span is enabled.
pub(super) struct Field {
    pub(super) name: LitStr,
    pub(super) form: Form,
    pub(super) value: TokenStream,
}

/// A tier impl that is ready to be expanded.
pub(super) struct TierImpl {
    pub(super) header: Header,
    pub(super) arguments: Arguments,
    pub(super) name: LitStr,
}

impl TierImpl {
    pub(super) fn new(header: Header, mut arguments: Arguments, diagnostics: &mut Diagnostics) -> Self {
        let derived = derived_name(&header.self_type);
        let name = match (arguments.name.take(), derived) {
            (Some(name), derived) => {
                if name.value().trim().is_empty() {
                    diagnostics.report(&name, empty_name(derived.as_deref()));
                }
                name
            }
            (None, Some(derived)) => LitStr::new(&derived, Span::mixed_site()),
            (None, None) => {
                if !arguments.name_attempted {
                    let shown = compact(&header.self_type);
                    diagnostics.report(
                        &header.self_type,
                        format!("no tier name can be taken from `{shown}`; add `name = \"…\"`"),
                    );
                }
                LitStr::new("tier", Span::mixed_site())
            }
        };
        Self { header, arguments, name }
    }
}

fn empty_name(derived: Option<&str>) -> String {
    derived.map_or_else(
        || "`name` must not be empty: every span and event of this tier carries it".to_owned(),
        |derived| format!("`name` must not be empty; remove it to get `name = \"{derived}\"`"),
    )
}

/// The last segment of the type's path in snake case.
fn derived_name(self_type: &TokenStream) -> Option<String> {
    let tokens = flatten(self_type.clone());
    let mut tokens = tokens.as_slice();
    let inner;
    if let [TokenTree::Group(group)] = tokens
        && group.delimiter() == proc_macro2::Delimiter::Parenthesis
    {
        inner = flatten(group.stream());
        tokens = &inner;
    }
    let mut segment = None;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(ident) => {
                let follows_path = at == 0 || is_punct(tokens.get(at - 1), ':');
                if !follows_path || ["dyn", "impl", "fn", "unsafe", "extern", "for"].iter().any(|word| ident == word) {
                    return None;
                }
                segment = Some(ident);
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => {}
            TokenTree::Punct(punct) if punct.as_char() == '<' && segment.is_some() => break,
            _ => return None,
        }
    }
    let name = snake_case(&unraw(segment?));
    (!name.is_empty()).then_some(name)
}

fn snake_case(camel: &str) -> String {
    let chars: Vec<char> = camel.trim_matches('_').chars().collect();
    let mut snake = String::new();
    for (at, char) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let ends_acronym = chars.get(at + 1).is_some_and(|next| next.is_lowercase());
        let starts_word = before.is_some_and(|before| *before != '_' && (!before.is_uppercase() || ends_acronym));
        if char.is_uppercase() && starts_word {
            snake.push('_');
        }
        snake.extend(char.to_lowercase());
    }
    snake
}

/// Source text without the spaces that tokens have lost.
pub(super) fn compact(tokens: &TokenStream) -> String {
    let mut text = String::new();
    let mut previous: Option<TokenTree> = None;
    for token in flatten(tokens.to_token_stream()) {
        let word = matches!(token, TokenTree::Ident(_) | TokenTree::Literal(_));
        let after_word = matches!(previous, Some(TokenTree::Ident(_) | TokenTree::Literal(_)));
        if word && after_word || is_punct(previous.as_ref(), ',') || is_ident(previous.as_ref(), "dyn") {
            text.push(' ');
        }
        text.push_str(&token.to_string());
        previous = Some(token);
    }
    text
}
