//! The reader of `name = value, word, list(…)` arguments.
//!
//! It is driven by a [`Table`] and goes on at the next comma after a fault, so that one compile shows every fault.

use proc_macro2::{Delimiter, Ident, Literal, TokenStream, TokenTree};
use syn::LitStr;

use crate::syntax::diag::{Diagnostics, did_you_mean, list};
use crate::syntax::tokens::{Cursor, as_group, as_ident, as_literal, flatten, is_joint, is_punct, unraw};

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
            Self::Value => "a value",
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
            self.read_one(&mut cursor, &mut args, diagnostics);
            expect_comma(&mut cursor, diagnostics);
        }
        args
    }

    fn read_one(&self, cursor: &mut Cursor, args: &mut Args, diagnostics: &mut Diagnostics) {
        let Some(key) = cursor.take(as_ident) else {
            self.report_no_name(cursor, diagnostics);
            return;
        };
        let name = unraw(&key);
        let Some(spec) = self.specs.iter().find(|spec| spec.name == name) else {
            diagnostics.report(&key, self.unknown(&name));
            args.attempted.extend(did_you_mean(&name, &self.names()));
            cursor.take_expression();
            return;
        };
        let is_second = args.attempted(spec.name);
        args.attempted.push(spec.name);
        let value = read_value(spec, &key, cursor, diagnostics);
        if is_second {
            let general = || format!("`{name}` is given twice; keep one");
            diagnostics.report(&key, self.repeated.map_or_else(general, ToOwned::to_owned));
        } else if let Some(value) = value {
            args.given.push(Arg { name: spec.name, key, value });
        }
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

    fn report_no_name(&self, cursor: &mut Cursor, diagnostics: &mut Diagnostics) {
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
        cursor.take_expression();
    }
}

fn read_value(spec: &Spec, key: &Ident, cursor: &mut Cursor, diagnostics: &mut Diagnostics) -> Option<Value> {
    let wrong = |diagnostics: &mut Diagnostics, found: &dyn quote::ToTokens| {
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
    let tokens = match spec.shape {
        Shape::Type => cursor.take_type_until(|token| is_punct(Some(token), ',')).into_iter().collect(),
        _ => cursor.take_expression(),
    };
    if tokens.is_empty() {
        wrong(diagnostics, &equals);
        return None;
    }
    if spec.shape == Shape::Value || spec.shape == Shape::Type && !is_literal(&tokens) {
        return Some(Value::Tokens(tokens));
    }
    wrong(diagnostics, &tokens);
    None
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
    if as_ident(next).is_none() {
        cursor.take_expression();
        cursor.take(|token| matches!(token, TokenTree::Punct(_)).then_some(()));
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

fn is_literal(tokens: &TokenStream) -> bool {
    matches!(flatten(tokens.clone()).as_slice(), [TokenTree::Literal(_)])
}

fn text_of(literal: Literal) -> Option<LitStr> {
    syn::parse2(TokenTree::from(literal).into()).ok()
}
