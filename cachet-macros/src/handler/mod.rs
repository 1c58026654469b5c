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

use crate::syntax::derive_input::DeriveInput;
use crate::syntax::diag::Diagnostics;

/// Expands the derive; faults become errors beside an impl that ignores all events.
pub(crate) fn expand(item: TokenStream) -> TokenStream {
    let Some(input) = DeriveInput::read(item) else { return TokenStream::new() };
    let mut diagnostics = Diagnostics::default();
    let is_whole = input.is_whole;
    let parsed = parse::read(input, &mut diagnostics);
    let mut handler = validate::validate(parsed, &mut diagnostics);
    if !is_whole || !diagnostics.is_empty() {
        handler = handler.stand_in();
    }
    let mut output = expand::handler(&handler);
    output.extend(diagnostics.into_tokens());
    output
}
