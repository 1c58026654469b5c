//! Writes the impl; cannot fail.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote_spanned};

use super::model::{Body, Filter, Handler, Part, Role, Scope};
use super::vocabulary::variant;
use crate::syntax::derive_input::{Parameter, ParameterKind};

/// The impl of `CacheEventHandler`.
pub(super) fn handler(handler: &Handler) -> TokenStream {
    let here = Span::mixed_site();
    let Handler { krate, lints, .. } = handler;
    // Errors about the type are to be at the user's name of it, but a deprecated name must not be used there.
    let ident = handler.ident.clone().into();
    let ident = if handler.is_deprecated { located(&ident) } else { ident };
    let (impl_generics, type_generics) = (handler.generics.declared(), handler.generics.arguments());
    let where_clause = where_clause(handler);
    let interest = interest(handler);
    let on_tier_event = on_event(handler, Scope::Tier);
    let on_operation_event = on_event(handler, Scope::Operation);
    quote_spanned! {here=>
        #lints
        #[automatically_derived]
        impl #impl_generics #krate::__private::CacheEventHandler for #ident #type_generics #where_clause {
            fn interest(&self) -> #krate::__private::EventMask {
                #interest
            }
            #on_tier_event
            #on_operation_event
        }
    }
}

/// The type's where clause, with what its fields' roles need.
///
/// Only types that mention a parameter are bounded: for others rustc's error is better where the type is used. The
/// supertraits have to be repeated, since nothing else says that a generic field without a role can be shared.
fn where_clause(handler: &Handler) -> TokenStream {
    let here = Span::mixed_site();
    let krate = &handler.krate;
    let parameters = &handler.generics.parameters;
    let names: Vec<&Ident> = parameters.iter().filter_map(Parameter::ident).collect();
    let mut predicates = handler.generics.predicates.clone();
    for part in handler.body.parts() {
        let ty = &part.ty;
        let is_recursive = mentions(ty.clone(), &[&handler.ident]);
        if mentions(ty.clone(), &names) && !is_recursive {
            let bound = Ident::new(part.role.bound(), here);
            predicates.extend(quote_spanned!(here=> #ty: #krate::__private::#bound,));
        }
    }
    if parameters.iter().any(|parameter| parameter.kind != ParameterKind::Const) {
        predicates.extend(quote_spanned! {here=>
            Self: ::core::marker::Send + ::core::marker::Sync + 'static
        });
    }
    if predicates.is_empty() { predicates } else { quote_spanned!(here=> where #predicates) }
}

fn mentions(tokens: TokenStream, names: &[&Ident]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => names.contains(&&ident),
        TokenTree::Group(group) => mentions(group.stream(), names),
        _ => false,
    })
}

/// The union of what the fields' roles need, and of what forwarded handlers say themselves.
fn interest(handler: &Handler) -> TokenStream {
    let here = Span::mixed_site();
    let krate = &handler.krate;
    let mut needed: Vec<&str> = Vec::new();
    if handler.on_tier.is_some() {
        needed.extend(["TIERS", "TIMING"]);
    }
    if handler.on_operation.is_some() {
        needed.extend(["OPERATIONS", "TIMING", "TRAIL"]);
    }
    for part in handler.body.parts() {
        if let Role::Count(scope, _) | Role::Record(scope, _) = &part.role {
            needed.push(match scope {
                Scope::Tier => "TIERS",
                Scope::Operation => "OPERATIONS",
            });
        }
        if let Role::Record(..) = &part.role {
            needed.push("TIMING");
        }
    }
    let all = ["OPERATIONS", "TIERS", "TIMING", "TRAIL"].into_iter().filter(|name| needed.contains(name));
    let mut names: Vec<_> = all.map(|name| Ident::new(name, here)).collect();
    if names.is_empty() {
        names.push(Ident::new("NONE", here));
    }
    let (first, rest) = (&names[0], &names[1..]);
    let fixed = quote_spanned! {here=>
        #krate::__private::EventMask::#first #(.union(#krate::__private::EventMask::#rest))*
    };
    let forwarded = |parts: &[(&Part, TokenStream)]| {
        let own = parts.iter().map(|(part, access)| {
            let ty = &part.ty;
            quote_spanned!(here=> .union(<#ty as #krate::__private::CacheEventHandler>::interest(#access)))
        });
        quote_spanned!(here=> #fixed #(#own)*)
    };
    let is_forward = |part: &Part| matches!(part.role, Role::Forward);
    if !handler.body.parts().any(is_forward) {
        return fixed;
    }
    dispatch(&handler.body, is_forward, forwarded)
}

/// One of the two event methods; nothing if no role needs it.
fn on_event(handler: &Handler, scope: Scope) -> TokenStream {
    let here = Span::mixed_site();
    let krate = &handler.krate;
    let (method, event_type, function) = match scope {
        Scope::Tier => ("on_tier_event", "CacheTierEvent", &handler.on_tier),
        Scope::Operation => ("on_operation_event", "CacheOperationEvent", &handler.on_operation),
    };
    let (method, event_type) = (Ident::new(method, here), Ident::new(event_type, here));
    let sees = |part: &Part| part.role.sees(scope);
    if function.is_none() && !handler.body.parts().any(sees) {
        return TokenStream::new();
    }
    let by_fields = handler.body.parts().any(sees).then(|| {
        dispatch(&handler.body, sees, |parts| {
            parts.iter().map(|(part, access)| handle(part, access, scope, &method, krate)).collect()
        })
    });
    let by_function = function.as_ref().map(|function| call(function, &event_type, krate));
    quote_spanned! {here=>
        fn #method(&self, cachet_event: &#krate::__private::#event_type<'_>) {
            #by_fields
            #by_function
        }
    }
}

/// The call of the user's function. Its type stands beside it, so that rustc shows both where the signature is wrong.
fn call(function: &TokenStream, event_type: &Ident, krate: &TokenStream) -> TokenStream {
    quote_spanned! {Span::mixed_site()=>
        let cachet_function: fn(&Self, &#krate::__private::#event_type<'_>) = #function;
        cachet_function(self, cachet_event);
    }
}

/// What one field does with an event.
fn handle(part: &Part, access: &TokenStream, scope: Scope, method: &Ident, krate: &TokenStream) -> TokenStream {
    let here = Span::mixed_site();
    let Part { ty, role, .. } = part;
    let (call, filters) = match role {
        Role::Forward => {
            return quote_spanned!(here=> <#ty as #krate::__private::CacheEventHandler>::#method(#access, cachet_event););
        }
        Role::Count(_, filters) => {
            (quote_spanned!(here=> <#ty as #krate::__private::EventCounter>::increment(#access);), filters)
        }
        Role::Record(_, filters) => {
            let call = quote_spanned! {here=>
                if let ::core::option::Option::Some(cachet_duration) = cachet_event.duration() {
                    <#ty as #krate::__private::EventHistogram>::record(#access, cachet_duration);
                }
            };
            (call, filters)
        }
    };
    if filters.is_empty() {
        return call;
    }
    let conditions = filters.iter().map(|filter| condition(filter, scope, krate));
    quote_spanned! {here=>
        if #(#conditions)&&* {
            #call
        }
    }
}

fn condition(filter: &Filter, scope: Scope, krate: &TokenStream) -> TokenStream {
    let here = Span::mixed_site();
    let (operation, outcome) = match scope {
        Scope::Tier => ("TierOperation", "TierOutcome"),
        Scope::Operation => ("CacheOperation", "OperationOutcome"),
    };
    let one_of = |method: &str, enumeration: &str, names: &[&str]| {
        let (method, enumeration) = (Ident::new(method, here), Ident::new(enumeration, here));
        let variants = names.iter().map(|name| Ident::new(&variant(name), here));
        quote_spanned! {here=>
            ::core::matches!(cachet_event.#method(), #(#krate::__private::#enumeration::#variants)|*)
        }
    };
    match filter {
        Filter::Operation(names) => one_of("operation", operation, names),
        Filter::Outcome(names) => one_of("outcome", outcome, names),
        Filter::Tier(names) => quote_spanned!(here=> ::core::matches!(cachet_event.tier(), #(#names)|*)),
        Filter::Cache(names) => quote_spanned!(here=> ::core::matches!(cachet_event.cache(), #(#names)|*)),
        Filter::Fallback(true) => quote_spanned!(here=> cachet_event.fallback()),
        Filter::Fallback(false) => quote_spanned!(here=> !cachet_event.fallback()),
        Filter::Coalesced(true) => quote_spanned!(here=> cachet_event.coalesced()),
        Filter::Coalesced(false) => quote_spanned!(here=> !cachet_event.coalesced()),
    }
}

/// Writes code for the fields that `wanted` picks: those of the struct, or those of the enum's active variant.
fn dispatch(
    body: &Body,
    wanted: impl Fn(&Part) -> bool,
    write: impl Fn(&[(&Part, TokenStream)]) -> TokenStream,
) -> TokenStream {
    let here = Span::mixed_site();
    match body {
        Body::Struct(parts) => {
            let access = |part: &Part| {
                let member = located(&part.member);
                quote_spanned!(here=> &self.#member)
            };
            write(&parts.iter().filter(|part| wanted(part)).map(|part| (part, access(part))).collect::<Vec<_>>())
        }
        Body::Enum(variants) => {
            let arms = variants.iter().map(|variant| {
                let name = located(&variant.ident.clone().into());
                let parts: Vec<&Part> = variant.parts.iter().filter(|part| wanted(part)).collect();
                let members = parts.iter().map(|part| located(&part.member));
                let bindings: Vec<Ident> =
                    (0..parts.len()).map(|at| format_ident!("cachet_field{at}", span = here)).collect();
                let bound: Vec<_> =
                    parts.iter().zip(&bindings).map(|(part, binding)| (*part, binding.to_token_stream())).collect();
                let code = write(&bound);
                quote_spanned!(here=> Self::#name { #(#members: #bindings,)* .. } => { #code })
            });
            quote_spanned!(here=> match self { #(#arms)* })
        }
        Body::None => write(&[]),
    }
}

/// A name as the derive's own token, so that lints on using it, `deprecated` above all, stay silent.
///
/// That token is of the derive's edition, so what is a word in the user's must not be a keyword there.
fn located(member: &TokenTree) -> TokenTree {
    let place = Span::mixed_site().located_at(member.span());
    match member {
        TokenTree::Ident(ident) if ["async", "await", "dyn", "gen", "try"].iter().any(|word| ident == word) => {
            Ident::new_raw(&ident.to_string(), place).into()
        }
        member => {
            let mut member = member.clone();
            member.set_span(place);
            member
        }
    }
}
