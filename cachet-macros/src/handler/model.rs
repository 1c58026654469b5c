//! What the expansion of one derive is made from.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::LitStr;

use crate::syntax::derive_input::Generics;

/// A handler that is ready to be expanded.
pub(super) struct Handler {
    pub(super) krate: TokenStream,
    pub(super) ident: Ident,
    pub(super) is_deprecated: bool,
    pub(super) generics: Generics,
    /// `allow` attributes of the type and its fields, whose types are named again.
    pub(super) lints: TokenStream,
    /// Functions of the user that are called with each event.
    pub(super) on_tier: Option<TokenStream>,
    pub(super) on_operation: Option<TokenStream>,
    pub(super) body: Body,
}

impl Handler {
    /// A handler that needs nothing of its fields, so that no other error follows a fault.
    pub(super) fn stand_in(self) -> Self {
        Self { on_tier: None, on_operation: None, body: Body::None, ..self }
    }
}

pub(super) enum Body {
    Struct(Vec<Part>),
    Enum(Vec<Variant>),
    /// Stands in for one with faults, so that no other error follows.
    None,
}

pub(super) struct Variant {
    pub(super) ident: Ident,
    pub(super) parts: Vec<Part>,
}

/// A field with a role.
pub(super) struct Part {
    pub(super) member: TokenTree,
    pub(super) ty: TokenStream,
    pub(super) role: Role,
}

pub(super) enum Role {
    Forward,
    Count(Scope, Vec<Filter>),
    Record(Scope, Vec<Filter>),
}

/// Which of the two kinds of events.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Tier,
    Operation,
}

impl Scope {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tier => "tier",
            Self::Operation => "operation",
        }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Tier => Self::Operation,
            Self::Operation => Self::Tier,
        }
    }
}

/// One condition on an event; lists mean "any of these".
pub(super) enum Filter {
    Operation(Vec<&'static str>),
    Outcome(Vec<&'static str>),
    Tier(Vec<LitStr>),
    Cache(Vec<LitStr>),
    Fallback(bool),
    Coalesced(bool),
}

impl Role {
    /// Whether events of this kind matter to the field.
    pub(super) fn sees(&self, scope: Scope) -> bool {
        match self {
            Self::Forward => true,
            Self::Count(own, _) | Self::Record(own, _) => *own == scope,
        }
    }

    /// The trait that the field's type has to implement.
    pub(super) const fn bound(&self) -> &'static str {
        match self {
            Self::Forward => "CacheEventHandler",
            Self::Count(..) => "EventCounter",
            Self::Record(..) => "EventHistogram",
        }
    }
}

impl Body {
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        let (parts, variants): (&[Part], &[Variant]) = match self {
            Self::Struct(parts) => (parts, &[]),
            Self::Enum(variants) => (&[], variants),
            Self::None => (&[], &[]),
        };
        parts.iter().chain(variants.iter().flat_map(|variant| &variant.parts))
    }
}
