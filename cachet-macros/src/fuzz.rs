//! Random token streams for the tests: valid input with a few random changes, and random tokens alone.

use proc_macro2::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

const WORDS: &[&str] = &[
    "impl",
    "for",
    "where",
    "struct",
    "enum",
    "union",
    "trait",
    "fn",
    "mod",
    "const",
    "unsafe",
    "async",
    "pub",
    "dyn",
    "as",
    "crate",
    "self",
    "Self",
    "CacheTier",
    "K",
    "V",
    "T",
    "Disk",
    "str",
    "String",
    "cache_tier",
    "async_trait",
    "cfg",
    "cfg_attr",
    "expect",
    "allow",
    "name",
    "level",
    "target",
    "remote",
    "fields",
    "immediate",
    "system",
    "address",
    "nmae",
    "skip_all",
    "true",
    "false",
    "any",
    "count",
    "record",
    "forward",
    "tier",
    "operation",
    "outcome",
    "cache",
    "fallback",
    "coalesced",
    "on_tier",
    "on_operation",
    "cache_event",
    "r#type",
    "u64",
    "AtomicU64",
    "x",
    "y",
];

const TEXTS: &[&str] = &["disk", "", "trace", "hit", "insert", "get", "stale", "l1", "app::disk"];

const PUNCTS: &[char] = &['<', '>', ',', ':', ':', '=', '#', '!', '&', '\'', '.', '?', '%', '|', '-', ';', '+', '$'];

/// How many inputs a macro is fed: `FUZZ_ROUNDS`, or as many as take a second or two. Unoptimised builds are an order of
/// magnitude slower.
pub(crate) fn rounds() -> usize {
    let asked_for = std::env::var("FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    asked_for.unwrap_or(if cfg!(debug_assertions) { 20_000 } else { 200_000 })
}

pub(crate) struct Fuzz {
    state: u64,
}

impl Fuzz {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed ^ 0x9E37_79B9_7F4A_7C15 }
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).unwrap_or_default() % bound.max(1)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(crate) fn stream(&mut self, depth: usize) -> TokenStream {
        (0..self.below(10)).map(|_| self.token(depth)).collect()
    }

    fn token(&mut self, depth: usize) -> TokenTree {
        match self.below(12) {
            0..=4 => {
                let word = self.pick(WORDS);
                let place = Span::call_site();
                word.strip_prefix("r#").map_or_else(|| Ident::new(word, place), |raw| Ident::new_raw(raw, place)).into()
            }
            5..=7 => {
                let spacing = if self.below(2) == 0 { Spacing::Joint } else { Spacing::Alone };
                Punct::new(self.pick(PUNCTS), spacing).into()
            }
            8 => Literal::string(self.pick(TEXTS)).into(),
            9 => Literal::usize_unsuffixed(self.below(100)).into(),
            _ if depth == 0 => Punct::new(',', Spacing::Alone).into(),
            _ => {
                let delimiter =
                    self.pick(&[Delimiter::Parenthesis, Delimiter::Brace, Delimiter::Bracket, Delimiter::None]);
                Group::new(delimiter, self.stream(depth - 1)).into()
            }
        }
    }

    /// `tokens` with a few tokens, at any depth, dropped, doubled, replaced or put into an invisible group.
    pub(crate) fn mutate(&mut self, tokens: TokenStream) -> TokenStream {
        let mut changed = TokenStream::new();
        for token in tokens {
            match (self.below(24), token) {
                (0, _) => {}
                (1, token) => changed.extend([token.clone(), token]),
                (2, _) => changed.extend([self.token(2)]),
                (3, token) => changed.extend([self.token(1), token]),
                (4, token) => {
                    changed.extend([TokenTree::from(Group::new(Delimiter::None, token.into()))]);
                }
                (_, TokenTree::Group(group)) => {
                    let inner = self.mutate(group.stream());
                    changed.extend([TokenTree::from(Group::new(group.delimiter(), inner))]);
                }
                (_, token) => changed.extend([token]),
            }
        }
        changed
    }
}
