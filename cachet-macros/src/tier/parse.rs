//! Reads the header of the impl that the attribute stands on, and judges whether it is the right item.

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};

use super::model::{Header, Places, compact};
use crate::diag::Diagnostics;
use crate::tokens::{Cursor, as_group, as_ident, flatten, is_ident, is_joint, is_punct, split_types};

const GOES_ON: &str = "`#[cache_tier]` goes on `impl CacheTier<K, V> for";

/// Reads the item; `None` if there is nothing to write a sibling for.
pub(super) fn item(item: TokenStream, attribute: Span, diagnostics: &mut Diagnostics) -> Option<Header> {
    let mut cursor = Cursor::new(unwrap_item(item));
    let attributes = Attributes::read(&mut cursor);
    let modifiers = take_modifiers(&mut cursor);
    let Some(impl_token) = cursor.take(|token| is_ident(Some(token), "impl").then(|| token.clone())) else {
        let annotated = report_not_an_impl(&mut cursor, modifiers, attribute, diagnostics);
        return annotated.map(|name| stand_in(name, attributes.shared));
    };
    let generics = cursor.take_generics();
    if cursor.at_ident("const") {
        cursor.bump();
    }
    let trait_path = cursor
        .take_type_until(|token| is_ident(Some(token), "for") || is_ident(Some(token), "where") || is_brace(token));
    let is_inherent = !cursor.at_ident("for");
    let self_type = if is_inherent {
        trait_path.clone()
    } else {
        cursor.bump();
        cursor.take_type_until(|token| is_ident(Some(token), "where") || is_brace(token))
    };
    let where_clause = cursor.take_type_until(is_brace);
    let body = cursor.take(|token| as_group(token, Delimiter::Brace));

    let self_type: TokenStream = self_type.into_iter().collect();
    let arguments =
        if is_inherent { Some(<_>::default()) } else { trait_arguments(&trait_path, &self_type, diagnostics) };
    let expanded_once = attributes.judge(attribute, body.as_ref().map(proc_macro2::Group::stream), diagnostics);
    let (key, value) = arguments?;
    if body.is_none() || self_type.is_empty() || !expanded_once {
        return None;
    }
    Some(Header {
        shared_attributes: attributes.shared,
        places: places(&impl_token, &generics, &trait_path, body.as_ref()).filter(|_| !is_inherent),
        generics: if generics.is_empty() { no_generics(&impl_token) } else { generics.into_iter().collect() },
        key,
        value,
        self_type,
        where_clause: where_clause.into_iter().collect(),
        inherent_body: body.filter(|_| is_inherent).map(|body| body.stream()),
    })
}

