//! What the expansion of one `#[cache_tier]` is made from.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::LitStr;

use crate::syntax::tokens::{flatten, is_ident, is_punct};

/// The header of `impl CacheTier<K, V> for Type where … { … }`, as token slices.
pub(super) struct Header {
    /// The attributes that the companion shares: `cfg`, `cfg_attr` and lint levels.
    pub(super) shared_attributes: TokenStream,
    pub(super) generics: TokenStream,
    pub(super) key: TokenStream,
    pub(super) value: TokenStream,
    pub(super) self_type: TokenStream,
    pub(super) where_clause: TokenStream,
    /// Where the parts of the user's trait impl are.
    pub(super) places: Option<Places>,
    /// The body of an inherent impl, whose header names no key and value type.
    pub(super) inherent_body: Option<TokenStream>,
}

/// Where the header of the companion is put, part by part: exactly where the user's is.
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

/// What was given, with a default for what was not or was faulty.
pub(super) struct Arguments {
    pub(super) krate: TokenStream,
    /// The key and the value type of an inherent impl.
    pub(super) key: Option<TokenStream>,
    pub(super) value: Option<TokenStream>,
    /// Whether these two were given, readable or not.
    pub(super) types_attempted: [bool; 2],
    /// Something was given that is not known to be one of them or not.
    pub(super) has_nameless: bool,
    pub(super) name: Option<LitStr>,
    /// A name was given, readable or not.
    pub(super) name_attempted: bool,
    pub(super) level: &'static str,
    pub(super) target: Option<LitStr>,
    pub(super) system: Option<LitStr>,
    pub(super) immediate: bool,
    /// The user's fields and the remote's address, in the order in which they were given.
    pub(super) fields: Vec<Field>,
}

/// A tier impl that is ready to be expanded.
pub(super) struct TierImpl {
    pub(super) header: Header,
    pub(super) arguments: Arguments,
    pub(super) name: LitStr,
}

impl TierImpl {
    /// A tier without anything that could cause an error of its own, for use after a fault.
    pub(super) fn stand_in(mut self) -> Self {
        self.arguments.fields.clear();
        self
    }
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
