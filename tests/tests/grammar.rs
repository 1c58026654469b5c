//! The macros' own reader of Rust against real sources: every expression, type, struct and enum that syn finds is put where
//! users put it, and has to come out whole.
//!
//! The sources are those of this workspace and of the crates in the registry's folder, as many as `GRAMMAR_FILES` says.

#![allow(dead_code, unreachable_pub, reason = "the reader is a module of the macros' crate")]

#[path = "../../cachet-macros/src/syntax/mod.rs"]
mod syntax;

use std::path::{Path, PathBuf};
use std::{env, fs};

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::visit::{self, Visit};

use self::syntax::derive_input::{Data, DeriveInput};
use self::syntax::diag::Diagnostics;
use self::syntax::tokens::Cursor;

#[derive(Default)]
struct Corpus {
    seen: usize,
    refused: Vec<String>,
}

impl Corpus {
    fn check(&mut self, tokens: &TokenStream, is_read: bool) {
        self.seen += 1;
        if !is_read {
            self.refused.push(tokens.to_string().chars().take(300).collect());
        }
    }
}

impl<'a> Visit<'a> for Corpus {
    fn visit_expr(&mut self, expression: &'a syn::Expr) {
        // `let` is an expression for syn, but only in a condition.
        if !matches!(expression, syn::Expr::Let(_) | syn::Expr::Verbatim(_)) {
            let tokens = expression.to_token_stream();
            let mut cursor = Cursor::new(quote!(#tokens, next = 1));
            let read = cursor.take_expression();
            let is_whole = read.is_complete(&mut Diagnostics::default()) && cursor.at_punct(',');
            self.check(&tokens, is_whole && read.tokens.to_string() == tokens.to_string());
        }
        visit::visit_expr(self, expression);
    }

    fn visit_type(&mut self, ty: &'a syn::Type) {
        if !matches!(ty, syn::Type::Verbatim(_)) {
            let tokens = ty.to_token_stream();
            let mut cursor = Cursor::new(quote!(#tokens next = 1));
            let read: TokenStream = cursor.take_type().into_iter().collect();
            self.check(&tokens, cursor.at_ident("next") && read.to_string() == tokens.to_string());
        }
        visit::visit_type(self, ty);
    }

    fn visit_item(&mut self, item: &'a syn::Item) {
        if let syn::Item::Struct(_) | syn::Item::Enum(_) = item {
            let tokens = item.to_token_stream();
            let own = DeriveInput::read(tokens.clone());
            self.check(&tokens, own.as_ref().is_some_and(|own| own.is_whole) && names_of(own) == names_by_syn(&tokens));
        }
        visit::visit_item(self, item);
    }
}

/// The variants' names and the fields' types, and how many parameters there are.
fn names_of(own: Option<DeriveInput>) -> (Vec<String>, usize) {
    let Some(own) = own else { return Default::default() };
    let types = |fields: Vec<syntax::derive_input::Field>| fields.into_iter().map(|field| field.ty.to_string());
    let names = match own.data {
        Data::Struct(fields) => types(fields).collect(),
        Data::Enum(variants) => variants
            .into_iter()
            .flat_map(|variant| [variant.ident.to_string()].into_iter().chain(types(variant.fields)))
            .collect(),
        Data::Union(_) => Vec::new(),
    };
    (names, own.generics.parameters.len())
}

fn names_by_syn(item: &TokenStream) -> (Vec<String>, usize) {
    let input: syn::DeriveInput = syn::parse2(item.clone()).expect("syn has read it before");
    let types = |fields: syn::Fields| fields.into_iter().map(|field| field.ty.to_token_stream().to_string());
    let names = match input.data {
        syn::Data::Struct(data) => types(data.fields).collect(),
        syn::Data::Enum(data) => data
            .variants
            .into_iter()
            .flat_map(|variant| [variant.ident.to_string()].into_iter().chain(types(variant.fields)))
            .collect(),
        syn::Data::Union(_) => Vec::new(),
    };
    (names, input.generics.params.len())
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn real_sources_are_read_as_syn_reads_them() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut own = Vec::new();
    for folder in ["cachet/src", "cachet-macros/src", "tests/tests", "tests/outside"] {
        sources(&workspace.join(folder), &mut own);
    }
    let mut registry = Vec::new();
    if let Some(home) = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo"))) {
        sources(&home.join("registry/src"), &mut registry);
    }
    registry.sort();
    let wanted = env::var("GRAMMAR_FILES").ok().and_then(|files| files.parse().ok()).unwrap_or(200_usize);
    let step = (registry.len() / wanted.max(1)).max(1);
    let mut corpus = Corpus::default();
    for path in own.into_iter().chain(registry.into_iter().step_by(step).take(wanted)) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        // Generated tables of a megabyte have nothing that smaller files have not.
        if text.len() < 100_000
            && let Ok(file) = syn::parse_file(&text)
        {
            corpus.visit_file(&file);
        }
    }
    assert!(corpus.seen > 20_000, "{}", corpus.seen);
    assert_eq!(corpus.refused, Vec::<String>::new());
}
