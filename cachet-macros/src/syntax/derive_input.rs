//! The struct, enum or union that a derive is on: its names, generics and attributes, with all types as tokens.
//!
//! Types are passed over and never parsed: they hold any expression of the language.

use proc_macro2::{Delimiter, Group, Ident, Literal, Span, TokenStream, TokenTree};
use quote::quote_spanned;

use super::attributes::Attribute;
use super::tokens::{Cursor, as_group, as_ident, flatten, is_ident, is_punct, split_types, unwrap_groups};

/// The type as it was written.
pub(crate) struct DeriveInput {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    pub(crate) data: Data,
    /// Every field has a name and a type. Otherwise rustc has reported a syntax error.
    pub(crate) is_whole: bool,
}

pub(crate) enum Data {
    Struct(Vec<Field>),
    Enum(Vec<Variant>),
    /// The keyword.
    Union(Ident),
}

pub(crate) struct Variant {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) ident: Ident,
    pub(crate) fields: Vec<Field>,
}

pub(crate) struct Field {
    pub(crate) attributes: Vec<Attribute>,
    /// A name or an index.
    pub(crate) member: TokenTree,
    pub(crate) ty: TokenStream,
}

/// `<…>` and `where …`.
pub(crate) struct Generics {
    pub(crate) parameters: Vec<Parameter>,
    /// `<` and `>`, which keep the user's places: rustc points at the type rather than at the derive.
    brackets: Option<[TokenTree; 2]>,
    /// The predicates, with a comma behind the last one.
    pub(crate) predicates: TokenStream,
}

pub(crate) struct Parameter {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) kind: ParameterKind,
    /// How it is named as an argument.
    name: Vec<TokenTree>,
    /// How it is declared, without attributes and default.
    declaration: Vec<TokenTree>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParameterKind {
    Lifetime,
    Type,
    Const,
}

impl DeriveInput {
    /// Reads the item; `None` if it is not one that a derive may be on, which rustc has reported.
    pub(crate) fn read(item: TokenStream) -> Option<Self> {
        let mut cursor = Cursor::new(unwrap_groups(item));
        let attributes = cursor.take_attributes();
        cursor.skip_visibility();
        let keyword = cursor.take(as_ident)?;
        let ident = cursor.take(as_ident)?;
        let (brackets, parameters) = parameters(&cursor.take_generics());
        let mut predicates = cursor.take_where_clause();
        let body = cursor.peek().and_then(|token| as_group(&see_through(token), Delimiter::Brace));
        let mut is_whole = true;
        let data = match (keyword.to_string().as_str(), body) {
            ("struct", Some(body)) => Data::Struct(named_fields(&body, &mut is_whole)),
            ("struct", None) => {
                let body = cursor.take(|token| as_group(token, Delimiter::Parenthesis));
                predicates.extend(cursor.take_where_clause());
                Data::Struct(body.map(|body| unnamed_fields(&body, &mut is_whole)).unwrap_or_default())
            }
            ("enum", body) => Data::Enum(variants(&body?, &mut is_whole)),
            ("union", _) => Data::Union(keyword),
            _ => return None,
        };
        Some(Self { attributes, ident, generics: Generics { parameters, brackets, predicates }, data, is_whole })
    }
}

impl Generics {
    /// `<'a, T: Bound, const N: usize>`
    pub(crate) fn declared(&self) -> TokenStream {
        self.in_brackets(|parameter| &parameter.declaration)
    }

    /// `<'a, T, N>`
    pub(crate) fn arguments(&self) -> TokenStream {
        self.in_brackets(|parameter| &parameter.name)
    }

    fn in_brackets(&self, tokens: impl Fn(&Parameter) -> &[TokenTree]) -> TokenStream {
        let Some([opening, closing]) = &self.brackets else { return TokenStream::new() };
        let parameters =
            self.parameters.iter().map(|parameter| tokens(parameter).iter().cloned().collect::<TokenStream>());
        quote_spanned!(Span::mixed_site()=> #opening #(#parameters),* #closing)
    }
}

impl Parameter {
    /// The name of a type or a constant.
    pub(crate) fn ident(&self) -> Option<&Ident> {
        match self.name.as_slice() {
            [TokenTree::Ident(ident)] => Some(ident),
            _ => None,
        }
    }
}

impl Cursor {
    /// Passes `pub`, `pub(crate)` and the like, also where `macro_rules!` has substituted them.
    fn skip_visibility(&mut self) {
        let substituted = self.peek().and_then(|token| as_group(token, Delimiter::None)).is_some_and(|group| {
            let tokens = flatten(group.stream());
            tokens.is_empty() || is_ident(tokens.first(), "pub")
        });
        if substituted {
            self.bump();
        } else if self.skip_word("pub") {
            self.take(|token| {
                let restriction = as_group(token, Delimiter::Parenthesis)?.stream().into_iter().collect::<Vec<_>>();
                match restriction.as_slice() {
                    [TokenTree::Ident(word)] => {
                        ["crate", "self", "super"].iter().any(|root| word == root).then_some(())
                    }
                    [TokenTree::Ident(word), ..] => (word == "in").then_some(()),
                    _ => None,
                }
            });
        }
    }

