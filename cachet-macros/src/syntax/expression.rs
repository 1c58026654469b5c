//! Where an expression of the user ends.
//!
//! An expression is a sequence of operands and operators. Everything with commas or blocks in it is a group, which is one
//! token here, except for the parameters of closures, generic arguments and patterns.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

use super::args::abbreviate;
use super::diag::Diagnostics;
use super::tokens::{Cursor, as_group, is_ident, is_joint, is_punct};

/// Operators of more than one character, the longest first.
const OPERATORS: [&str; 23] = [
    "<<=", ">>=", "..=", "...", "&&", "||", "==", "!=", "<=", ">=", "<<", ">>", "+=", "-=", "*=", "/=", "%=", "^=",
    "&=", "|=", "..", "=>", "->",
];

/// An expression as far as it could be read.
pub(crate) struct Expression {
    pub(crate) tokens: TokenStream,
    fault: Option<Fault>,
}

/// Why the tokens cannot be one expression.
enum Fault {
    /// The first token.
    Begins(TokenTree),
    /// The last token.
    Ends(TokenTree),
    /// The token behind the expression, which is neither a comma nor an operator.
    GoesOn(TokenTree),
}

impl Expression {
    /// Reports tokens that are not an expression, since they would break the generated impl.
    pub(crate) fn is_complete(&self, diagnostics: &mut Diagnostics) -> bool {
        match &self.fault {
            None => return true,
            Some(Fault::Begins(token)) => {
                diagnostics.report(token, format!("an expression cannot begin with `{}`", abbreviate(token)));
            }
            Some(Fault::Ends(token)) => {
                diagnostics.report(token, format!("an expression cannot end with `{}`", abbreviate(token)));
            }
            Some(Fault::GoesOn(token)) => {
                diagnostics.report(token, format!("expected `,` or an operator in front of `{}`", abbreviate(token)));
            }
        }
        false
    }
}

impl Cursor {
    /// Takes an expression: everything up to the comma that does not belong to it. After a fault, takes everything up to
    /// the next comma.
    pub(crate) fn take_expression(&mut self) -> Expression {
        let mut fault = None;
        let taken = self.taken_by(|cursor| {
            fault = cursor.skip_expression();
            if fault.is_some() {
                cursor.skip_to_comma();
            }
        });
        Expression { tokens: taken.into_iter().collect(), fault }
    }

    /// Takes an expression up to a comma, or up to where an operator is missing.
    pub(crate) fn take_value(&mut self) -> TokenStream {
        self.taken_by(|cursor| match cursor.skip_expression() {
            None | Some(Fault::GoesOn(TokenTree::Ident(_))) => {}
            Some(_) => cursor.skip_to_comma(),
        })
        .into_iter()
        .collect()
    }

    /// Passes what stands behind the name of an argument.
    pub(crate) fn skip_value(&mut self) {
        if self.at_punct('=') {
            self.bump();
            self.take_value();
        } else {
            self.take(|token| matches!(token, TokenTree::Group(_)).then_some(()));
        }
    }

    pub(crate) fn skip_to_comma(&mut self) {
        while self.peek().is_some() && !self.at_punct(',') {
            self.bump();
        }
    }

    fn skip_expression(&mut self) -> Option<Fault> {
        let first = self.position();
        loop {
            if !self.skip_operand() {
                let before = if self.position() > first { self.previous().cloned() } else { None };
                return match (before, self.peek()) {
                    (None, None) => None,
                    (None, Some(next)) if is_punct(Some(next), ',') => None,
                    (None, Some(next)) => Some(Fault::Begins(next.clone())),
                    (Some(last), next) if next.is_none() || self.at_punct(',') => Some(Fault::Ends(last)),
                    (Some(_), next) => next.cloned().map(Fault::GoesOn),
                };
            }
            let operator = self.skip_operator();
            let is_at_end = self.peek().is_none() || self.at_punct(',');
            match operator {
                // `a..` is complete, and so is `a..b`.
                Operator::Range | Operator::None if is_at_end => return None,
                Operator::None => return self.peek().cloned().map(Fault::GoesOn),
                Operator::Binary | Operator::Range => {}
            }
        }
    }

    /// Passes prefix operators, an operand and what is behind it: calls, indices, fields, casts. Whether there was one.
    fn skip_operand(&mut self) -> bool {
        loop {
            let Some(next) = self.peek() else { return false };
            match next {
                TokenTree::Punct(punct) => match punct.as_char() {
                    '&' => {
                        self.bump();
                        let raw = self.at_ident("raw")
                            && (is_ident(self.nth(1), "const") || is_ident(self.nth(1), "mut"))
                            && !is_punct(self.nth(2), '.');
                        if raw {
                            self.bump();
                            self.bump();
                        }
                    }
                    '*' | '-' | '!' => {
                        self.bump();
                    }
                    '.' if is_joint(Some(next), '.') => {
                        self.skip_operator();
                        if self.peek().is_none() || self.at_punct(',') {
                            return true;
                        }
                    }
                    '|' => self.skip_closure_header(),
                    '#' => {
                        self.bump();
                        self.take(|token| as_group(token, Delimiter::Bracket));
                    }
                    '\'' if self.at_lifetime() && is_punct(self.nth(2), ':') => {
                        self.skip_lifetime();
                        self.bump();
                    }
                    '<' | '$' => return self.skip_path_operand(),
                    ':' if self.at_path_colons() => return self.skip_path_operand(),
                    _ => return false,
                },
                TokenTree::Ident(word) => match word.to_string().as_str() {
                    "for" if is_punct(self.nth(1), '<') => {
                        self.bump();
                        self.take_generics();
                    }
                    "for" => self.skip_until(|cursor| cursor.at_ident("in")),
                    "let" => self.skip_until(Self::at_assignment),
                    "return" | "break" | "yield" | "continue" => {
                        self.bump();
                        self.skip_lifetime();
                        if self.peek().is_none() || self.at_punct(',') || self.at_else() {
                            return true;
                        }
                        if self.peek().is_some_and(|token| as_group(token, Delimiter::Brace).is_some()) {
                            return self.skip_suffixes();
                        }
                    }
                    "if" | "while" | "match" | "loop" | "unsafe" | "async" | "const" | "try" | "move" | "static"
                    | "mut" => {
                        self.bump();
                    }
                    "as" | "else" | "in" | "where" => return false,
                    _ => return self.skip_path_operand(),
                },
                TokenTree::Literal(_) | TokenTree::Group(_) => {
                    self.bump();
                    return self.skip_suffixes();
                }
            }
        }
    }

