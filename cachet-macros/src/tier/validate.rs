//! Judges whether what was read can be expanded, and reports what cannot.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::LitStr;

use super::fallback;
use super::model::{Arguments, Header, Places, TierImpl, compact};
use super::parse::{Attributes, Impl, Item, Other};
use crate::syntax::diag::Diagnostics;
use crate::syntax::tokens::{Cursor, as_group, as_ident, flatten, is_ident, is_punct, split_types, unraw};

const GOES_ON: &str = "`#[cache_tier]` goes on `impl CacheTier<K, V> for";

/// The header of the item; `None` if there is nothing to write a companion for.
pub(super) fn header(item: Item, attribute: Span, diagnostics: &mut Diagnostics) -> Option<Header> {
    let item = match item {
        Item::Impl(item) => item,
        Item::Other(other) => return annotated_type(other, attribute, diagnostics),
    };
    let Impl { attributes, keyword: impl_token, generics, trait_path, self_type, where_clause, body } = item;
    let is_inherent = trait_path.is_none();
    let arguments = match &trait_path {
        Some(path) => trait_arguments(path, &self_type, diagnostics),
        None => Some(<_>::default()),
    };
    check_attributes(&attributes, attribute, body.as_ref(), diagnostics);
    let (key, value) = arguments?;
    if body.is_none() || self_type.is_empty() {
        return None;
    }
    Some(Header {
        shared_attributes: attributes.shared,
        places: trait_path.and_then(|path| places(&impl_token, &generics, &path, body.as_ref())),
        generics: if generics.is_empty() { no_generics(&impl_token) } else { generics.into_iter().collect() },
        key,
        value,
        self_type,
        where_clause,
        inherent_body: body.filter(|_| is_inherent).map(|body| body.stream()),
    })
}

/// Not where lifetimes are declared: clippy has lints about them, and would say everything twice.
fn places(
    impl_token: &TokenTree,
    generics: &[TokenTree],
    trait_path: &[TokenTree],
    body: Option<&Group>,
) -> Option<Places> {
    if flatten(generics.iter().cloned()).iter().any(|token| is_punct(Some(token), '\'')) {
        return None;
    }
    let path = flatten(trait_path.iter().cloned());
    Some(Places {
        impl_token: impl_token.span(),
        trait_path: [path.first()?.span(), path.last()?.span()],
        body: body?.span(),
    })
}

/// `<>` at the place where rustc would suggest to add a missing type parameter.
///
/// It makes rustc's errors about the header's types the same for both impls, so that it shows them once.
fn no_generics(impl_token: &TokenTree) -> TokenStream {
    if !proc_macro::is_available() {
        return TokenStream::new();
    }
    let place = impl_token.span().unwrap().end();
    quote_spanned!(place.into()=> <>)
}

/// Reports what must not stand beside the attribute.
fn check_attributes(attributes: &Attributes, attribute: Span, body: Option<&Group>, diagnostics: &mut Diagnostics) {
    const REMOVE: &str = "remove `#[async_trait]`: the methods of `CacheTier` are native async methods, \
                          and boxing changes their signatures";
    if let Some(async_trait) = &attributes.async_trait {
        diagnostics.report(async_trait, REMOVE);
    } else if body.is_some_and(fallback::has_boxed_methods) {
        diagnostics.report_at(attribute, REMOVE);
    }
    if let Some(again) = &attributes.again {
        diagnostics.report(again, "`#[cache_tier]` is given twice; keep one");
    }
}

/// Reports an item that is not an impl; a type without parameters gets a header that stands in for its impl's.
fn annotated_type(other: Other, attribute: Span, diagnostics: &mut Diagnostics) -> Option<Header> {
    let Other { attributes, modifiers, mut rest } = other;
    let annotated = report_not_an_impl(&mut rest, modifiers, attribute, diagnostics);
    annotated.map(|name| fallback::header(name, attributes.shared))
}

/// Says where the attribute belongs; returns the name of a type without parameters that it was put on.
fn report_not_an_impl(
    cursor: &mut Cursor,
    modifiers: Vec<Ident>,
    attribute: Span,
    diagnostics: &mut Diagnostics,
) -> Option<Ident> {
    let Some(keyword) = cursor.take(as_ident) else {
        if let Some(keyword) = modifiers.iter().find(|modifier| *modifier == "extern") {
            diagnostics.report(keyword, format!("{GOES_ON} …`, not on an `extern` block"));
            return None;
        }
        let place = cursor.peek().map_or(attribute, TokenTree::span);
        diagnostics.report_at(place, format!("{GOES_ON} …`; there is no impl here"));
        return None;
    };
    let is_call = cursor.at_punct('!');
    let name = cursor.take(as_ident);
    let kind = match keyword.to_string().as_str() {
        "struct" | "enum" | "union" | "type" => {
            let shown = name.as_ref().map_or_else(|| "…".to_owned(), ToString::to_string);
            let is_plain = keyword != "type" && !cursor.at_punct('<');
            let found: TokenStream = [keyword].into_iter().chain(name.clone()).map(TokenTree::from).collect();
            diagnostics.report(found, format!("{GOES_ON} {shown}`, not on the type itself"));
            return name.filter(|_| is_plain);
        }
        "fn" if has_receiver(cursor) => "a method: it covers all methods of the impl at once",
        "fn" => "a function",
        "trait" => "a trait",
        "mod" => "a module",
        "static" | "const" => "a constant",
        "use" | "crate" => "an import",
        "macro" => "a macro",
        "macro_rules" if is_call => "a macro",
        _ if is_call => "the call of a macro",
        _ => "something else",
    };
    let first = modifiers.into_iter().find(|modifier| modifier == "async" || modifier == "unsafe");
    let found: TokenStream = first.into_iter().chain([keyword]).chain(name).map(TokenTree::from).collect();
    diagnostics.report(found, format!("{GOES_ON} …`, not on {kind}"));
    None
}

