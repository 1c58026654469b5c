//! Where an expression of the user ends, and whether it can be one. Without syn's `full` nobody else tells us.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};

use crate::syntax::args::abbreviate;
use crate::syntax::diag::Diagnostics;
use crate::syntax::tokens::{Cursor, is_joint, is_punct};

/// The keywords that operands may follow.
const BEFORE_OPERAND: [&str; 17] = [
    "return", "break", "in", "match", "if", "while", "else", "move", "async", "static", "as", "mut", "const", "unsafe",
    "let", "dyn", "loop",
];

impl Cursor {
    /// Takes an expression: everything up to the comma that does not belong to it.
    ///
    /// Commas belong to an expression inside groups, in the generic arguments of a path, and between the parameters
    /// of a closure.
    pub(crate) fn take_expression(&mut self) -> TokenStream {
        let mut taken: Vec<TokenTree> = Vec::new();
        let mut in_cast = false;
        while let Some(token) = self.peek() {
            let operand_expected = expects_operand(taken.last());
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ',' => break,
                TokenTree::Punct(punct) if punct.as_char() == '<' => {
                    let after_path =
                        taken.len() > 1 && is_punct(taken.last(), ':') && is_joint(taken.get(taken.len() - 2), ':');
                    if after_path || in_cast || operand_expected {
                        taken.extend(self.take_generics());
                        continue;
                    }
                }
                TokenTree::Punct(punct) if punct.as_char() == '|' && operand_expected => {
                    taken.extend(self.bump());
                    while self.peek().is_some() && !self.at_punct('|') {
                        taken.extend(self.bump());
                    }
                }
                TokenTree::Ident(ident) if ident == "as" => in_cast = true,
                TokenTree::Punct(punct) if punct.as_char() != ':' => in_cast = false,
                _ => {}
            }
            taken.extend(self.bump());
        }
        taken.into_iter().collect()
    }
}

/// Whether an operand comes next, rather than an operator.
fn expects_operand(previous: Option<&TokenTree>) -> bool {
    match previous {
        None => true,
        Some(TokenTree::Punct(punct)) => !matches!(punct.as_char(), '?' | '>' | ':'),
        Some(TokenTree::Ident(ident)) => ident != "as" && is_keyword(ident),
        Some(TokenTree::Group(_) | TokenTree::Literal(_)) => false,
    }
}

fn is_keyword(ident: &Ident) -> bool {
    BEFORE_OPERAND.iter().any(|keyword| ident == keyword)
}

/// Reports an expression that is visibly none, since it would take the user's impl down with it.
pub(crate) fn is_plausible(expression: &TokenStream, diagnostics: &mut Diagnostics) -> bool {
    let tokens: Vec<TokenTree> = expression.clone().into_iter().collect();
    if let Some(first @ TokenTree::Punct(punct)) = tokens.first()
        && !matches!(punct.as_char(), '&' | '*' | '-' | '!' | '|' | '<' | ':' | '.' | '\'' | '#' | '$')
    {
        diagnostics.report(first, format!("an expression cannot begin with `{punct}`"));
        return false;
    }
    if let [before @ .., last @ TokenTree::Punct(punct)] = tokens.as_slice() {
        let is_range = punct.as_char() == '.' && is_joint(before.last(), '.');
        if !is_range && !matches!(punct.as_char(), '?' | '>') {
            diagnostics.report(last, format!("an expression cannot end with `{punct}`"));
            return false;
        }
    }
    for pair in tokens.windows(2) {
        if let [before, next] = pair
            && ends_operand(before)
            && starts_operand(next)
        {
            diagnostics.report(next, format!("expected `,` or an operator in front of `{}`", abbreviate(next)));
            return false;
        }
    }
    true
}

fn ends_operand(token: &TokenTree) -> bool {
    match token {
        TokenTree::Ident(ident) => !is_keyword(ident),
        TokenTree::Literal(_) => true,
        TokenTree::Group(group) => matches!(group.delimiter(), Delimiter::Parenthesis | Delimiter::Bracket),
        TokenTree::Punct(_) => false,
    }
}

fn starts_operand(token: &TokenTree) -> bool {
    match token {
        TokenTree::Ident(ident) => ident != "in" && ident != "as" && ident != "else",
        TokenTree::Literal(_) => true,
        TokenTree::Group(_) | TokenTree::Punct(_) => false,
    }
}
