//! Finds the functions among the tokens of an impl's body.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};

use super::{Kind, Method};
use crate::diag::Diagnostics;
use crate::tier::model::{Header, compact};
use crate::tokens::{Cursor, as_group, as_ident, flatten, is_ident, is_joint, is_punct, split_types};

/// The signature of a function, as far as it matters.
pub(super) struct Function {
    pub(super) name: Ident,
    pub(super) cfg: TokenStream,
    modifiers: Vec<Ident>,
    parameters: Group,
    output: TokenStream,
}

/// All functions, in order; whatever else there is, is passed over.
pub(super) fn functions(body: TokenStream) -> Vec<Function> {
    let mut cursor = Cursor::new(flatten(body).into_iter().collect());
    let mut functions = Vec::new();
    let mut cfg = TokenStream::new();
    let mut modifiers = Vec::new();
    while let Some(token) = cursor.bump() {
        match &token {
            TokenTree::Ident(keyword) if keyword == "fn" => {
                let (cfg, modifiers) = (std::mem::take(&mut cfg), std::mem::take(&mut modifiers));
                functions.extend(function(&mut cursor, cfg, modifiers));
            }
            TokenTree::Ident(modifier) => modifiers.push(modifier.clone()),
            TokenTree::Punct(hash) if hash.as_char() == '#' => {
                let attribute = cursor.take(|token| as_group(token, Delimiter::Bracket));
                if let Some(attribute) = attribute.filter(|attribute| is_cfg(attribute)) {
                    cfg.extend(quote!(#hash #attribute));
                }
            }
            // `pub(crate)`, `extern "C"`
            TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => {}
            TokenTree::Literal(_) => {}
            _ => {
                cfg = TokenStream::new();
                modifiers.clear();
            }
        }
    }
    functions
}

fn is_cfg(attribute: &Group) -> bool {
    is_ident(attribute.stream().into_iter().next().as_ref(), "cfg")
}

fn function(cursor: &mut Cursor, cfg: TokenStream, modifiers: Vec<Ident>) -> Option<Function> {
    let name = cursor.take(as_ident)?;
    cursor.take_generics();
    let parameters = cursor.take(|token| as_group(token, Delimiter::Parenthesis))?;
    let ends = |token: &TokenTree| {
        is_ident(Some(token), "where") || is_punct(Some(token), ';') || as_group(token, Delimiter::Brace).is_some()
    };
    let mut output = TokenStream::new();
    if is_joint(cursor.peek(), '-') && is_punct(cursor.nth(1), '>') {
        cursor.bump();
        cursor.bump();
        output = cursor.take_type_until(ends).into_iter().collect();
    }
    cursor.take_type_until(|token| as_group(token, Delimiter::Brace).is_some() || is_punct(Some(token), ';'));
    cursor.bump();
    Some(Function { name, cfg, modifiers, parameters, output })
}

impl Function {
    fn is(&self, modifier: &str) -> bool {
        self.modifiers.iter().any(|given| given == modifier)
    }

    /// The function as one of the tier's methods. What its types are is not judged here.
    pub(super) fn judge(&self, kind: Kind, header: &Header, diagnostics: &mut Diagnostics) -> Method {
        let returns_future = is_ident(self.output.clone().into_iter().next().as_ref(), "impl");
        Method {
            kind,
            name: self.name.clone(),
            cfg: self.cfg.clone(),
            is_awaited: self.is("async") || returns_future,
            parameters: self.judge_parameters(kind, header, diagnostics),
            output: if self.output.is_empty() { self.name.to_token_stream() } else { self.output.clone() },
        }
    }

    fn judge_parameters(&self, kind: Kind, header: &Header, diagnostics: &mut Diagnostics) -> Option<Vec<TokenStream>> {
        let name = kind.name();
        let write = || format!("write `{}`", kind.signature(header));
        if let Some(modifier) = self.modifiers.iter().find(|modifier| *modifier == "unsafe") {
            diagnostics.report(modifier, format!("`{name}` cannot be `unsafe`: the cache calls it; {}", write()));
            return None;
        }
        let mut parameters = split_types(self.parameters.stream().into_iter().collect()).into_iter();
        match parameters.next() {
            Some(receiver) if is_shared_receiver(&receiver) => {}
            Some(receiver) if mentions_self(&receiver) => {
                let shown: TokenStream = receiver.into_iter().collect();
                let advice = "the cache calls it from many tasks at once; write `&self`";
                diagnostics.report(&shown, format!("`{name}` cannot take `{}`: {advice}", compact(&shown)));
                return None;
            }
            _ => {
                diagnostics.report(&self.name, format!("`{name}` has no `&self`; {}", write()));
                return None;
            }
        }
        let types: Vec<_> = parameters.map(type_of).collect();
        if types.len() != kind.parameters().len() {
            let expected = expected(kind);
            let place = types.get(kind.parameters().len()).unwrap_or(&self.name.to_token_stream()).clone();
            diagnostics.report(place, format!("`{name}` takes {expected}; {}", write()));
            return None;
        }
        if matches!(kind, Kind::Get | Kind::Invalidate) && types.first().is_some_and(|key| !is_reference(key)) {
            diagnostics.report(types.first(), format!("`{name}` takes the key by reference: write `&{}`", compact(&header.key)));
            return None;
        }
        Some(types)
    }
}

/// `` `&self`, the key and the value ``.
fn expected(kind: Kind) -> String {
    match kind.parameters() {
        [] => "nothing but `&self`".to_owned(),
        [one] => format!("`&self` and {one}"),
        [first, second, ..] => format!("`&self`, {first} and {second}"),
    }
}

/// Whether a type is written as `&…`, and not as `&mut …`.
pub(super) fn is_reference(ty: &TokenStream) -> bool {
    let flat = flatten(ty.clone());
    is_punct(flat.first(), '&') && !flat.iter().take(4).any(|token| is_ident(Some(token), "mut"))
}

/// `&self`, `&'a self`, `self: &Self`.
fn is_shared_receiver(parameter: &[TokenTree]) -> bool {
    let tokens: TokenStream = parameter.iter().cloned().collect();
    mentions_self(parameter)
        && (is_reference(&tokens) || is_ident(parameter.first(), "self") && is_reference(&type_of(parameter.to_vec())))
}

/// Whether it is a receiver of any kind.
fn mentions_self(parameter: &[TokenTree]) -> bool {
    let before_type = parameter.iter().take_while(|token| !is_punct(Some(token), ':'));
    before_type.into_iter().any(|token| is_ident(Some(token), "self"))
}

/// What stands behind the first single colon.
fn type_of(parameter: Vec<TokenTree>) -> TokenStream {
    let colon = (0..parameter.len()).find(|at| {
        let is_colon = |at: usize| is_punct(parameter.get(at), ':');
        is_colon(*at) && !is_colon(*at + 1) && !at.checked_sub(1).is_some_and(is_colon)
    });
    parameter.into_iter().skip(colon.map_or(0, |colon| colon + 1)).collect()
}