fn has_receiver(cursor: &mut Cursor) -> bool {
    cursor.take_generics();
    cursor
        .peek()
        .and_then(|token| as_group(token, Delimiter::Parenthesis))
        .is_some_and(|parameters| parameters.stream().into_iter().take(5).any(|token| is_ident(Some(&token), "self")))
}

/// The key and the value type: the trait's two arguments.
fn trait_arguments(
    trait_path: &[TokenTree],
    self_type: &TokenStream,
    diagnostics: &mut Diagnostics,
) -> Option<(TokenStream, TokenStream)> {
    let flat = flatten(trait_path.iter().cloned());
    let opening = flat.iter().position(|token| is_punct(Some(token), '<')).unwrap_or(flat.len());
    let last = flat.iter().take(opening).filter_map(as_ident).next_back();
    let is_negative = is_punct(flat.first(), '!');
    let mut arguments = Vec::new();
    if let [_, inside @ .., closing] = flat.get(opening..).unwrap_or_default()
        && is_punct(Some(closing), '>')
    {
        arguments = split_types(inside.to_vec());
    }
    let message = match (last, <[Vec<TokenTree>; 2]>::try_from(arguments)) {
        (_, Ok(pair)) if !is_negative && pair.iter().all(|argument| is_type(argument)) => {
            let [key, value] = pair.map(|argument| argument.into_iter().collect());
            return Some((key, value));
        }
        (None, _) => format!("{GOES_ON} {}`; the trait is missing here", compact(self_type)),
        (Some(_), _) if is_negative => "a negative impl has no methods that `#[cache_tier]` could observe".to_owned(),
        // rustc says what is missing.
        (Some(last), _) if last == "CacheTier" => return None,
        (Some(other), _) => {
            format!("{GOES_ON} {}`; this is an impl of `{other}`", compact(self_type))
        }
    };
    let place: TokenStream = trait_path.iter().map(ToTokens::to_token_stream).collect();
    diagnostics.report(place, message);
    None
}

fn is_type(argument: &[TokenTree]) -> bool {
    let is_binding = argument.len() > 1 && is_punct(argument.get(1), '=');
    !argument.is_empty() && !is_punct(argument.first(), '\'') && !is_binding
}

/// Settles the name of the tier.
pub(super) fn tier_impl(header: Header, mut arguments: Arguments, diagnostics: &mut Diagnostics) -> TierImpl {
    let derived = derived_name(&header.self_type);
    let name = match (arguments.name.take(), derived) {
        (Some(name), derived) => {
            if name.value().trim().is_empty() {
                diagnostics.report(&name, empty_name(derived.as_deref()));
            } else if name.value().contains(char::is_control) {
                diagnostics.report(&name, "`name` must not contain control characters");
            }
            name
        }
        (None, Some(derived)) => LitStr::new(&derived, Span::mixed_site()),
        (None, None) => {
            if !arguments.name_attempted {
                let shown = compact(&header.self_type);
                diagnostics
                    .report(&header.self_type, format!("no tier name can be taken from `{shown}`; add `name = \"…\"`"));
            }
            LitStr::new("tier", Span::mixed_site())
        }
    };
    TierImpl { header, arguments, name }
}

fn empty_name(derived: Option<&str>) -> String {
    derived.map_or_else(
        || "`name` must not be empty: every span and event of this tier carries it".to_owned(),
        |derived| format!("`name` must not be empty; remove it to get `name = \"{derived}\"`"),
    )
}

/// The last segment of the type's path in snake case.
fn derived_name(self_type: &TokenStream) -> Option<String> {
    let tokens = flatten(self_type.clone());
    let mut tokens = tokens.as_slice();
    let inner;
    if let [TokenTree::Group(group)] = tokens
        && group.delimiter() == Delimiter::Parenthesis
    {
        inner = flatten(group.stream());
        tokens = &inner;
    }
    let mut segment = None;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(ident) => {
                let follows_path = at == 0 || is_punct(tokens.get(at - 1), ':');
                if !follows_path || ["dyn", "impl", "fn", "unsafe", "extern", "for"].iter().any(|word| ident == word) {
                    return None;
                }
                segment = Some(ident);
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => {}
            TokenTree::Punct(punct) if punct.as_char() == '<' && segment.is_some() => break,
            _ => return None,
        }
    }
    let name = snake_case(&unraw(segment?));
    (!name.is_empty()).then_some(name)
}

fn snake_case(camel: &str) -> String {
    let chars: Vec<char> = camel.trim_matches('_').chars().collect();
    let mut snake = String::new();
    for (at, char) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let ends_acronym = chars.get(at + 1).is_some_and(|next| next.is_lowercase());
        let starts_word = before.is_some_and(|before| *before != '_' && (!before.is_uppercase() || ends_acronym));
        if char.is_uppercase() && starts_word {
            snake.push('_');
        }
        snake.extend(char.to_lowercase());
    }
    snake
}
