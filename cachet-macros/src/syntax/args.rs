//! The reader of `name = value, word, list(…)` arguments.
//!
//! It is driven by a [`Table`] and goes on at the next comma after a fault, so that one compile shows every fault.

use proc_macro2::{Delimiter, Ident, Literal, TokenStream, TokenTree};
use quote::ToTokens;
use syn::LitStr;

use super::diag::{Diagnostics, did_you_mean, list};
use super::expression::Expression;
use super::tokens::{
    Cursor, are_brackets_balanced, as_group, as_ident, as_literal, flatten, is_joint, is_punct, unraw,
};

/// The arguments that are accepted in one place.
pub(crate) struct Table {
    pub(crate) specs: &'static [Spec],
    /// What the argument is called in other libraries, and the advice to give instead.
    pub(crate) aliases: &'static [(&'static str, &'static str)],
    /// What to say about a second argument of the same name, if more than that it is one too many.
    pub(crate) repeated: Option<&'static str>,
}

/// One accepted argument.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// A complete argument, to be shown in errors.
    pub(crate) example: &'static str,
}

/// What stands behind the name of an argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nothing.
    Word,
    /// `= "text"`.
    Text,
    /// `=` and anything up to the next comma.
    Value,
    /// `=` and an expression of the user.
    Expression,
    /// `=` and a type.
    Type,
    /// `(…)`.
    List,
}

impl Shape {
    const fn describe(self) -> &'static str {
        match self {
            Self::Word => "no value",
            Self::Text => "a string literal",
            Self::Value | Self::Expression => "a value",
            Self::Type => "a type",
            Self::List => "a list in parentheses",
        }
    }
}

/// The arguments that could be read.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) given: Vec<Arg>,
    attempted: Vec<&'static str>,
    /// An argument was given twice.
    pub(crate) has_second: bool,
    /// Something was given without a name, so that it is not known what it was meant for.
    pub(crate) has_nameless: bool,
}

impl Args {
    /// Whether the argument was given, or something was that is probably a faulty attempt at it.
    pub(crate) fn attempted(&self, name: &str) -> bool {
        self.attempted.contains(&name)
    }
}

/// An argument as it was given.
pub(crate) struct Arg {
    pub(crate) name: &'static str,
    pub(crate) key: Ident,
    pub(crate) value: Value,
}

/// The value of an argument; its kind is that of the argument's [`Shape`].
pub(crate) enum Value {
    Word,
    Text(LitStr),
    Tokens(TokenStream),
    Expression(Expression),
    List(TokenStream),
}

impl Table {
    fn names(&self) -> Vec<&'static str> {
        self.specs.iter().map(|spec| spec.name).collect()
    }

    /// Reads all arguments that can be read, and reports the rest.
    pub(crate) fn read(&self, tokens: TokenStream, diagnostics: &mut Diagnostics) -> Args {
        let mut cursor = Cursor::new(tokens);
        let mut args = Args::default();
        while !cursor.is_empty() {
            if self.read_one(&mut cursor, &mut args, diagnostics) {
                expect_comma(&mut cursor, diagnostics);
            } else {
                recover(&mut cursor);
            }
        }
        args
    }

    /// Reads one argument; false after a fault that leaves the cursor somewhere in it.
    fn read_one(&self, cursor: &mut Cursor, args: &mut Args, diagnostics: &mut Diagnostics) -> bool {
        let Some(key) = cursor.take(as_ident) else {
            args.has_nameless |= !cursor.at_punct(',');
            return self.report_no_name(cursor, diagnostics);
        };
        let name = unraw(&key);
        let Some(spec) = self.specs.iter().find(|spec| spec.name == name) else {
            diagnostics.report(&key, self.unknown(&name));
            args.attempted.extend(did_you_mean(&name, &self.names()));
            cursor.skip_value();
            return false;
        };
        let is_second = args.attempted(spec.name);
        args.attempted.push(spec.name);
        if is_second {
            args.has_second = true;
            let general = || format!("`{name}` is given twice; keep one");
            diagnostics.report(&key, self.repeated.map_or_else(general, ToOwned::to_owned));
            cursor.skip_value();
            return false;
        }
        let value = read_value(spec, &key, cursor, diagnostics);
        let is_read = value.is_some();
        args.given.extend(value.map(|value| Arg { name: spec.name, key, value }));
        is_read
    }

    fn unknown(&self, name: &str) -> String {
        if let Some((_, advice)) = self.aliases.iter().find(|(alias, _)| *alias == name) {
            return format!("unknown argument `{name}`: {advice}");
        }
        let names = self.names();
        let accepted = list(&names);
        match did_you_mean(name, &names) {
            Some(meant) => format!("unknown argument `{name}`; did you mean `{meant}`? (accepted: {accepted})"),
            None => format!("unknown argument `{name}` (accepted: {accepted})"),
        }
    }

    /// Whether the next comma is still to come.
    fn report_no_name(&self, cursor: &mut Cursor, diagnostics: &mut Diagnostics) -> bool {
        let example = self.specs.first().map_or("name = …", |spec| spec.example);
        match cursor.peek() {
            Some(comma) if cursor.at_punct(',') => {
                diagnostics.report(comma, "an argument is missing in front of this comma");
            }
            Some(token) => {
                let accepted = list(&self.names());
                diagnostics
                    .report(token, format!("expected an argument, for example `{example}` (accepted: {accepted})"));
            }
            None => {}
        }
        cursor.skip_to_comma();
        true
    }
}

