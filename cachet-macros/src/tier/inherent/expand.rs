//! Writes the `impl CacheTier` that calls the methods of an inherent impl; cannot fail.
//!
//! That the types of a method do not fit is said by rustc, and where the tokens are that do not fit together. So each
//! conversion stands at the type that it is about, as if the user had written it there.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};

use super::parse::is_reference;
use super::{Kind, Method};
use crate::syntax::krate;
use crate::tier::model::{Header, TierImpl};

/// The impl of `CacheTier`.
pub(in crate::tier) fn tier(methods: &[Method], model: &TierImpl) -> TokenStream {
    let here = Span::mixed_site();
    let Header { shared_attributes, generics, key, value, self_type, where_clause, .. } = &model.header;
    let runtime = Runtime::of(&model.arguments.krate);
    let callers = methods.iter().map(|method| Caller { method, header: &model.header, runtime: &runtime }.write());
    let no_clear = (!methods.iter().any(|method| method.kind == Kind::Clear)).then(|| no_clear(&runtime.krate));
    let place = Place::of(&quote!(#key #value), None);
    let tier = runtime.path(place, "CacheTier");
    let (opening, closing) = (place.end(quote!(<)), place.end(quote!(>)));
    quote_spanned! {here=>
        #shared_attributes
        #[automatically_derived]
        impl #generics #tier #opening #key, #value #closing for #self_type #where_clause {
            #(#callers)*
            #no_clear
        }
    }
}

/// Does not hold `self`, so that it is `Send` whatever the type is: others have errors to say about that.
fn no_clear(krate: &TokenStream) -> TokenStream {
    quote_spanned! {Span::mixed_site()=>
        fn clear(
            &self,
        ) -> impl ::core::future::Future<Output = #krate::__private::adapt::TierResult<()>> + ::core::marker::Send {
            ::core::future::ready(#krate::__private::adapt::no_clear())
        }
    }
}

/// A method of `CacheTier` that calls one of the user's.
struct Caller<'a> {
    method: &'a Method,
    header: &'a Header,
    runtime: &'a Runtime,
}

