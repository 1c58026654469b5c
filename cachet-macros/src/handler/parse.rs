//! Reads the type and its `#[cache_event(…)]` attributes.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::quote_spanned;

use crate::syntax::args::{Arg, Args, Shape, Spec, Table};
use crate::syntax::attributes::Attribute;
use crate::syntax::derive_input::{Data, DeriveInput, Field, Generics, Variant};
use crate::syntax::diag::{Diagnostics, alternatives, did_you_mean};
use crate::syntax::tokens::is_punct;

/// The type as it was written.
pub(super) struct Parsed {
    pub(super) ident: Ident,
    pub(super) is_deprecated: bool,
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
    pub(super) member: TokenTree,
    pub(super) ty: TokenStream,
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
    let mut lints = allowed(&input.attributes);
    let of_type = arguments(&input.attributes, &OF_TYPE, diagnostics);
    let mut has_roles = !input.is_whole || has_misspelt_helper(&input.attributes);
    if let Some(args) = &of_type {
        has_roles |= ["on_tier", "on_operation"].iter().any(|name| args.attempted(name)) || args.given.is_empty();
    }
    for parameter in &input.generics.parameters {
        has_roles |= refuse(&parameter.attributes, "a generic parameter", diagnostics);
    }
    let mut misplaced = false;
    let mut read_fields = |fields: Vec<Field>, diagnostics: &mut Diagnostics| -> Vec<ParsedField> {
        let read = |field: Field| {
            lints.extend(allowed(&field.attributes));
            let args = arguments(&field.attributes, &OF_FIELD, diagnostics);
            has_roles |= args.is_some() || has_misspelt_helper(&field.attributes);
            let role = args.and_then(|args| only_role(args, diagnostics));
            ParsedField { member: field.member, ty: field.ty, role }
        };
        fields.into_iter().map(read).collect()
    };
    let shape = match input.data {
        Data::Struct(fields) => ParsedShape::Struct(read_fields(fields, diagnostics)),
        Data::Enum(variants) => {
            let read = |variant: Variant| {
                misplaced |= refuse(&variant.attributes, "a variant", diagnostics);
                (variant.ident, read_fields(variant.fields, diagnostics))
            };
            ParsedShape::Enum(variants.into_iter().map(read).collect())
        }
        Data::Union(keyword) => ParsedShape::Union(keyword.span()),
    };
    Parsed {
        ident: input.ident,
        is_deprecated: input.attributes.iter().any(|attribute| attribute.is("deprecated")),
        generics: input.generics,
        lints,
        arguments: of_type.map(|args| args.given).unwrap_or_default(),
        has_roles: has_roles || misplaced,
        shape,
    }
}

fn helpers(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|attribute| attribute.is_plain && attribute.is("cache_event"))
}

/// Whether a helper is misspelt, or has a path in front of it: rustc reports that it does not exist.
fn has_misspelt_helper(attributes: &[Attribute]) -> bool {
    attributes.iter().filter_map(|attribute| Some((attribute.is_plain, attribute.name.as_ref()?.to_string()))).any(
        |(is_plain, name)| {
            if name == "cache_event" { !is_plain } else { did_you_mean(&name, &["cache_event"]).is_some() }
        },
    )
}

/// The arguments of all `#[cache_event(…)]` of one place, read as one list.
fn arguments(attributes: &[Attribute], table: &Table, diagnostics: &mut Diagnostics) -> Option<Args> {
    let mut tokens = TokenStream::new();
    let mut is_present = false;
    for attribute in helpers(attributes) {
        is_present = true;
        match attribute.list() {
            Some(list) if !list.is_empty() => {
                let last = list.clone().into_iter().last();
                tokens.extend(list);
                if let Some(last) = last.filter(|last| !is_punct(Some(last), ',')) {
                    tokens.extend(quote_spanned!(last.span()=> ,));
                }
            }
            list => {
                let examples: Vec<_> = table.specs.iter().map(|spec| spec.example).collect();
                let text = if list.is_some() || attribute.rest.is_empty() {
                    format!("`#[cache_event(…)]` is empty; it takes for example {}", alternatives(&examples, '`'))
                } else {
                    format!(
                        "`#[cache_event]` takes a list in parentheses, for example `#[cache_event({})]`",
                        examples.first().unwrap_or(&"…")
                    )
                };
                diagnostics.report(&attribute.tokens, text);
            }
        }
    }
    is_present.then(|| table.read(tokens, diagnostics))
}

/// The one role; with two of them it is not known which one the field is for.
fn only_role(args: Args, diagnostics: &mut Diagnostics) -> Option<Arg> {
    let mut roles = args.given.into_iter();
    let first = roles.next().filter(|_| !args.has_second);
    if let Some(second) = roles.next() {
        diagnostics.report(&second.key, TWO_ROLES);
        return None;
    }
    first
}

/// Reports the helpers in a place where none belongs; whether there was one.
fn refuse(attributes: &[Attribute], place: &str, diagnostics: &mut Diagnostics) -> bool {
    let mut found = false;
    for attribute in helpers(attributes) {
        found = true;
        diagnostics
            .report(&attribute.tokens, format!("`#[cache_event]` goes on a field or on the type, not on {place}"));
    }
    found
}

/// The lint attributes under which the user has named the types that the impl names again.
fn allowed(attributes: &[Attribute]) -> TokenStream {
    let mut lints = TokenStream::new();
    for attribute in attributes.iter().filter(|attribute| attribute.is_plain) {
        if attribute.is("allow") {
            lints.extend(attribute.tokens.clone());
        } else if attribute.is("expect")
            && let Some(arguments) = attribute.list()
        {
            lints.extend(quote_spanned!(Span::mixed_site()=> #[allow(#arguments)]));
        }
    }
    lints
}
