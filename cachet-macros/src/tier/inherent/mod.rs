//! The methods of an inherent impl, `impl Disk { async fn get(…) … }`, and the `impl CacheTier` that calls them.
//!
//! Only signatures are read, and of them only what decides how a method is called. Whether its types fit is left to
//! rustc, which knows: the calls are made such that it says so at the types.

mod expand;
mod parse;

use proc_macro2::{Ident, TokenStream};

use super::model::Arguments;
use super::model::{Header, TierImpl, compact};
use crate::syntax::diag::{Diagnostics, did_you_mean, list};

pub(super) use self::expand::tier;

/// A method that the tier is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Get,
    Insert,
    Invalidate,
    Clear,
    Len,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Get, Self::Insert, Self::Invalidate, Self::Clear, Self::Len];

    const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Insert => "insert",
            Self::Invalidate => "invalidate",
            Self::Clear => "clear",
            Self::Len => "len",
        }
    }

    const fn is_required(self) -> bool {
        matches!(self, Self::Get | Self::Insert | Self::Invalidate)
    }

    /// What it takes beside `&self`.
    const fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Get | Self::Invalidate => &["the key"],
            Self::Insert => &["the key", "the value"],
            Self::Clear | Self::Len => &[],
        }
    }

    /// What the method is called elsewhere.
    const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Get => &["fetch", "find", "load", "lookup", "read", "retrieve"],
            Self::Insert => &["add", "put", "save", "set", "store", "write"],
            Self::Invalidate => &["del", "delete", "erase", "evict", "remove"],
            Self::Clear | Self::Len => &[],
        }
    }

    /// The signature to write.
    fn signature(self, header: &Header) -> String {
        let (key, value) = (compact(&header.key), compact(&header.value));
        match self {
            Self::Get => format!("async fn get(&self, key: &{key}) -> Result<Option<{value}>, E>"),
            Self::Insert => format!("async fn insert(&self, key: &{key}, value: {value}) -> Result<(), E>"),
            Self::Invalidate => format!("async fn invalidate(&self, key: &{key}) -> Result<(), E>"),
            Self::Clear => "async fn clear(&self) -> Result<(), E>".to_owned(),
            Self::Len => "async fn len(&self) -> Result<u64, E>".to_owned(),
        }
    }
}

/// A method as it was found.
pub(super) struct Method {
    kind: Kind,
    name: Ident,
    /// The attributes that the method that calls it shares: conditions, and lints that are off.
    attributes: TokenStream,
    /// It is an `async fn`, or returns `impl Future`.
    is_awaited: bool,
    /// `&self`, as it was written.
    receiver: TokenStream,
    /// The types of what it takes beside `&self`; `None` if it cannot be called.
    parameters: Option<Vec<TokenStream>>,
    /// The type it returns, or its name if it returns nothing.
    output: TokenStream,
}

impl Method {
    /// Stands for one that is missing, so that no other error follows.
    fn absent(kind: Kind) -> Self {
        let name = Ident::new(kind.name(), proc_macro2::Span::mixed_site());
        Self {
            kind,
            name,
            attributes: TokenStream::new(),
            is_awaited: false,
            receiver: TokenStream::new(),
            parameters: None,
            output: TokenStream::new(),
        }
    }
}

/// Stands for a trait impl that cannot be kept, so that no other error follows.
pub(super) fn stub_impl(model: &TierImpl) -> TokenStream {
    tier(&Kind::ALL.map(Method::absent), model)
}

/// Gives the header the types that a trait impl would have in its trait; false if they are not known.
pub(super) fn complete(header: &mut Header, arguments: &Arguments, diagnostics: &mut Diagnostics) -> bool {
    let shown = compact(&header.self_type);
    let instead = format!("or write `impl CacheTier<K, V> for {shown}`");
    let message = match arguments.types_attempted {
        [false, false] => format!(
            "`#[cache_tier]` on an inherent impl needs `key = …` and `value = …`, for example \
             `#[cache_tier(key = str, value = String)]`; {instead}"
        ),
        [true, false] => format!("`#[cache_tier]` on an inherent impl needs `value = …` too; {instead}"),
        [false, true] => format!("`#[cache_tier]` on an inherent impl needs `key = …` too; {instead}"),
        [true, true] => String::new(),
    };
    if !message.is_empty() && !arguments.has_nameless {
        diagnostics.report(&header.self_type, message);
    }
    let (Some(key), Some(value)) = (&arguments.key, &arguments.value) else { return false };
    (header.key, header.value) = (key.clone(), value.clone());
    true
}

/// Finds the methods in the body of the impl, and validates whether they can be called.
pub(super) fn methods(body: TokenStream, header: &Header, diagnostics: &mut Diagnostics) -> Vec<Method> {
    let functions = parse::functions(body.clone());
    let is_missing = |kind: &Kind| kind.is_required() && functions.iter().all(|function| function.name != kind.name());
    let macro_call = parse::macro_call(body).filter(|_| Kind::ALL.iter().any(is_missing));
    if let Some(call) = &macro_call {
        let names: Vec<_> = Kind::ALL.iter().filter(|kind| is_missing(kind)).map(|kind| kind.name()).collect();
        let (names, shown) = (list(&names), compact(&header.self_type));
        diagnostics.report(
            call,
            format!(
                "`#[cache_tier]` does not see methods that a macro makes; write {names} without one, or write \
                 `impl CacheTier<K, V> for {shown}`"
            ),
        );
    }
    let mut methods: Vec<Method> = Vec::new();
    for kind in Kind::ALL {
        let given: Vec<_> = functions.iter().filter(|function| function.name == kind.name()).collect();
        if given.is_empty() && kind.is_required() {
            if macro_call.is_none() {
                report_missing(kind, &functions, header, diagnostics);
            }
            methods.push(Method::absent(kind));
        }
        // More than one is rustc's to refuse, unless `cfg` decides between them.
        let is_conditional = given.iter().all(|function| function.is_conditional());
        let count = if is_conditional { given.len() } else { 1 };
        methods.extend(given.into_iter().take(count).map(|function| function.validate(kind, header, diagnostics)));
    }
    methods
}

fn report_missing(kind: Kind, functions: &[parse::Function], header: &Header, diagnostics: &mut Diagnostics) {
    let name = kind.name();
    let self_type = compact(&header.self_type);
    let is_other = |function: &&parse::Function| Kind::ALL.iter().all(|kind| function.name != kind.name());
    let meant = functions.iter().filter(is_other).find(|function| {
        let given = function.name.to_string();
        match Kind::ALL.iter().find(|kind| kind.aliases().contains(&given.as_str())) {
            Some(alias) => *alias == kind,
            None => did_you_mean(&given, &[name]).is_some(),
        }
    });
    if let Some(meant) = meant {
        let given = &meant.name;
        let message = format!("`impl {self_type}` has no `{name}`; did you mean `{name}` instead of `{given}`?");
        diagnostics.report(given, message);
    } else {
        let signature = kind.signature(header);
        diagnostics.report(&header.self_type, format!("`impl {self_type}` has no `{name}`; write `{signature}`"));
    }
}