impl Caller<'_> {
    fn write(&self) -> TokenStream {
        let here = Span::mixed_site();
        let Method { kind, attributes, name, receiver, parameters, .. } = self.method;
        let Header { value, .. } = self.header;
        let krate = &self.runtime.krate;
        let receiver = self.place(receiver).put(quote!(&self));
        let taken = self.taken();
        let answer = match kind {
            Kind::Get => quote_spanned!(here=> ::core::option::Option<#krate::__private::adapt::CacheEntry<#value>>),
            Kind::Insert => quote_spanned!(here=> #krate::__private::adapt::InsertOutcome),
            Kind::Invalidate | Kind::Clear => quote_spanned!(here=> ()),
            Kind::Len => quote_spanned!(here=> ::core::option::Option<::core::primitive::u64>),
        };
        let place = self.output();
        let returned = self.runtime.path(place, "TierResult");
        let (opening, closing) = (place.end(quote!(<)), place.end(quote!(>)));
        // rustc takes two spellings of an elided or higher-ranked lifetime for two types.
        let is_refining = *kind == Kind::Get && mentions_lifetimes(value.clone());
        let refining = is_refining.then(|| quote_spanned!(here=> #[allow(refining_impl_trait)]));
        let body = parameters
            .as_ref()
            .map_or_else(|| quote_spanned!(here=> ::core::unimplemented!()), |types| self.body(types));
        quote_spanned! {here=>
            #attributes
            #refining
            async fn #name(#receiver #taken) -> #returned #opening #answer #closing {
                #body
            }
        }
    }

    /// The parameters as the trait has them.
    fn taken(&self) -> TokenStream {
        let here = Span::mixed_site();
        let Header { key: key_type, value, .. } = self.header;
        let krate = &self.runtime.krate;
        let (key, entry) = (self.local("key"), self.local("entry"));
        match self.method.kind {
            Kind::Get | Kind::Invalidate => quote_spanned!(here=> , #key: &#key_type),
            Kind::Insert => {
                let types = self.method.parameters.as_deref().unwrap_or_default();
                let place = self.place(types.first().unwrap_or(&TokenStream::new()));
                let (opening, owned) = (place.put(quote!(<)), self.runtime.path(place, "ToOwned"));
                let closing = place.end(quote!(>::Owned));
                quote_spanned! {here=>
                    , #key: #opening #key_type as #owned #closing, #entry: #krate::__private::adapt::CacheEntry<#value>
                }
            }
            Kind::Clear | Kind::Len => TokenStream::new(),
        }
    }

    fn body(&self, types: &[TokenStream]) -> TokenStream {
        let here = Span::mixed_site();
        let Header { value, .. } = self.header;
        match (self.method.kind, types) {
            (Kind::Get, [key]) => {
                let result = self.call_method("Lookup", &self.borrowed(key, &TokenStream::new()));
                let (place, found, value_found) = (self.output(), self.local("found"), self.local("value"));
                let convert = place.end(quote!(>::into_entry));
                let mut entry = self.runtime.path(place, "Stored");
                entry.extend(quote_spanned!(here=> ::<#value #convert));
                entry.extend([place.parenthesise(self.whole(place, quote!(#value_found)))]);
                self.answer(
                    &result,
                    &quote_spanned! {here=>
                        match #found {
                            ::core::option::Option::Some(#value_found) => ::core::option::Option::Some(#entry),
                            ::core::option::Option::None => ::core::option::Option::None,
                        }
                    },
                )
            }
            (Kind::Insert, [key, entry]) => {
                let key = if is_reference(key) {
                    self.borrowed(key, &quote!(&))
                } else {
                    let place = self.place(key);
                    let owned = self.local("key");
                    self.call(place, "OwnedKey::of", self.whole(place, quote!(#owned)))
                };
                let place = self.place(entry);
                let (entry, unwrapped) = (self.local("entry"), self.local("stored"));
                let stored = self.call(place, "Stored::of", self.whole(place, quote!(#entry)));
                let result = self.call_method("Insertion", &quote_spanned!(here=> #key, #unwrapped));
                let answer = self.answer(&result, &self.local("found").to_token_stream());
                let krate = &self.runtime.krate;
                quote_spanned! {here=>
                    match #stored {
                        ::core::option::Option::Some(#unwrapped) => #answer,
                        ::core::option::Option::None => #krate::__private::adapt::REJECTED_TTL,
                    }
                }
            }
            (kind, types) => {
                let arguments = types.first().map(|key| self.borrowed(key, &TokenStream::new())).unwrap_or_default();
                let result = self.call_method(if kind == Kind::Len { "EntryCount" } else { "Removal" }, &arguments);
                self.answer(&result, &self.local("found").to_token_stream())
            }
        }
    }

    /// Calls the user's method, and `into_result` of the trait that understands what it returns.
    fn call_method(&self, understood_by: &str, arguments: &TokenStream) -> TokenStream {
        let place = self.output();
        let name = &self.method.name;
        let receiver = place.end(quote!(self));
        let arguments = if arguments.is_empty() { receiver } else { quote!(#receiver, #arguments) };
        let mut returned = place.put(quote!(Self::#name));
        returned.extend([place.parenthesise(arguments)]);
        if self.method.is_awaited {
            returned.extend(place.end(quote!(.await)));
        }
        self.call(place, &format!("{understood_by}::into_result"), returned)
    }

    /// The result of the method, with its error as one of the cache's.
    fn answer(&self, result: &TokenStream, found: &TokenStream) -> TokenStream {
        let place = self.output();
        let (success, error) = (self.local("found"), self.local("error"));
        let failure = self.call(place, "Failure::into_error", self.whole(place, quote!(#error)));
        quote_spanned! {Span::mixed_site()=>
            match #result {
                ::core::result::Result::Ok(#success) => ::core::result::Result::Ok(#found),
                ::core::result::Result::Err(#error) => ::core::result::Result::Err(#failure),
            }
        }
    }

    /// The key for a method that takes it by reference.
    fn borrowed(&self, key_type: &TokenStream, reference: &TokenStream) -> TokenStream {
        let place = self.place(key_type);
        let (key, tier_key) = (self.local("key"), &self.header.key);
        let mut borrow = self.runtime.path(place, "Borrow");
        let (opening, closing) = (place.end(quote!(::<)), place.end(quote!(>::borrow)));
        borrow.extend(quote!(#opening #tier_key #closing));
        borrow.extend([place.parenthesise(place.end(quote!(#reference #key)))]);
        self.call(place, "BorrowedKey::of", borrow)
    }

    /// The call of a function of the runtime.
    fn call(&self, place: Place, function: &str, arguments: TokenStream) -> TokenStream {
        let mut call = self.runtime.path(place, function);
        call.extend([place.parenthesise(arguments)]);
        call
    }

    /// A single token as an expression that is as wide as the place.
    fn whole(&self, place: Place, token: TokenStream) -> TokenStream {
        self.call(place, "identity", place.end(token))
    }

    /// A variable. All of a method's share its hygiene, wherever they stand.
    fn local(&self, name: &str) -> Ident {
        Ident::new(&format!("cachet_{name}"), self.method.name.span())
    }

    fn place(&self, written: &TokenStream) -> Place {
        Place::of(written, Some(self.method.name.span()))
    }

    /// Where the method says what it returns.
    fn output(&self) -> Place {
        self.place(&self.method.output)
    }
}

fn mentions_lifetimes(ty: TokenStream) -> bool {
    ty.into_iter().any(|token| match token {
        TokenTree::Punct(punct) => punct.as_char() == '&',
        TokenTree::Ident(word) => word == "for" || word == "fn",
        TokenTree::Group(group) => mentions_lifetimes(group.stream()),
        TokenTree::Literal(_) => false,
    })
}

/// Where the user wrote something, from its first token to its last.
#[derive(Clone, Copy)]
struct Place {
    first: Span,
    last: Span,
}

impl Place {
    /// `hygiene` is what locals of the same method have, and stands in for what was not written at all.
    fn of(written: &TokenStream, hygiene: Option<Span>) -> Self {
        let mut spans = written.clone().into_iter().map(|token| token.span());
        let first = spans.next().or(hygiene).unwrap_or_else(Span::mixed_site);
        let last = spans.last().unwrap_or(first);
        let hygiene = hygiene.unwrap_or(first);
        Self { first: first.resolved_at(hygiene), last: last.resolved_at(hygiene) }
    }

    /// Tokens that go from the first to the last place.
    fn put(self, tokens: TokenStream) -> TokenStream {
        let mut place = self.first;
        let put = |mut token: TokenTree| {
            token.set_span(std::mem::replace(&mut place, self.last));
            token
        };
        tokens.into_iter().map(put).collect()
    }

    /// Tokens behind such ones.
    fn end(self, tokens: TokenStream) -> TokenStream {
        Self { first: self.last, ..self }.put(tokens)
    }

    fn parenthesise(self, inside: TokenStream) -> TokenTree {
        let mut group = Group::new(Delimiter::Parenthesis, inside);
        group.set_span(self.last);
        group.into()
    }
}

/// Where the runtime is found.
struct Runtime {
    krate: TokenStream,
    is_default: bool,
}

impl Runtime {
    fn of(krate: &TokenStream) -> Self {
        Self { krate: krate.clone(), is_default: krate.to_string() == krate::default_path().to_string() }
    }

    /// The path of something in `adapt`. A path that the user gave keeps its hygiene: it may begin with `$crate`.
    fn path(&self, place: Place, names: &str) -> TokenStream {
        let names = names.split("::").map(|name| Ident::new(name, place.last));
        let own = place.end(quote!(::__private::adapt #(::#names)*));
        let krate = self.krate.clone().into_iter().enumerate().map(|(at, mut token)| {
            let user = if at == 0 { place.first } else { place.last };
            token.set_span(if self.is_default { user } else { token.span().located_at(user) });
            token
        });
        krate.chain(own).collect()
    }
}
