//! Reads the type and its `#[cache_event(…)]` attributes.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::{Attribute, Data, DeriveInput, Fields, GenericParam, Generics, Index, Member, Meta, Type};

use crate::syntax::args::{Arg, Args, Shape, Spec, Table};
use crate::syntax::diag::{Diagnostics, alternatives};

/// The type as it was written.
pub(super) struct Parsed {
    pub(super) ident: Ident,
    pub(super) generics: Generics,
    pub(super) lints: TokenStream,
    pub(super) arguments: Vec<Arg>,
    /// Some field or the type has a role, readable or not.
    pub(super) has_roles: bool,
    pub(super) shape: ParsedShape,
}

pub(super) enum ParsedShape {
    Struct(Vec<ParsedField>),
    Enum(Vec<(Ident, Vec<ParsedField>)>),
    Union(Span),
}

pub(super) struct ParsedField {
    pub(super) member: Member,
    pub(super) ty: Type,
    pub(super) role: Option<Arg>,
}

const TWO_ROLES: &str = "two roles on one field; give each role a field of its own";
const ON_FIELD: &str = "it is a role of a field: put `#[cache_event(…)]` on the field";
const ON_TYPE: &str = "it goes into a `#[cache_event(…)]` on the type, not on a field";
const NO_SKIP: &str = "a field without a role is left alone; remove the attribute";
const IN_ROLE: &str = "it is a filter: write it inside `count(…)` or `record(…)`";

const OF_TYPE: Table = Table {
    specs: &[
        Spec { name: "on_tier", shape: Shape::Value, example: "on_tier = Self::log_tier" },
        Spec { name: "on_operation", shape: Shape::Value, example: "on_operation = Self::log_operation" },
        Spec { name: "crate", shape: Shape::Value, example: "crate = ::cachet" },
    ],
    aliases: &[("forward", ON_FIELD), ("count", ON_FIELD), ("record", ON_FIELD)],
    repeated: None,
};

const OF_FIELD: Table = Table {
    specs: &[
        Spec { name: "forward", shape: Shape::Word, example: "forward" },
        Spec { name: "count", shape: Shape::List, example: "count(tier, outcome = \"hit\")" },
        Spec { name: "record", shape: Shape::List, example: "record(operation, operation = \"get\")" },
    ],
    aliases: &[
        ("on_tier", ON_TYPE),
        ("on_operation", ON_TYPE),
        ("crate", ON_TYPE),
        ("skip", NO_SKIP),
        ("ignore", NO_SKIP),
        ("counter", "events are counted with `count(…)`"),
        ("histogram", "durations are recorded with `record(…)`"),
        ("time", "durations are recorded with `record(…)`"),
        ("flatten", "events are handed on with `forward`"),
        ("delegate", "events are handed on with `forward`"),
        ("tier", IN_ROLE),
        ("operation", IN_ROLE),
        ("outcome", IN_ROLE),
        ("cache", IN_ROLE),
        ("fallback", IN_ROLE),
        ("coalesced", IN_ROLE),
    ],
    repeated: Some(TWO_ROLES),
};