    /// `|a: A, b| -> C` or `||`, up to the body.
    fn skip_closure_header(&mut self) {
        self.bump();
        let mut depth = 0_usize;
        while let Some(token) = self.bump() {
            if is_punct(Some(&token), '<') {
                depth += 1;
            } else if is_punct(Some(&token), '>') && !is_joint(self.before_previous(), '-') {
                depth = depth.saturating_sub(1);
            } else if depth == 0 && is_punct(Some(&token), '|') {
                break;
            }
        }
        if is_joint(self.peek(), '-') && is_punct(self.nth(1), '>') {
            self.bump();
            self.bump();
            self.take_type();
        }
    }

    fn skip_path_operand(&mut self) -> bool {
        if self.at_punct('<') {
            self.take_generics();
        } else if self.at_punct('$') {
            self.bump();
            self.bump();
        } else if !self.at_path_colons() {
            self.bump();
        }
        self.skip_suffixes()
    }

    /// What may follow an operand: `.field`, `.call()`, `?`, `::path::<A, B>`, `!(…)`, `(…)`, `[…]`, `{…}`, `as Type`, `else`.
    fn skip_suffixes(&mut self) -> bool {
        loop {
            let Some(next) = self.peek() else { return true };
            match next {
                TokenTree::Group(_) => {
                    self.bump();
                }
                TokenTree::Punct(punct) => match punct.as_char() {
                    '?' => {
                        self.bump();
                    }
                    '.' if !(is_joint(Some(next), '.') && is_punct(self.nth(1), '.')) => {
                        if !matches!(self.nth(1), Some(TokenTree::Ident(_) | TokenTree::Literal(_))) {
                            return true;
                        }
                        self.bump();
                        self.bump();
                    }
                    ':' if self.at_path_colons() => {
                        self.bump();
                        self.bump();
                        if self.at_punct('<') {
                            self.take_generics();
                        } else if self.take(|token| matches!(token, TokenTree::Ident(_)).then_some(())).is_none() {
                            return false;
                        }
                    }
                    '!' if matches!(self.nth(1), Some(TokenTree::Group(_))) => {
                        self.bump();
                        self.bump();
                    }
                    _ => return true,
                },
                TokenTree::Ident(word) if word == "as" => {
                    self.bump();
                    let before = self.position();
                    self.skip_cast_type();
                    if self.position() == before {
                        return false;
                    }
                }
                TokenTree::Ident(word) if word == "else" => {
                    self.bump();
                    return self.skip_operand();
                }
                _ => return true,
            }
        }
    }

    fn skip_operator(&mut self) -> Operator {
        let mut text = String::new();
        for ahead in 0..3 {
            let Some(TokenTree::Punct(punct)) = self.nth(ahead) else { break };
            text.push(punct.as_char());
            if punct.spacing() == Spacing::Alone {
                break;
            }
        }
        let Some(first) = text.chars().next() else { return Operator::None };
        let operator = OPERATORS.iter().find(|operator| text.starts_with(**operator));
        let length = match operator {
            Some(&("=>" | "->")) => return Operator::None,
            Some(operator) => operator.len(),
            None if "+-*/%^&|<>=.".contains(first) => 1,
            None => return Operator::None,
        };
        (0..length).for_each(|_| drop(self.bump()));
        if operator.is_some_and(|operator| operator.starts_with("..")) { Operator::Range } else { Operator::Binary }
    }

    /// Passes a keyword and the pattern behind it, up to the token that ends it, and that.
    fn skip_until(&mut self, ends: impl Fn(&Self) -> bool) {
        self.bump();
        let mut depth = 0_usize;
        while self.peek().is_some() {
            if depth == 0 && (ends(self) || self.at_punct(',')) {
                break;
            }
            if self.at_punct('<') {
                depth += 1;
            } else if self.at_punct('>') {
                depth = depth.saturating_sub(1);
            }
            self.bump();
        }
        if !self.at_punct(',') {
            self.bump();
        }
    }

    /// Whether the `=` of a `let` comes next, rather than that of a range.
    fn at_assignment(&self) -> bool {
        self.at_punct('=') && !is_joint(self.previous(), '.')
    }

    fn at_else(&self) -> bool {
        self.at_ident("else")
    }
}

enum Operator {
    Binary,
    Range,
    None,
}
