//! Writes the companion impl; cannot fail.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::quote_spanned;

use super::model::{Field, Form, Places, TierImpl};

/// The impl of the hidden trait that goes beside the user's.
pub(super) fn companion_impl(model: &TierImpl) -> TokenStream {
    let here = Span::mixed_site();
    let header = &model.header;
    let (attributes, generics, where_clause) = (&header.shared_attributes, &header.generics, &header.where_clause);
    let self_type = &header.self_type;
    let immediate =
        model.arguments.immediate.then(|| quote_spanned!(here=> const IMMEDIATE: ::core::primitive::bool = true;));
    let descriptor = descriptor(model);
    let record_fields = record_fields(model);
    let places = header.places.unwrap_or(Places { impl_token: here, trait_path: [here, here], body: here });
    let impl_token = Ident::new("impl", places.impl_token);
    let trait_path = trait_path(model, places);
    let mut body = Group::new(Delimiter::Brace, quote_spanned!(here=> #immediate #descriptor #record_fields));
    body.set_span(places.body);
    quote_spanned! {here=>
        #attributes
        #[automatically_derived]
        #[doc(hidden)]
        #impl_token #generics #trait_path for #self_type #where_clause #body
    }
}

/// A path is where its first and its last token are, and its last name. That name is put at the closing bracket: where a
/// name of the user is, an editor would take the one for the other.
fn trait_path(model: &TierImpl, places: Places) -> TokenStream {
    let here = Span::mixed_site();
    let (krate, key, value) = (&model.arguments.krate, &model.header.key, &model.header.value);
    let [first, last] = places.trait_path;
    let mut krate: Vec<TokenTree> = krate.clone().into_iter().collect();
    let colons = krate.iter_mut().take_while(|token| matches!(token, TokenTree::Punct(_)));
    colons.for_each(|colon| colon.set_span(first));
    let krate: TokenStream = krate.into_iter().collect();
    let (start, end) = (quote_spanned!(last=> InstrumentedTier<), quote_spanned!(last=> >));
    quote_spanned!(here=> #krate::__private::#start #key, #value #end)
}

fn descriptor(model: &TierImpl) -> TokenStream {
    let here = Span::mixed_site();
    let arguments = &model.arguments;
    let (krate, name) = (&arguments.krate, &model.name);
    let level = Ident::new(arguments.level, here);
    let target = arguments
        .target
        .as_ref()
        .map_or_else(|| quote_spanned!(here=> ::core::module_path!()), |target| quote_spanned!(here=> #target));
    let system = arguments.system.as_ref().map_or_else(
        || quote_spanned!(here=> ::core::option::Option::None),
        |system| quote_spanned!(here=> ::core::option::Option::Some(#system)),
    );
    let names = arguments.fields.iter().filter(|field| !matches!(field.form, Form::Address)).map(|field| &field.name);
    quote_spanned! {here=>
        fn descriptor() -> &'static #krate::__private::TierDescriptor {
            #krate::__private::tier_descriptor! {
                name = #name,
                target = #target,
                level = #level,
                system = #system,
                fields = [#(#names),*],
            }
        }
    }
}

fn record_fields(model: &TierImpl) -> TokenStream {
    let here = Span::mixed_site();
    let fields = &model.arguments.fields;
    if fields.is_empty() {
        return TokenStream::new();
    }
    let krate = &model.arguments.krate;
    let user = fields.iter().find_map(|field| find_self(field.value.clone()));
    let receiver = Ident::new("self", user.map_or_else(Span::mixed_site, |user| Span::mixed_site().resolved_at(user)));
    let records = fields.iter().map(|field| record(field, user, krate));
    quote_spanned! {here=>
        fn record_fields(&#receiver, cachet_recorder: &mut #krate::__private::FieldRecorder<'_>) {
            #(#records)*
        }
    }
}

/// One call, so that temporaries of the user's expression live until the value is recorded, and by reference, so that
/// `self.field` does not move. The argument is where the user's expression is: what rustc says of its type, it says there.
fn record(field: &Field, user: Option<Span>, krate: &TokenStream) -> TokenStream {
    let here = Span::mixed_site();
    let Field { name, value, .. } = field;
    let mut spans = value.clone().into_iter().map(|token| token.span());
    let first = spans.next().unwrap_or(here);
    let value = user.map_or_else(|| value.clone(), |user| unite_selves(value.clone(), user));
    let mut place = Group::new(Delimiter::Parenthesis, value);
    place.set_span(spans.last().unwrap_or(first));
    let value = quote_spanned!(first=> & #place);
    let form = match field.form {
        Form::Value => "FieldValue",
        Form::Display => "DisplayField",
        Form::Debug => "DebugField",
        Form::Address => {
            return quote_spanned!(here=> #krate::__private::AddressField::record(#value, cachet_recorder););
        }
    };
    let form = Ident::new(form, here);
    quote_spanned!(here=> #krate::__private::#form::record(#value, #name, cachet_recorder);)
}

/// `self` is as hygienic as a local variable: the receiver has to come from where the user wrote `self`, and there is one
/// receiver for all expressions, whichever macros have written them.
fn unite_selves(tokens: TokenStream, user: Span) -> TokenStream {
    let unite = |mut token: TokenTree| match token {
        TokenTree::Ident(ref ident) if ident == "self" => {
            token.set_span(token.span().resolved_at(user));
            token
        }
        TokenTree::Group(group) => {
            let mut united = Group::new(group.delimiter(), unite_selves(group.stream(), user));
            united.set_span(group.span());
            united.into()
        }
        token => token,
    };
    tokens.into_iter().map(unite).collect()
}

fn find_self(tokens: TokenStream) -> Option<Span> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Ident(ident) if ident == "self" => Some(ident.span()),
        TokenTree::Group(group) => find_self(group.stream()),
        _ => None,
    })
}