/// Not where lifetimes are declared: clippy has lints about them, and would say everything twice.
fn places(
    impl_token: &TokenTree,
    generics: &[TokenTree],
    trait_path: &[TokenTree],
    body: Option<&proc_macro2::Group>,
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

/// An item that `macro_rules!` has substituted as a whole arrives in an invisible group.
fn unwrap_item(mut item: TokenStream) -> TokenStream {
    loop {
        let mut tokens = item.clone().into_iter();
        match (tokens.next(), tokens.next()) {
            (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::None => item = group.stream(),
            _ => return item,
        }
    }
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

fn is_brace(token: &TokenTree) -> bool {
    as_group(token, Delimiter::Brace).is_some()
}

/// The attributes below ours.
#[derive(Default)]
struct Attributes {
    shared: TokenStream,
    again: Option<TokenStream>,
    async_trait: Option<TokenStream>,
}

impl Attributes {
    fn read(cursor: &mut Cursor) -> Self {
        let mut attributes = Self::default();
        while cursor.at_punct('#')
            && let Some(group) = cursor.nth(1).and_then(|token| as_group(token, Delimiter::Bracket))
        {
            let hash = cursor.bump();
            cursor.bump();
            attributes.add(hash.as_ref(), &group);
        }
        attributes
    }

    fn add(&mut self, hash: Option<&TokenTree>, group: &proc_macro2::Group) {
        let mut inner = Cursor::new(group.stream());
        let Some(name) = last_segment(&mut inner) else { return };
        let whole = || hash.cloned().into_iter().chain([TokenTree::from(group.clone())]).collect::<TokenStream>();
        if name == "cache_tier" {
            self.again.get_or_insert_with(whole);
        } else if name == "async_trait" {
            self.async_trait.get_or_insert_with(whole);
        } else if name == "cfg" || name == "allow" || name == "cfg_attr" && !mentions(group.stream(), "cache_tier") {
            self.shared.extend(whole());
        } else if name == "expect" {
            // The sibling names the same types, but must not be what fulfils the expectation.
            let arguments: TokenStream = inner.bump().into_iter().collect();
            self.shared.extend(quote_spanned!(Span::mixed_site()=> #[allow #arguments]));
        }
    }

    /// Reports what must not stand beside us; whether this is the only expansion of the item.
    fn judge(&self, attribute: Span, body: Option<TokenStream>, diagnostics: &mut Diagnostics) -> bool {
        const REMOVE: &str = "remove `#[async_trait]`: the methods of `CacheTier` are native async methods, \
                              and boxing changes their signatures";
        if let Some(async_trait) = &self.async_trait {
            diagnostics.report(async_trait, REMOVE);
        } else if body.is_some_and(has_boxed_methods) {
            diagnostics.report_at(attribute, REMOVE);
        }
        if let Some(again) = &self.again {
            diagnostics.report(again, "`#[cache_tier]` is given twice; keep one");
        }
        self.again.is_none()
    }
}

/// The name of an attribute, without the path in front of it.
fn last_segment(attribute: &mut Cursor) -> Option<Ident> {
    let mut name = None;
    while let Some(ident) = attribute.take(as_ident) {
        name = Some(ident);
        while attribute.at_punct(':') {
            attribute.bump();
        }
    }
    name
}

/// The item without the `#[async_trait]` below us, which is refused already and has only errors to add.
pub(super) fn without_async_trait(item: TokenStream) -> TokenStream {
    let mut cursor = Cursor::new(item);
    let mut kept = Vec::new();
    while cursor.at_punct('#')
        && let Some(group) = cursor.nth(1).and_then(|token| as_group(token, Delimiter::Bracket))
    {
        let attribute = [cursor.bump(), cursor.bump()];
        if last_segment(&mut Cursor::new(group.stream())).is_none_or(|name| name != "async_trait") {
            kept.extend(attribute.into_iter().flatten());
        }
    }
    kept.extend(std::iter::from_fn(|| cursor.bump()));
    kept.into_iter().collect()
}

/// Whether an `#[async_trait]` above us has already rewritten the methods of the impl.
pub(super) fn was_boxed(item: &TokenStream) -> bool {
    let last = item.clone().into_iter().last();
    last.and_then(|token| as_group(&token, Delimiter::Brace)).is_some_and(|body| has_boxed_methods(body.stream()))
}

fn has_boxed_methods(body: TokenStream) -> bool {
    let mut previous = None;
    body.into_iter().any(|token| {
        let found = is_joint(previous.as_ref(), '\'') && is_ident(Some(&token), "async_trait");
        previous = Some(token);
        found
    })
}

fn mentions(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        _ => false,
    })
}

/// Takes what may stand in front of an item's keyword.
fn take_modifiers(cursor: &mut Cursor) -> Vec<Ident> {
    let mut modifiers = Vec::new();
    while let Some(ident) = cursor.peek().and_then(as_ident) {
        let next = cursor.nth(1);
        let is_modifier = match ident.to_string().as_str() {
            "pub" | "default" | "unsafe" | "async" | "extern" => true,
            "const" => matches!(next, Some(TokenTree::Ident(next))
                if ["fn", "unsafe", "async", "extern", "impl", "trait"].iter().any(|word| next == word)),
            _ => false,
        };
        if !is_modifier {
            break;
        }
        cursor.bump();
        cursor.take(|token| match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => Some(()),
            TokenTree::Literal(_) => Some(()),
            _ => None,
        });
        modifiers.push(ident);
    }
    modifiers
}

/// The header of a sibling for a type that was annotated in place of its impl: so nobody says a second time that the
/// impl is not.
fn stand_in(name: Ident, shared_attributes: TokenStream) -> Header {
    let here = Span::mixed_site();
    Header {
        shared_attributes,
        generics: quote_spanned!(here=> <K: ?::core::marker::Sized, V>),
        key: quote_spanned!(here=> K),
        value: quote_spanned!(here=> V),
        self_type: TokenTree::from(name).into(),
        where_clause: TokenStream::new(),
        places: None,
        inherent_body: None,
    }
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
