//! Where a type ends.

use proc_macro2::{Delimiter, TokenTree};

use super::tokens::{Cursor, as_group, is_ident, is_joint, is_punct};

/// Whether `+` may join bounds: it may not in a cast or behind `&`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Joins,
    Ends,
}

impl Cursor {
    /// Takes one type, up to the first token that cannot belong to it; nothing if there is none.
    pub(crate) fn take_type(&mut self) -> Vec<TokenTree> {
        self.taken_by(|cursor| cursor.skip_type(Plus::Joins))
    }

    /// Passes the type of a cast.
    pub(crate) fn skip_cast_type(&mut self) {
        self.skip_type(Plus::Ends);
    }

    /// Takes a path, also a qualified one as in `<Self as Log>::log`; nothing if there is none.
    pub(crate) fn take_path(&mut self) -> Vec<TokenTree> {
        self.taken_by(Self::skip_path)
    }

    fn skip_type(&mut self, plus: Plus) {
        let Some(next) = self.peek().cloned() else { return };
        match &next {
            TokenTree::Punct(punct) => match punct.as_char() {
                '&' => {
                    self.bump();
                    self.skip_lifetime();
                    self.skip_word("mut");
                    self.skip_type(Plus::Ends);
                }
                '*' => {
                    self.bump();
                    let _ = self.skip_word("const") || self.skip_word("mut");
                    self.skip_type(Plus::Ends);
                }
                '!' => {
                    self.bump();
                }
                '<' | ':' | '$' => self.skip_path_and_bounds(plus),
                _ => {}
            },
            TokenTree::Ident(word) => match word.to_string().as_str() {
                "for" => {
                    self.bump();
                    self.take_generics();
                    self.skip_type(plus);
                }
                "dyn" | "impl" if !is_punct(self.nth(1), ':') => {
                    self.bump();
                    self.skip_bounds(plus);
                }
                "fn" | "unsafe" | "extern" => self.skip_function(),
                _ => self.skip_path_and_bounds(plus),
            },
            TokenTree::Group(group) => match group.delimiter() {
                Delimiter::Brace => {}
                Delimiter::None => self.skip_path_and_bounds(plus),
                Delimiter::Parenthesis | Delimiter::Bracket => {
                    self.bump();
                    self.skip_more_bounds(plus);
                }
            },
            TokenTree::Literal(_) => {}
        }
    }

    /// `unsafe extern "C" fn(A) -> B`
    fn skip_function(&mut self) {
        self.skip_word("unsafe");
        if self.skip_word("extern") {
            self.take(|token| matches!(token, TokenTree::Literal(_)).then_some(()));
        }
        if self.skip_word("fn") {
            self.take(|token| as_group(token, Delimiter::Parenthesis));
            self.skip_output();
        }
    }

    fn skip_path_and_bounds(&mut self, plus: Plus) {
        self.skip_path();
        self.skip_more_bounds(plus);
    }

    fn skip_more_bounds(&mut self, plus: Plus) {
        if plus == Plus::Joins && self.at_punct('+') {
            self.bump();
            self.skip_bounds(plus);
        }
    }

    /// `?Sized + for<'a> Fn(&'a A) -> B + 'static`
    fn skip_bounds(&mut self, plus: Plus) {
        loop {
            while self.at_punct('?') || self.at_punct('~') || self.at_ident("const") || self.at_ident("async") {
                self.bump();
            }
            if self.skip_word("use") {
                self.take_generics();
            } else {
                if self.skip_word("for") {
                    self.take_generics();
                }
                if !self.skip_lifetime() && self.take(|token| as_group(token, Delimiter::Parenthesis)).is_none() {
                    self.skip_path();
                }
            }
            if plus == Plus::Ends || !self.at_punct('+') {
                return;
            }
            self.bump();
        }
    }

    pub(crate) fn skip_path(&mut self) {
        if self.at_punct('<') {
            self.take_generics();
        } else if self.at_punct('$') {
            self.bump();
            self.bump();
        } else if !self.at_path_colons() {
            let first = self.take(|token| match token {
                TokenTree::Ident(_) => Some(()),
                token => as_group(token, Delimiter::None).map(|_| ()),
            });
            if first.is_none() {
                return;
            }
        }
        self.skip_path_arguments();
        while self.at_path_colons() {
            self.bump();
            self.bump();
            if self.take(|token| matches!(token, TokenTree::Ident(_)).then_some(())).is_none() && !self.at_arguments() {
                return;
            }
            self.skip_path_arguments();
        }
        if self.at_punct('!') && matches!(self.nth(1), Some(TokenTree::Group(_))) {
            self.bump();
            self.bump();
        }
    }

    fn at_arguments(&self) -> bool {
        self.at_punct('<') && !is_joint_with(self, '<', '=')
            || self.peek().is_some_and(|token| as_group(token, Delimiter::Parenthesis).is_some())
    }

    /// `<A, B>`, or `(A) -> B` of the function traits.
    fn skip_path_arguments(&mut self) {
        if !self.at_arguments() {
            return;
        }
        if self.at_punct('<') {
            self.take_generics();
        } else {
            self.bump();
            self.skip_output();
        }
    }

    fn skip_output(&mut self) {
        if is_joint(self.peek(), '-') && is_punct(self.nth(1), '>') {
            self.bump();
            self.bump();
            self.skip_type(Plus::Ends);
        }
    }

    pub(crate) fn at_path_colons(&self) -> bool {
        is_joint(self.peek(), ':') && is_punct(self.nth(1), ':')
    }

    pub(crate) fn at_lifetime(&self) -> bool {
        self.at_punct('\'') && matches!(self.nth(1), Some(TokenTree::Ident(_)))
    }

    pub(crate) fn skip_lifetime(&mut self) -> bool {
        let found = self.at_lifetime();
        if found {
            self.bump();
            self.bump();
        }
        found
    }

    pub(crate) fn skip_word(&mut self, word: &str) -> bool {
        self.take(|token| is_ident(Some(token), word).then_some(())).is_some()
    }
}

fn is_joint_with(cursor: &Cursor, first: char, second: char) -> bool {
    is_joint(cursor.peek(), first) && is_punct(cursor.nth(1), second)
}
