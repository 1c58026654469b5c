//! Writes the sibling impl; cannot fail.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::quote_spanned;

use super::model::{Field, Form, TierImpl};

/// The impl of the hidden trait that stands beside the user's.
pub(super) fn sibling(model: &TierImpl) -> TokenStream {
    let here = Span::mixed_site();
    let header = &model.header;
    let krate = &model.arguments.krate;
    let (attributes, generics, where_clause) = (&header.shared_attributes, &header.generics, &header.where_clause);
    let (key, value, self_type) = (&header.key, &header.value, &header.self_type);
    let immediate =
        model.arguments.immediate.then(|| quote_spanned!(here=> const IMMEDIATE: ::core::primitive::bool = true;));
    let descriptor = descriptor(model);
    let record_fields = record_fields(model);
    quote_spanned! {here=>
        #attributes
        #[automatically_derived]
        #[doc(hidden)]
        impl #generics #krate::__private::InstrumentedTier<#key, #value> for #self_type #where_clause {
            #immediate
            #descriptor
            #record_fields
        }
    }
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
    let receiver = Ident::new("self", receiver_span(fields));
    let records = fields.iter().map(record);
    quote_spanned! {here=>
        fn record_fields(&#receiver, recorder: &mut #krate::__private::FieldRecorder<'_>) {
            #(#records)*
        }
    }
}

/// A `match` rather than a `let`, so that temporaries of the user's expression live until the value is recorded, and
/// by reference, so that `self.field` does not move.
fn record(field: &Field) -> TokenStream {
    let here = Span::mixed_site();
    let Field { name, value, .. } = field;
    let call = match field.form {
        Form::Value => quote_spanned!(here=> recorder.record(#name, value)),
        Form::Display => quote_spanned!(here=> recorder.record_display(#name, value)),
        Form::Debug => quote_spanned!(here=> recorder.record_debug(#name, value)),
        Form::Address => quote_spanned!(here=> recorder.record_address(value)),
    };
    quote_spanned!(here=> match &(#value) { value => { #call; } })
}

/// `self` is as hygienic as a local variable: the receiver has to come from where the user wrote `self`.
fn receiver_span(fields: &[Field]) -> Span {
    fields
        .iter()
        .find_map(|field| find_self(field.value.clone()))
        .map_or_else(Span::mixed_site, |user| Span::mixed_site().resolved_at(user))
}

fn find_self(tokens: TokenStream) -> Option<Span> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Ident(ident) if ident == "self" => Some(ident.span()),
        TokenTree::Group(group) => find_self(group.stream()),
        _ => None,
    })
}