pub(super) fn read(input: DeriveInput, diagnostics: &mut Diagnostics) -> Parsed {
    let mut lints = allowed(&input.attrs);
    let mut has_roles = false;
    let of_type = arguments(&input.attrs, &OF_TYPE, diagnostics);
    if let Some(args) = &of_type {
        has_roles |= ["on_tier", "on_operation"].iter().any(|name| args.attempted(name)) || args.given.is_empty();
    }
    for parameter in &input.generics.params {
        let attributes = match parameter {
            GenericParam::Lifetime(parameter) => &parameter.attrs,
            GenericParam::Type(parameter) => &parameter.attrs,
            GenericParam::Const(parameter) => &parameter.attrs,
        };
        has_roles |= refuse(attributes, "a generic parameter", diagnostics);
    }
    let mut misplaced = false;
    let mut read_fields = |fields: Fields, diagnostics: &mut Diagnostics| -> Vec<ParsedField> {
        let read = |(at, field): (usize, syn::Field)| {
            lints.extend(allowed(&field.attrs));
            let args = arguments(&field.attrs, &OF_FIELD, diagnostics);
            has_roles |= args.is_some();
            let member = field.ident.map_or_else(|| Member::Unnamed(Index::from(at)), Member::Named);
            ParsedField { member, ty: field.ty, role: args.and_then(|args| only_role(args, diagnostics)) }
        };
        fields.into_iter().enumerate().map(read).collect()
    };
    let shape = match input.data {
        Data::Struct(data) => ParsedShape::Struct(read_fields(data.fields, diagnostics)),
        Data::Enum(data) => {
            let read = |variant: syn::Variant| {
                misplaced |= refuse(&variant.attrs, "a variant", diagnostics);
                (variant.ident, read_fields(variant.fields, diagnostics))
            };
            ParsedShape::Enum(data.variants.into_iter().map(read).collect())
        }
        Data::Union(data) => ParsedShape::Union(data.union_token.span),
    };
    Parsed {
        ident: input.ident,
        generics: input.generics,
        lints,
        arguments: of_type.map(|args| args.given).unwrap_or_default(),
        has_roles: has_roles || misplaced,
        shape,
    }
}

fn helpers(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cache_event"))
}

/// The arguments of all `#[cache_event(…)]` of one place, read as one list.
fn arguments(attributes: &[Attribute], table: &Table, diagnostics: &mut Diagnostics) -> Option<Args> {
    let mut tokens = TokenStream::new();
    let mut is_present = false;
    for attribute in helpers(attributes) {
        is_present = true;
        match &attribute.meta {
            Meta::List(list) if !list.tokens.is_empty() => {
                let ends_in_comma = matches!(list.tokens.clone().into_iter().last(),
                    Some(TokenTree::Punct(punct)) if punct.as_char() == ',');
                tokens.extend(list.tokens.clone());
                if !ends_in_comma {
                    tokens.extend(quote_spanned!(Span::mixed_site()=> ,));
                }
            }
            _ => {
                let examples: Vec<_> = table.specs.iter().map(|spec| spec.example).collect();
                let text = match &attribute.meta {
                    Meta::NameValue(_) => format!(
                        "`#[cache_event]` takes a list in parentheses, for example `#[cache_event({})]`",
                        examples.first().unwrap_or(&"…")
                    ),
                    _ => format!("`#[cache_event(…)]` is empty; it takes for example {}", alternatives(&examples, '`')),
                };
                diagnostics.report(attribute, text);
            }
        }
    }
    is_present.then(|| table.read(tokens, diagnostics))
}

fn only_role(args: Args, diagnostics: &mut Diagnostics) -> Option<Arg> {
    let mut roles = args.given.into_iter();
    let first = roles.next();
    for second in roles {
        diagnostics.report(&second.key, TWO_ROLES);
    }
    first
}

/// Reports the helpers in a place where none belongs; whether there was one.
fn refuse(attributes: &[Attribute], place: &str, diagnostics: &mut Diagnostics) -> bool {
    let mut found = false;
    for attribute in helpers(attributes) {
        found = true;
        diagnostics.report(attribute, format!("`#[cache_event]` goes on a field or on the type, not on {place}"));
    }
    found
}

/// The lint attributes under which the user has named the types that the impl names again.
fn allowed(attributes: &[Attribute]) -> TokenStream {
    let mut lints = TokenStream::new();
    for attribute in attributes {
        if let Meta::List(list) = &attribute.meta {
            let arguments = &list.tokens;
            if list.path.is_ident("allow") {
                attribute.to_tokens(&mut lints);
            } else if list.path.is_ident("expect") {
                lints.extend(quote_spanned!(Span::mixed_site()=> #[allow(#arguments)]));
            }
        }
    }
    lints
}
