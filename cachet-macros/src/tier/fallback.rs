//! What keeps the user's item compiling after a fault, so that no second error follows the one that is reported.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::quote_spanned;

use super::model::{Header, TierImpl};
use super::{expand, inherent};
use crate::syntax::attributes::Attribute;
use crate::syntax::tokens::{Cursor, as_group, is_ident, is_joint, is_punct, unwrap_groups};

/// The item without the errors that `#[async_trait]` would add.
pub(super) fn item(item: TokenStream, has_companion: bool) -> TokenStream {
    if has_companion && has_async_trait(&item) { TokenStream::new() } else { without_attributes(item) }
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

/// Makes an inherent impl a tier of all keys and values, since its own are not known.
pub(super) fn generalize(header: &mut Header, krate: &TokenStream) {
    let here = Span::mixed_site();
    let mut generics: Vec<TokenTree> = header.generics.clone().into_iter().collect();
    generics.pop();
    let (opening, separator) = match generics.last() {
        None => (Some(quote_spanned!(here=> <)), None),
        Some(last) if is_punct(Some(last), '<') || is_punct(Some(last), ',') => (None, None),
        Some(_) => (None, Some(quote_spanned!(here=> ,))),
    };
    let own: TokenStream = generics.into_iter().collect();
    header.generics =
        quote_spanned!(here=> #opening #own #separator K: ?::core::marker::Sized + #krate::Key, V: #krate::Value>);
    header.key = quote_spanned!(here=> K);
    header.value = quote_spanned!(here=> V);
}

/// Both impls of an item whose methods cannot be used.
pub(super) fn both_impls(model: TierImpl) -> TokenStream {
    let model = model.stand_in();
    [inherent::stub_impl(&model), expand::companion_impl(&model)].into_iter().collect()
}

/// The item without the attributes below ours that are already refused and would add errors.
fn without_attributes(item: TokenStream) -> TokenStream {
    let mut cursor = Cursor::new(unwrap_groups(item.clone()));
    let attributes = cursor.take_attributes();
    let refused = |attribute: &Attribute| attribute.is("async_trait") || attribute.is("cache_tier");
    if !attributes.iter().any(refused) {
        return item;
    }
    let kept = attributes.into_iter().filter(|attribute| !refused(attribute)).flat_map(|attribute| attribute.tokens);
    kept.chain(std::iter::from_fn(|| cursor.bump())).collect()
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