fn read_value(spec: &Spec, key: &Ident, cursor: &mut Cursor, diagnostics: &mut Diagnostics) -> Option<Value> {
    let wrong = |diagnostics: &mut Diagnostics, found: &dyn ToTokens| {
        let (name, example) = (spec.name, spec.example);
        let text = match spec.shape {
            Shape::Word => format!("`{name}` stands alone; remove its value"),
            shape => format!("`{name}` takes {}, for example `{example}`", shape.describe()),
        };
        diagnostics.report(found, text);
    };
    if let Some(group) = cursor.take(|token| as_group(token, Delimiter::Parenthesis)) {
        if spec.shape == Shape::List {
            return Some(Value::List(group.stream()));
        }
        wrong(diagnostics, &group);
        return None;
    }
    let takes_equals = matches!(spec.shape, Shape::Text | Shape::Value | Shape::Type);
    if takes_equals && at_colon(cursor) {
        diagnostics.report(cursor.peek(), format!("write `=` instead of `:`, for example `{}`", spec.example));
    } else if !cursor.at_punct('=') || is_joint(cursor.peek(), '=') && is_comparison(cursor) {
        if spec.shape == Shape::Word {
            return Some(Value::Word);
        }
        wrong(diagnostics, key);
        return None;
    }
    let equals = cursor.bump();
    if spec.shape == Shape::Text
        && let Some(text) = cursor.take(as_text)
    {
        return Some(Value::Text(text));
    }
    if spec.shape == Shape::Expression {
        let expression = cursor.take_expression();
        if !expression.tokens.is_empty() {
            return Some(Value::Expression(expression));
        }
    }
    if spec.shape == Shape::Type {
        let found = match read_type(cursor) {
            Ok(ty) => return Some(Value::Tokens(ty)),
            Err(found) if found.is_empty() => equals.into_token_stream(),
            Err(found) => found,
        };
        wrong(diagnostics, &found);
        return None;
    }
    let tokens = cursor.take_value();
    if tokens.is_empty() {
        wrong(diagnostics, &equals);
        return None;
    }
    if spec.shape == Shape::Value {
        return Some(Value::Tokens(tokens));
    }
    wrong(diagnostics, &tokens);
    None
}

/// A type that may stand in the header of an impl, or what stands in its place.
fn read_type(cursor: &mut Cursor) -> Result<TokenStream, TokenStream> {
    let (from, ty) = (cursor.position(), cursor.take_type());
    if !ty.is_empty() && are_brackets_balanced(&ty) && !has_placeholder(&flatten(ty.clone())) {
        return Ok(ty.into_iter().collect());
    }
    cursor.go_back_to(from);
    Err(cursor.taken_by(Cursor::skip_to_comma).into_iter().collect())
}

/// `_` and `impl Trait` are types, but not of a header.
fn has_placeholder(ty: &[TokenTree]) -> bool {
    ty.iter().any(|token| match token {
        TokenTree::Ident(word) => word == "_" || word == "impl",
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => false,
        TokenTree::Group(group) => has_placeholder(&flatten(group.stream())),
        _ => false,
    })
}

fn is_comparison(cursor: &Cursor) -> bool {
    matches!(cursor.nth(1), Some(TokenTree::Punct(punct)) if matches!(punct.as_char(), '=' | '>'))
}

/// Whether a single colon comes next, as in the fields of a struct.
pub(crate) fn at_colon(cursor: &Cursor) -> bool {
    cursor.at_punct(':') && !is_joint(cursor.peek(), ':')
}

/// Takes the comma between two arguments; without one, goes on reading where it should have been.
pub(crate) fn expect_comma(cursor: &mut Cursor, diagnostics: &mut Diagnostics) {
    if cursor.at_punct(',') {
        cursor.bump();
        return;
    }
    let Some(next) = cursor.peek() else { return };
    diagnostics.report(next, format!("expected `,` in front of `{}`", abbreviate(next)));
    if as_ident(next).is_some() {
        return;
    }
    // Another mark in place of the comma.
    if matches!(next, TokenTree::Punct(_)) {
        cursor.bump();
    }
    recover(cursor);
}

/// Goes on at the next argument, after a fault that has been reported.
fn recover(cursor: &mut Cursor) {
    let at_argument = matches!(cursor.peek(), Some(TokenTree::Ident(_)))
        && (is_punct(cursor.nth(1), '=')
            || cursor.nth(1).is_some_and(|next| as_group(next, Delimiter::Parenthesis).is_some()));
    if !at_argument {
        cursor.skip_to_comma();
        cursor.bump();
    }
}

/// A token's text, short enough for a message.
pub(crate) fn abbreviate(token: &TokenTree) -> String {
    match token {
        TokenTree::Group(group) => match group.delimiter() {
            Delimiter::Parenthesis => "(…)".to_owned(),
            Delimiter::Brace => "{…}".to_owned(),
            Delimiter::Bracket => "[…]".to_owned(),
            Delimiter::None => "…".to_owned(),
        },
        token => token.to_string(),
    }
}

/// A string literal, also when `macro_rules!` has substituted it.
pub(crate) fn as_text(token: &TokenTree) -> Option<LitStr> {
    match flatten([token.clone()]).as_slice() {
        [single] => as_literal(single).and_then(text_of),
        _ => None,
    }
}

/// Without a suffix: `"disk"s` is one token, and not a string.
fn text_of(literal: Literal) -> Option<LitStr> {
    let text: LitStr = syn::parse2(TokenTree::from(literal).into()).ok()?;
    text.suffix().is_empty().then_some(text)
}
