//! `#[derive(CacheEventHandler)]`: an impl that counts, times and forwards with the fields of a type.

mod expand;
mod filter;
mod model;
mod parse;
#[cfg(test)]
mod tests;
mod validate;
mod vocabulary;

use proc_macro2::TokenStream;
use syn::DeriveInput;

use crate::syntax::diag::Diagnostics;

/// Expands the derive; faults become errors beside an impl that does what could be understood.
pub(crate) fn expand(item: TokenStream) -> TokenStream {
    let input = match syn::parse2::<DeriveInput>(item) {
        Ok(input) => input,
        Err(error) => return error.to_compile_error(),
    };
    let mut diagnostics = Diagnostics::default();
    let parsed = parse::read(input, &mut diagnostics);
    let handler = validate::validate(parsed, &mut diagnostics);
    let mut output = expand::handler(&handler);
    output.extend(diagnostics.into_tokens());
    output
}
