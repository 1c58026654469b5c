//! `#[cache_tier]`: the user's impl as it was written, and one companion impl beside it.

mod expand;
mod fallback;
mod inherent;
mod model;
mod parse;
#[cfg(test)]
mod tests;
mod validate;

use proc_macro2::{Span, TokenStream};

use crate::syntax::diag::Diagnostics;

/// Expands the attribute. Faults become errors beside the item, which is kept without its `#[async_trait]`.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let companion = companion_impl(args, item.clone(), &mut diagnostics);
    let mut output = if diagnostics.is_empty() { item } else { fallback::item(item, companion.is_some()) };
    output.extend(companion);
    output.extend(diagnostics.into_tokens());
    output
}

fn companion_impl(args: TokenStream, item: TokenStream, diagnostics: &mut Diagnostics) -> Option<TokenStream> {
    let attribute = attribute_span(&item);
    let has_async_trait = fallback::has_async_trait(&item);
    let mut in_item = Diagnostics::default();
    let header = validate::header(parse::item(item), attribute, &mut in_item);
    let inherent_body = header.as_ref().and_then(|header| header.inherent_body.clone());
    let arguments = parse::arguments(args, inherent_body.is_some(), diagnostics);
    diagnostics.append(in_item);
    let mut header = header?;
    if let Some(body) = inherent_body {
        let mut methods = None;
        if inherent::complete(&mut header, &arguments, diagnostics) {
            methods = Some(inherent::methods(body, &header, diagnostics));
        } else {
            fallback::generalize(&mut header, &arguments.krate);
        }
        let model = validate::tier_impl(header, arguments, diagnostics);
        return Some(match methods.filter(|_| diagnostics.is_empty()) {
            Some(methods) => [inherent::tier(&methods, &model), expand::companion_impl(&model)].into_iter().collect(),
            None => fallback::both_impls(model),
        });
    }
    let model = validate::tier_impl(header, arguments, diagnostics);
    Some(match has_async_trait {
        _ if diagnostics.is_empty() => expand::companion_impl(&model),
        true => fallback::both_impls(model),
        false => expand::companion_impl(&model.stand_in()),
    })
}

/// The attribute as a place of the user's code, so that errors there do not speak of a macro's expansion.
fn attribute_span(item: &TokenStream) -> Span {
    let user = item.clone().into_iter().next().map(|token| token.span());
    user.map_or_else(Span::call_site, |user| Span::call_site().resolved_at(user))
}
