//! A cursor over tokens, and where types and generics end.

use proc_macro2::{Delimiter, Group, Ident, Literal, Spacing, TokenStream, TokenTree};

/// A position in a sequence of token trees.
pub(crate) struct Cursor {
    tokens: Vec<TokenTree>,
    at: usize,
}

impl Cursor {
    pub(crate) fn new(tokens: TokenStream) -> Self {
        Self { tokens: tokens.into_iter().collect(), at: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(crate) fn peek(&self) -> Option<&TokenTree> {
        self.nth(0)
    }

    pub(crate) fn nth(&self, ahead: usize) -> Option<&TokenTree> {
        self.tokens.get(self.at + ahead)
    }

    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// Reads what follows `position` again.
    pub(crate) const fn go_back_to(&mut self, position: usize) {
        self.at = position;
    }

    pub(crate) fn previous(&self) -> Option<&TokenTree> {
        self.tokens.get(self.at.checked_sub(1)?)
    }

    pub(crate) fn before_previous(&self) -> Option<&TokenTree> {
        self.tokens.get(self.at.checked_sub(2)?)
    }

    /// The tokens that `pass` passes.
    pub(crate) fn taken_by(&mut self, pass: impl FnOnce(&mut Self)) -> Vec<TokenTree> {
        let from = self.at;
        pass(self);
        self.tokens[from..self.at].to_vec()
    }

    pub(crate) fn bump(&mut self) -> Option<TokenTree> {
        let token = self.tokens.get(self.at).cloned();
        self.at += usize::from(token.is_some());
        token
    }

    /// Takes the next token if `read` recognises it.
    pub(crate) fn take<T>(&mut self, read: impl FnOnce(&TokenTree) -> Option<T>) -> Option<T> {
        let taken = self.peek().and_then(read);
        self.at += usize::from(taken.is_some());
        taken
    }

    pub(crate) fn at_ident(&self, name: &str) -> bool {
        is_ident(self.peek(), name)
    }

    pub(crate) fn at_punct(&self, char: char) -> bool {
        is_punct(self.peek(), char)
    }

    /// Takes tokens up to the first one outside angle brackets that `ends` accepts, or up to the end.
    pub(crate) fn take_type_until(&mut self, ends: impl Fn(&TokenTree) -> bool) -> Vec<TokenTree> {
        let mut taken = Vec::new();
        let mut depth = 0_usize;
        while let Some(token) = self.peek() {
            if depth == 0 && ends(token) {
                break;
            }
            if is_punct(Some(token), '<') {
                depth += 1;
            } else if is_punct(Some(token), '>') && !is_joint(taken.last(), '-') {
                depth = depth.saturating_sub(1);
            }
            taken.extend(self.bump());
        }
        taken
    }

    /// Takes `<…>`, the brackets included, if the next token opens it.
    pub(crate) fn take_generics(&mut self) -> Vec<TokenTree> {
        let mut taken = Vec::new();
        let mut depth = 0_usize;
        while let Some(token) = self.peek() {
            if is_punct(Some(token), '<') {
                depth += 1;
            } else if is_punct(Some(token), '>') && !is_joint(taken.last(), '-') {
                depth = depth.saturating_sub(1);
            }
            if depth == 0 && taken.is_empty() {
                break;
            }
            taken.extend(self.bump());
            if depth == 0 {
                break;
            }
        }
        taken
    }
}

pub(crate) fn is_punct(token: Option<&TokenTree>, char: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == char)
}

pub(crate) fn is_joint(token: Option<&TokenTree>, char: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == char && punct.spacing() == Spacing::Joint)
}

pub(crate) fn is_ident(token: Option<&TokenTree>, name: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == name)
}

pub(crate) fn as_ident(token: &TokenTree) -> Option<Ident> {
    match token {
        TokenTree::Ident(ident) => Some(ident.clone()),
        _ => None,
    }
}

pub(crate) fn as_literal(token: &TokenTree) -> Option<Literal> {
    match token {
        TokenTree::Literal(literal) => Some(literal.clone()),
        _ => None,
    }
}

pub(crate) fn as_group(token: &TokenTree, delimiter: Delimiter) -> Option<Group> {
    match token {
        TokenTree::Group(group) if group.delimiter() == delimiter => Some(group.clone()),
        _ => None,
    }
}

/// Removes the invisible groups that `macro_rules!` puts around what it substitutes.
pub(crate) fn flatten(tokens: impl IntoIterator<Item = TokenTree>) -> Vec<TokenTree> {
    let mut flat = Vec::new();
    let mut pending: Vec<_> = vec![tokens.into_iter().collect::<Vec<_>>().into_iter()];
    while let Some(level) = pending.last_mut() {
        match level.next() {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::None => {
                pending.push(group.stream().into_iter().collect::<Vec<_>>().into_iter());
            }
            Some(token) => flat.push(token),
            None => {
                pending.pop();
            }
        }
    }
    flat
}

/// Splits at the commas outside angle brackets; a trailing comma adds no part.
pub(crate) fn split_types(tokens: Vec<TokenTree>) -> Vec<Vec<TokenTree>> {
    let mut cursor = Cursor { tokens, at: 0 };
    let mut parts = Vec::new();
    while !cursor.is_empty() {
        parts.push(cursor.take_type_until(|token| is_punct(Some(token), ',')));
        cursor.bump();
    }
    parts
}

/// Whether every `<` is closed.
pub(crate) fn are_brackets_balanced(tokens: &[TokenTree]) -> bool {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        if is_punct(Some(token), '<') {
            depth += 1;
        } else if is_punct(Some(token), '>') && !is_joint(at.checked_sub(1).and_then(|at| tokens.get(at)), '-') {
            let Some(outer) = depth.checked_sub(1) else { return false };
            depth = outer;
        }
    }
    depth == 0
}

/// The text of an identifier, without the `r#` of a raw one.
pub(crate) fn unraw(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map_or(text.clone(), ToOwned::to_owned)
}

/// An item that `macro_rules!` has substituted as a whole arrives in an invisible group.
pub(crate) fn unwrap_groups(mut item: TokenStream) -> TokenStream {
    loop {
        let mut tokens = item.clone().into_iter();
        match (tokens.next(), tokens.next()) {
            (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::None => item = group.stream(),
            _ => return item,
        }
    }
}