    /// `where …`, without the keyword, and with a comma at the end.
    fn take_where_clause(&mut self) -> TokenStream {
        if !self.skip_word("where") {
            return TokenStream::new();
        }
        let mut predicates =
            self.take_type_until(|token| as_group(token, Delimiter::Brace).is_some() || is_punct(Some(token), ';'));
        if predicates.last().is_some_and(|last| !is_punct(Some(last), ',')) {
            predicates.extend(quote_spanned!(Span::mixed_site()=> ,));
        }
        predicates.into_iter().collect()
    }
}

fn see_through(token: &TokenTree) -> TokenTree {
    match flatten([token.clone()]).as_slice() {
        [single] => single.clone(),
        _ => token.clone(),
    }
}

fn parameters(generics: &[TokenTree]) -> (Option<[TokenTree; 2]>, Vec<Parameter>) {
    let [opening, inside @ .., closing] = generics else { return (None, Vec::new()) };
    let parameters = split_types(inside.to_vec()).into_iter().filter_map(parameter).collect();
    (Some([opening.clone(), closing.clone()]), parameters)
}

fn parameter(tokens: Vec<TokenTree>) -> Option<Parameter> {
    let mut cursor = Cursor::new(tokens.into_iter().collect());
    let attributes = cursor.take_attributes();
    let kind = match cursor.peek()? {
        lifetime if is_punct(Some(lifetime), '\'') => ParameterKind::Lifetime,
        word if is_ident(Some(word), "const") => ParameterKind::Const,
        _ => ParameterKind::Type,
    };
    let declaration = cursor.take_type_until(|token| is_punct(Some(token), '='));
    let name = match (kind, declaration.as_slice()) {
        (ParameterKind::Lifetime, [quote, name, ..]) => vec![quote.clone(), name.clone()],
        (ParameterKind::Const, [_, name, ..]) | (ParameterKind::Type, [name, ..]) => vec![see_through(name)],
        _ => return None,
    };
    Some(Parameter { attributes, kind, name, declaration })
}

fn named_fields(body: &Group, is_whole: &mut bool) -> Vec<Field> {
    let mut cursor = Cursor::new(body.stream());
    let mut fields = Vec::new();
    while !cursor.is_empty() {
        let attributes = cursor.take_attributes();
        cursor.skip_visibility();
        let name = cursor.take(|token| as_ident(&see_through(token)));
        let has_type = cursor.at_punct(':') && !cursor.at_path_colons();
        if let Some(name) = name
            && has_type
        {
            cursor.bump();
            let ty = cursor.take_field_type();
            *is_whole &= !ty.is_empty();
            fields.push(Field { attributes, member: name.into(), ty });
        } else {
            *is_whole = false;
        }
        cursor.skip_to_comma();
        cursor.bump();
    }
    fields
}

fn unnamed_fields(body: &Group, is_whole: &mut bool) -> Vec<Field> {
    let mut cursor = Cursor::new(body.stream());
    let mut fields = Vec::new();
    while !cursor.is_empty() {
        let attributes = cursor.take_attributes();
        cursor.skip_visibility();
        let place = cursor.peek().map_or_else(Span::mixed_site, TokenTree::span);
        let ty = cursor.take_field_type();
        let mut index = Literal::usize_unsuffixed(fields.len());
        index.set_span(Span::mixed_site().located_at(place));
        *is_whole &= !ty.is_empty();
        fields.push(Field { attributes, member: index.into(), ty });
        cursor.skip_to_comma();
        cursor.bump();
    }
    fields
}

impl Cursor {
    /// A type, and the default value that may follow it.
    fn take_field_type(&mut self) -> TokenStream {
        let ty = self.take_type_until(|token| is_punct(Some(token), ',') || is_punct(Some(token), '='));
        if self.at_punct('=') {
            self.bump();
            self.take_expression();
        }
        ty.into_iter().collect()
    }
}

fn variants(body: &Group, is_whole: &mut bool) -> Vec<Variant> {
    let mut cursor = Cursor::new(body.stream());
    let mut variants = Vec::new();
    while !cursor.is_empty() {
        let attributes = cursor.take_attributes();
        cursor.skip_visibility();
        if let Some(ident) = cursor.take(|token| as_ident(&see_through(token))) {
            let fields = match cursor.peek() {
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => named_fields(group, is_whole),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
                    unnamed_fields(group, is_whole)
                }
                _ => Vec::new(),
            };
            if matches!(cursor.peek(), Some(TokenTree::Group(_))) {
                cursor.bump();
            }
            variants.push(Variant { attributes, ident, fields });
        }
        if cursor.at_punct('=') {
            cursor.bump();
            cursor.take_expression();
        }
        cursor.skip_to_comma();
        cursor.bump();
    }
    variants
}
