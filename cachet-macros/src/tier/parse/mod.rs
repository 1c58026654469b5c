//! Reads the item that the attribute is on, and its arguments; whether they can be used is for `validate` to say.

mod arguments;
mod fields;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::quote_spanned;

pub(super) use self::arguments::read as arguments;
use crate::syntax::attributes::Attribute;
use crate::syntax::tokens::{Cursor, as_group, as_ident, is_ident, unwrap_groups};

/// The item as it was written.
pub(super) enum Item {
    Impl(Impl),
    Other(Other),
}

/// `impl CacheTier<K, V> for Type where … { … }`, or an inherent impl, as token slices.
pub(super) struct Impl {
    pub(super) attributes: Attributes,
    pub(super) keyword: TokenTree,
    pub(super) generics: Vec<TokenTree>,
    /// The path of the trait; `None` for an inherent impl.
    pub(super) trait_path: Option<Vec<TokenTree>>,
    pub(super) self_type: TokenStream,
    pub(super) where_clause: TokenStream,
    pub(super) body: Option<Group>,
}

/// Anything that is not an impl.
pub(super) struct Other {
    pub(super) attributes: Attributes,
    pub(super) modifiers: Vec<Ident>,
    /// What follows the modifiers.
    pub(super) rest: Cursor,
}

/// Reads the item.
pub(super) fn item(item: TokenStream) -> Item {
    let mut cursor = Cursor::new(unwrap_groups(item));
    let attributes = Attributes::read(&mut cursor);
    let modifiers = take_modifiers(&mut cursor);
    let Some(keyword) = cursor.take(|token| is_ident(Some(token), "impl").then(|| token.clone())) else {
        return Item::Other(Other { attributes, modifiers, rest: cursor });
    };
    let generics = cursor.take_generics();
    if cursor.at_ident("const") {
        cursor.bump();
    }
    let first = cursor
        .take_type_until(|token| is_ident(Some(token), "for") || is_ident(Some(token), "where") || is_brace(token));
    let (trait_path, self_type) = if cursor.at_ident("for") {
        cursor.bump();
        (Some(first), cursor.take_type_until(|token| is_ident(Some(token), "where") || is_brace(token)))
    } else {
        (None, first)
    };
    let where_clause = cursor.take_type_until(is_brace).into_iter().collect();
    let body = cursor.take(|token| as_group(token, Delimiter::Brace));
    let self_type = self_type.into_iter().collect();
    Item::Impl(Impl { attributes, keyword, generics, trait_path, self_type, where_clause, body })
}

fn is_brace(token: &TokenTree) -> bool {
    as_group(token, Delimiter::Brace).is_some()
}

/// The attributes below ours.
#[derive(Default)]
pub(super) struct Attributes {
    /// `cfg`, `cfg_attr` and lint levels, which the companion shares.
    pub(super) shared: TokenStream,
    pub(super) again: Option<TokenStream>,
    pub(super) async_trait: Option<TokenStream>,
}

impl Attributes {
    fn read(cursor: &mut Cursor) -> Self {
        let mut attributes = Self::default();
        cursor.take_attributes().into_iter().for_each(|attribute| attributes.add(attribute));
        attributes
    }

    fn add(&mut self, attribute: Attribute) {
        match attribute.name.as_ref().map(ToString::to_string).unwrap_or_default().as_str() {
            "cache_tier" => drop(self.again.get_or_insert(attribute.tokens)),
            "async_trait" => drop(self.async_trait.get_or_insert(attribute.tokens)),
            "cfg" | "allow" => self.shared.extend(attribute.tokens),
            "cfg_attr" if !mentions(attribute.tokens.clone(), "cache_tier") => self.shared.extend(attribute.tokens),
            "expect" => {
                // The companion names the same types, but must not be what fulfils the expectation.
                let arguments: TokenStream = attribute.rest.into_iter().collect();
                self.shared.extend(quote_spanned!(Span::mixed_site()=> #[allow #arguments]));
            }
            _ => {}
        }
    }
}

fn mentions(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        _ => false,
    })
}

/// Takes what may stand in front of an item's keyword.
fn take_modifiers(cursor: &mut Cursor) -> Vec<Ident> {
    let mut modifiers = Vec::new();
    while let Some(ident) = cursor.peek().and_then(as_ident) {
        let next = cursor.nth(1);
        let is_modifier = match ident.to_string().as_str() {
            "pub" | "default" | "unsafe" | "async" | "extern" => true,
            "const" => matches!(next, Some(TokenTree::Ident(next))
                if ["fn", "unsafe", "async", "extern", "impl", "trait"].iter().any(|word| next == word)),
            _ => false,
        };
        if !is_modifier {
            break;
        }
        cursor.bump();
        cursor.take(|token| match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => Some(()),
            TokenTree::Literal(_) => Some(()),
            _ => None,
        });
        modifiers.push(ident);
    }
    modifiers
}
