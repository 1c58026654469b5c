//! Finds the functions among the tokens of an impl's body.

use proc_macro2::{Delimiter, Group, Ident, Punct, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};

use super::{Kind, Method};
use crate::syntax::diag::Diagnostics;
use crate::syntax::tokens::{Cursor, as_group, as_ident, flatten, is_ident, is_joint, is_punct, split_types};
use crate::tier::model::{Header, compact};

/// The signature of a function, as far as it matters.
pub(super) struct Function {
    pub(super) name: Ident,
    pub(super) attributes: TokenStream,
    modifiers: Vec<Ident>,
    generics: Vec<TokenTree>,
    parameters: Group,
    output: TokenStream,
}

/// All functions, in order; whatever else there is, is passed over.
pub(super) fn functions(body: TokenStream) -> Vec<Function> {
    let mut cursor = Cursor::new(flatten(body).into_iter().collect());
    let mut functions = Vec::new();
    let mut attributes = TokenStream::new();
    let mut modifiers = Vec::new();
    while let Some(token) = cursor.bump() {
        match &token {
            TokenTree::Ident(keyword) if keyword == "fn" => {
                let (attributes, modifiers) = (std::mem::take(&mut attributes), std::mem::take(&mut modifiers));
                functions.extend(function(&mut cursor, attributes, modifiers));
            }
            TokenTree::Ident(modifier) => modifiers.push(modifier.clone()),
            TokenTree::Punct(hash) if hash.as_char() == '#' => {
                let attribute = cursor.take(|token| as_group(token, Delimiter::Bracket));
                attributes.extend(attribute.and_then(|attribute| shared(hash, &attribute)));
            }
            // `pub(crate)`, `extern "C"`
            TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => {}
            TokenTree::Literal(_) => {}
            _ => {
                attributes = TokenStream::new();
                modifiers.clear();
            }
        }
    }
    functions
}

