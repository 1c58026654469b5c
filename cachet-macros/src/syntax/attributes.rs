//! Attributes, outer ones, as tokens.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};

use super::tokens::{Cursor, as_group, as_ident, flatten};

/// `#[path …]`
pub(crate) struct Attribute {
    /// All of it, from the `#` to the closing bracket.
    pub(crate) tokens: TokenStream,
    /// The last segment of its path; `None` for what cannot be an attribute.
    pub(crate) name: Option<Ident>,
    /// Whether the path is that name alone.
    pub(crate) is_plain: bool,
    /// What follows the path.
    pub(crate) rest: Vec<TokenTree>,
}

impl Attribute {
    /// Whether it has this name, with or without a path in front of it.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.as_ref().is_some_and(|own| own == name)
    }

    /// The tokens in the parentheses that follow the path, if nothing else does.
    pub(crate) fn list(&self) -> Option<TokenStream> {
        match self.rest.as_slice() {
            [TokenTree::Group(group)] => Some(group.stream()),
            _ => None,
        }
    }
}

impl Cursor {
    /// Takes all attributes that come next.
    pub(crate) fn take_attributes(&mut self) -> Vec<Attribute> {
        let mut attributes = Vec::new();
        while self.at_punct('#')
            && let Some(group) = self.nth(1).and_then(|token| as_group(token, Delimiter::Bracket))
        {
            let tokens = self.bump().into_iter().chain(self.bump()).collect();
            let mut inner = Self::new(flatten(group.stream()).into_iter().collect());
            let mut segments = Vec::new();
            while let Some(ident) = inner.take(as_ident) {
                segments.push(ident);
                while inner.at_punct(':') {
                    inner.bump();
                }
            }
            let name = segments.pop();
            let rest = std::iter::from_fn(|| inner.bump()).collect();
            attributes.push(Attribute { tokens, name, is_plain: segments.is_empty(), rest });
        }
        attributes
    }
}
