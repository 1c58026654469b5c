//! Writes the `impl CacheTier` that calls the methods of an inherent impl; cannot fail.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::quote_spanned;

use super::read::is_reference;
use super::{Kind, Method};
use crate::tier::model::{Header, TierImpl};

/// The impl of `CacheTier`.
pub(in crate::tier) fn tier(methods: &[Method], model: &TierImpl) -> TokenStream {
    let here = Span::mixed_site();
    let Header { shared_attributes, generics, key, value, self_type, where_clause, .. } = &model.header;
    let krate = &model.arguments.krate;
    let callers = methods.iter().map(|method| caller(method, model));
    let has_clear = methods.iter().any(|method| method.kind == Kind::Clear);
    let no_clear = (!has_clear).then(|| {
        quote_spanned! {here=>
            async fn clear(&self) -> #krate::__private::adapt::Answer<()> {
                #krate::__private::adapt::no_clear()
            }
        }
    });
    quote_spanned! {here=>
        #shared_attributes
        #[automatically_derived]
        #[doc(hidden)]
        impl #generics #krate::__private::adapt::CacheTier<#key, #value> for #self_type #where_clause {
            #(#callers)*
            #no_clear
        }
    }
}

/// The method of `CacheTier` that calls one of the user's.
fn caller(method: &Method, model: &TierImpl) -> TokenStream {
    let here = Span::mixed_site();
    let krate = &model.arguments.krate;
    let Header { key, value, .. } = &model.header;
    let Method { kind, cfg, name, .. } = method;
    let name = Ident::new(kind.name(), located(name.span()));
    let (parameters, answer) = match kind {
        Kind::Get => (
            quote_spanned!(here=> , key: &#key),
            quote_spanned!(here=> ::core::option::Option<#krate::__private::adapt::CacheEntry<#value>>),
        ),
        Kind::Insert => (
            quote_spanned! {here=>
                , key: <#key as #krate::__private::adapt::ToOwned>::Owned,
                entry: #krate::__private::adapt::CacheEntry<#value>
            },
            quote_spanned!(here=> #krate::__private::adapt::InsertOutcome),
        ),
        Kind::Invalidate => (quote_spanned!(here=> , key: &#key), quote_spanned!(here=> ())),
        Kind::Clear => (TokenStream::new(), quote_spanned!(here=> ())),
        Kind::Len => {
            (TokenStream::new(), quote_spanned!(here=> ::core::option::Option<::core::primitive::u64>))
        }
    };
    let body = match &method.parameters {
        Some(types) => call(method, types, model),
        None => quote_spanned!(here=> ::core::unimplemented!()),
    };
    quote_spanned! {here=>
        #cfg
        async fn #name(&self #parameters) -> #krate::__private::adapt::Answer<#answer> {
            #body
        }
    }
}

fn call(method: &Method, types: &[TokenStream], model: &TierImpl) -> TokenStream {
    let here = Span::mixed_site();
    let krate = &model.arguments.krate;
    let Header { key, value, .. } = &model.header;
    let name = Ident::new(method.kind.name(), located(method.name.span()));
    let awaited = method.is_awaited.then(|| quote_spanned!(here=> .await));
    let borrowed = |ty: &TokenStream, from: TokenStream| {
        spread(quote_spanned!(here=> #krate::__private::adapt::BorrowedKey::<#key>::of(#from)), ty)
    };
    let arguments = match (method.kind, types) {
        (Kind::Get | Kind::Invalidate, [ty]) => borrowed(ty, quote_spanned!(here=> key)),
        (Kind::Insert, [ty, _]) => {
            let key = if is_reference(ty) {
                let from = quote_spanned!(here=> #krate::__private::adapt::Borrow::<#key>::borrow(&key));
                borrowed(ty, from)
            } else {
                spread(quote_spanned!(here=> #krate::__private::adapt::OwnedKey::of(key)), ty)
            };
            quote_spanned!(here=> #key, entry)
        }
        _ => TokenStream::new(),
    };
    let conversion = match method.kind {
        Kind::Get => quote_spanned!(here=> Found::<#value>::found),
        Kind::Insert => quote_spanned!(here=> Inserted::inserted),
        Kind::Invalidate => quote_spanned!(here=> Invalidated::invalidated),
        Kind::Clear => quote_spanned!(here=> Cleared::cleared),
        Kind::Len => quote_spanned!(here=> Counted::counted),
    };
    let arguments = if arguments.is_empty() { arguments } else { quote_spanned!(here=> , #arguments) };
    let call = spread(quote_spanned!(here=> Self::#name(self #arguments) #awaited), &method.output);
    let converted = spread(quote_spanned!(here=> #krate::__private::adapt::#conversion(#call)), &method.output);
    let failure = spread(quote_spanned!(here=> #krate::__private::adapt::Failure::failure), &method.output);
    let answer = quote_spanned!(here=> ::core::result::Result::map_err(#converted, #failure));
    if let (Kind::Insert, [_, entry]) = (method.kind, types) {
        let stored = spread(quote_spanned!(here=> #krate::__private::adapt::Stored::<#value>::of(entry)), entry);
        return quote_spanned! {here=>
            match #stored {
                ::core::option::Option::Some(entry) => #answer,
                ::core::option::Option::None => #krate::__private::adapt::cannot_keep(),
            }
        };
    }
    answer
}

fn located(user: Span) -> Span {
    Span::mixed_site().located_at(user)
}

/// Puts an expression where `place` is: the first token where it begins, all others where it ends.
fn spread(tokens: TokenStream, place: &TokenStream) -> TokenStream {
    let mut ends = place.clone().into_iter();
    let Some(first) = ends.next() else { return tokens };
    let last = ends.last().map_or_else(|| first.span(), |last| last.span());
    tokens
        .into_iter()
        .enumerate()
        .map(|(at, mut token)| {
            let user = if at == 0 { first.span() } else { last };
            token.set_span(token.span().located_at(user));
            token
        })
        .collect()
}

#[allow(dead_code)]
fn unused(_: TokenTree) {}