/// What a method that calls this one has to have too: its conditions, and the lints that are off in it.
fn shared(hash: &Punct, attribute: &Group) -> Option<TokenStream> {
    let mut tokens = attribute.stream().into_iter();
    let name = tokens.next().and_then(|token| as_ident(&token))?;
    match name.to_string().as_str() {
        "cfg" | "cfg_attr" | "allow" => Some(quote!(#hash #attribute)),
        "expect" => {
            let lints: TokenStream = tokens.collect();
            Some(quote_spanned!(Span::mixed_site()=> #[allow #lints]))
        }
        "deprecated" => Some(quote_spanned!(Span::mixed_site()=> #[allow(deprecated)])),
        _ => None,
    }
}

/// The first call of a macro that may make methods.
pub(super) fn macro_call(body: TokenStream) -> Option<TokenStream> {
    let tokens = flatten(body);
    let call = tokens
        .windows(3)
        .find(|call| matches!(call, [TokenTree::Ident(_), bang, TokenTree::Group(_)] if is_punct(Some(bang), '!')))?;
    Some(call.iter().take(2).cloned().collect())
}

fn function(cursor: &mut Cursor, attributes: TokenStream, modifiers: Vec<Ident>) -> Option<Function> {
    let name = cursor.take(as_ident)?;
    let generics = cursor.take_generics();
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
    Some(Function { name, attributes, modifiers, generics, parameters, output })
}

impl Function {
    /// Whether `cfg` decides whether it exists.
    pub(super) fn is_conditional(&self) -> bool {
        self.attributes.clone().into_iter().any(|token| {
            as_group(&token, Delimiter::Bracket).is_some_and(|group| {
                let name = group.stream().into_iter().next();
                is_ident(name.as_ref(), "cfg") || is_ident(name.as_ref(), "cfg_attr")
            })
        })
    }

    /// The function as one of the tier's methods. Whether its types fit is not checked here.
    pub(super) fn validate(&self, kind: Kind, header: &Header, diagnostics: &mut Diagnostics) -> Method {
        let returns_future = is_ident(self.output.clone().into_iter().next().as_ref(), "impl");
        let mut parameters = split_types(flatten(self.parameters.stream())).into_iter();
        let receiver = parameters.next().unwrap_or_default();
        let types: Vec<_> = parameters.map(type_of).collect();
        let fault = self.fault(kind, &receiver, &types, header);
        let is_sound = fault.is_none();
        if let Some((place, message)) = fault {
            diagnostics.report(place, message);
        }
        Method {
            kind,
            name: self.name.clone(),
            attributes: self.attributes.clone(),
            is_awaited: self.is("async") || returns_future,
            receiver: receiver.into_iter().collect(),
            parameters: is_sound.then_some(types),
            output: if self.output.is_empty() { self.name.to_token_stream() } else { self.output.clone() },
        }
    }

    fn is(&self, modifier: &str) -> bool {
        self.modifiers.iter().any(|given| given == modifier)
    }

    /// Why the cache could not call it, and where that is.
    fn fault(
        &self,
        kind: Kind,
        receiver: &[TokenTree],
        types: &[TokenStream],
        header: &Header,
    ) -> Option<(TokenStream, String)> {
        let name = kind.name();
        let write = || format!("write `{}`", kind.signature(header));
        if let Some(modifier) = self.modifiers.iter().find(|modifier| *modifier == "unsafe") {
            let message = format!("`{name}` cannot be `unsafe`: the cache calls it; {}", write());
            return Some((modifier.to_token_stream(), message));
        }
        if has_type_parameters(&self.generics) {
            let message = format!("`{name}` cannot have type parameters: the cache would not know what they are");
            return Some((self.generics.iter().cloned().collect(), message));
        }
        if let Some(parameter) = types.iter().find(|ty| is_ident(flatten((*ty).clone()).first(), "impl")) {
            let message = format!("`{name}` cannot have type parameters: the cache would not know what they are");
            return Some((parameter.clone(), message));
        }
        if !is_receiver(receiver) {
            return Some((self.name.to_token_stream(), format!("`{name}` has no `&self`; {}", write())));
        }
        if !is_shared(receiver) {
            let shown: TokenStream = receiver.iter().cloned().collect();
            let found = compact(&shown);
            let message = format!("`{name}` cannot take `{found}`: the cache is shared by many tasks; write `&self`");
            return Some((shown, message));
        }
        let expected = kind.parameters();
        if types.len() != expected.len() {
            let place = types.get(expected.len()).cloned().unwrap_or_else(|| self.name.to_token_stream());
            return Some((place, format!("`{name}` takes {}; {}", taken(expected), write())));
        }
        let [key, ..] = types else { return None };
        if kind != Kind::Insert && !is_reference(key) {
            let message = format!("`{name}` takes the key by reference: write `&{}`", compact(&header.key));
            return Some((key.clone(), message));
        }
        None
    }
}

fn has_type_parameters(generics: &[TokenTree]) -> bool {
    let [_, parameters @ .., _] = generics else { return false };
    split_types(parameters.to_vec()).iter().any(|parameter| !is_punct(parameter.first(), '\''))
}

/// `` `&self`, the key and the value ``.
fn taken(parameters: &[&str]) -> String {
    match parameters {
        [] => "nothing but `&self`".to_owned(),
        [rest @ .., last] => format!("{} and {last}", [&["`&self`"], rest].concat().join(", ")),
    }
}

/// Whether a type is written as `&…`, and not as `&mut …`.
pub(super) fn is_reference(ty: &TokenStream) -> bool {
    is_shared(&flatten(ty.clone()))
}

/// `&…`, `&'a …`, also behind the name of a parameter.
fn is_shared(tokens: &[TokenTree]) -> bool {
    let ty = match tokens {
        [TokenTree::Ident(_), TokenTree::Punct(colon), ty @ ..] if colon.as_char() == ':' => ty,
        ty => ty,
    };
    match ty {
        [and, quote, _, next, ..] if is_punct(Some(and), '&') && is_punct(Some(quote), '\'') => {
            !is_ident(Some(next), "mut")
        }
        [and, next, ..] => is_punct(Some(and), '&') && !is_ident(Some(next), "mut"),
        _ => false,
    }
}

/// Whether it is `self` in any form.
fn is_receiver(parameter: &[TokenTree]) -> bool {
    parameter.iter().take_while(|token| !is_punct(Some(token), ':')).any(|token| is_ident(Some(token), "self"))
}

/// What stands behind the first single colon.
fn type_of(parameter: Vec<TokenTree>) -> TokenStream {
    let is_colon = |at: usize| is_punct(parameter.get(at), ':');
    let is_single = |at: &usize| is_colon(*at) && !is_colon(at + 1) && (*at == 0 || !is_colon(at - 1));
    let behind = (0..parameter.len()).find(is_single).map_or(0, |colon| colon + 1);
    parameter.into_iter().skip(behind).collect()
}
