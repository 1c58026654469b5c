//! `#[cache_tier]`: the user's impl as it was written, and one sibling impl beside it.

mod arguments;
mod expand;
mod fields;
mod inherent;
mod model;
mod parse;
#[cfg(test)]
mod tests;

use proc_macro2::{Span, TokenStream};

use crate::diag::Diagnostics;

/// Expands the attribute; faults become errors beside the item, which is kept, but for what `#[async_trait]` has to do
/// with it.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let sibling = sibling(args, item.clone(), &mut diagnostics);
    let mut output = match &sibling {
        _ if diagnostics.is_empty() => item,
        Some(_) if parse::was_boxed(&item) => TokenStream::new(),
        _ => parse::without_async_trait(item),
    };
    output.extend(sibling);
    output.extend(diagnostics.into_tokens());
    output
}

fn sibling(args: TokenStream, item: TokenStream, diagnostics: &mut Diagnostics) -> Option<TokenStream> {
    let attribute = attribute_span(&item);
    let mut in_item = Diagnostics::default();
    let whole = item.clone();
    let header = parse::item(item, attribute, &mut in_item);
    let inherent_body = header.as_ref().and_then(|header| header.inherent_body.clone());
    let arguments = arguments::read(args, inherent_body.is_some(), diagnostics);
    diagnostics.append(in_item);
    let mut header = header?;
    let Some(body) = inherent_body else {
        let model = model::TierImpl::new(header, arguments, diagnostics);
        let mut siblings = expand::sibling(&model);
        if !diagnostics.is_empty() && parse::was_boxed(&whole) {
            siblings.extend(inherent::unwritten(&model));
        }
        return Some(siblings);
    };
    inherent::complete(&mut header, &arguments, diagnostics)?;
    let methods = inherent::methods(body, &header, diagnostics);
    let model = model::TierImpl::new(header, arguments, diagnostics);
    let mut siblings = inherent::tier(&methods, &model);
    siblings.extend(expand::sibling(&model));
    Some(siblings)
}

/// The attribute as a place of the user's code, so that errors there do not speak of a macro's expansion.
fn attribute_span(item: &TokenStream) -> Span {
    let user = item.clone().into_iter().next().map(|token| token.span());
    user.map_or_else(Span::call_site, |user| Span::call_site().resolved_at(user))
}
