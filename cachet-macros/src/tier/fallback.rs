//! What keeps the user's item compiling after a fault, so that no second error follows the one that is reported.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::quote_spanned;

use super::model::Header;
use super::parse::last_segment;
use crate::syntax::tokens::{Cursor, as_group, is_ident, is_joint};

/// The item without the errors that `#[async_trait]` would add.
pub(super) fn item(item: TokenStream, has_companion: bool) -> TokenStream {
    if has_companion && has_async_trait(&item) { TokenStream::new() } else { without_async_trait(item) }
}

/// The header of a companion for a type that was annotated in place of its impl: without one, rustc would report
/// the missing impl as well.
pub(super) fn header(name: Ident, shared_attributes: TokenStream) -> Header {
    let here = Span::mixed_site();
    Header {
        shared_attributes,
        generics: quote_spanned!(here=> <K: ?::core::marker::Sized, V>),
        key: quote_spanned!(here=> K),
        value: quote_spanned!(here=> V),
        self_type: TokenTree::from(name).into(),
        where_clause: TokenStream::new(),
        places: None,
        inherent_body: None,
    }
}

/// The item without the `#[async_trait]` below the attribute, which is already refused and would add errors.
fn without_async_trait(item: TokenStream) -> TokenStream {
    let mut cursor = Cursor::new(item);
    let mut kept = Vec::new();
    while cursor.at_punct('#')
        && let Some(group) = cursor.nth(1).and_then(|token| as_group(token, Delimiter::Bracket))
    {
        let attribute = [cursor.bump(), cursor.bump()];
        if last_segment(&mut Cursor::new(group.stream())).is_none_or(|name| name != "async_trait") {
            kept.extend(attribute.into_iter().flatten());
        }
    }
    kept.extend(std::iter::from_fn(|| cursor.bump()));
    kept.into_iter().collect()
}

/// Whether an `#[async_trait]` above the attribute has already rewritten the methods of the impl.
pub(super) fn has_async_trait(item: &TokenStream) -> bool {
    let last = item.clone().into_iter().last();
    last.and_then(|token| as_group(&token, Delimiter::Brace)).is_some_and(|body| has_boxed_methods(&body))
}

pub(super) fn has_boxed_methods(body: &Group) -> bool {
    let mut previous = None;
    body.stream().into_iter().any(|token| {
        let found = is_joint(previous.as_ref(), '\'') && is_ident(Some(&token), "async_trait");
        previous = Some(token);
        found
    })
}
