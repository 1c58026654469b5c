//! The arguments of `#[cache_tier]`.

use proc_macro2::TokenStream;
use syn::LitStr;

use super::fields;
use crate::syntax::args::{Shape, Spec, Table, Value};
use crate::syntax::diag::{Diagnostics, alternatives, did_you_mean};
use crate::syntax::krate;
use crate::tier::model::{Arguments, Field, Form};

const LEVELS: [(&str, &str); 5] =
    [("trace", "TRACE"), ("debug", "DEBUG"), ("info", "INFO"), ("warn", "WARN"), ("error", "ERROR")];

const NAME: &str = "the tier's name is set with `name = \"…\"`";
const TTL: &str = "it is set when the cache is built: `Tier::new(…).ttl(…)`";
const CAPACITY: &str = "how much a tier of your own holds is its own business; `Tier::memory(…)` takes a capacity";
const HANDLER: &str = "it is set when the cache is built: `Cache::builder(…).event_handler(…)`";
const IN_HEADER: &str = "the key and the value type are those of `impl CacheTier<K, V>`";
const LEVEL: &str = "the level of the tier's spans is set with `level = \"…\"`";
const FIELDS: &str = "fields of your own go into `fields(name = value)`";
const NO_KEYS: &str = "`#[cache_tier]` never records keys or values, so there is nothing to skip";

/// What an inherent impl has to say beside what every impl may say.
const SPECS: [Spec; 9] = [
    Spec { name: "key", shape: Shape::Type, example: "key = str" },
    Spec { name: "value", shape: Shape::Type, example: "value = String" },
    Spec { name: "name", shape: Shape::Text, example: "name = \"disk\"" },
    Spec { name: "level", shape: Shape::Text, example: "level = \"trace\"" },
    Spec { name: "target", shape: Shape::Text, example: "target = \"app::disk\"" },
    Spec { name: "remote", shape: Shape::List, example: "remote(system = \"redis\")" },
    Spec { name: "fields", shape: Shape::List, example: "fields(shard = self.shard())" },
    Spec { name: "immediate", shape: Shape::Word, example: "immediate" },
    Spec { name: "crate", shape: Shape::Value, example: "crate = ::cachet" },
];

const ALIASES: &[(&str, &str)] = &[
    ("skip", NO_KEYS),
    ("skip_all", NO_KEYS),
    ("err", "errors are always recorded: a failed call has the outcome \"error\" and the field `error.type`"),
    ("ret", "values are never recorded; the outcome of every call is"),
    ("label", NAME),
    ("rename", NAME),
    ("tier", NAME),
    ("tier_name", NAME),
    ("id", NAME),
    ("ttl", TTL),
    ("time_to_live", TTL),
    ("capacity", CAPACITY),
    ("max_capacity", CAPACITY),
    ("policy", "it is set when the cache is built: `Tier::new(…).insert_policy(…)`"),
    ("handler", HANDLER),
    ("event_handler", HANDLER),
    ("clock", "it is set when the cache is built: `Cache::builder(…).clock(…)`"),
    ("stampede_protection", "it is set when the cache is built: `Cache::builder(…).stampede_protection()`"),
    ("key", IN_HEADER),
    ("value", IN_HEADER),
    ("parent", "the parent of a tier's span is always the operation it belongs to"),
    ("follows_from", "the parent of a tier's span is always the operation it belongs to"),
    ("trace", LEVEL),
    ("debug", LEVEL),
    ("info", LEVEL),
    ("warn", LEVEL),
    ("error", LEVEL),
    ("tags", FIELDS),
    ("labels", FIELDS),
    ("attributes", FIELDS),
    ("properties", FIELDS),
    ("sync", "a tier that answers at once is marked `immediate`"),
    ("system", "it belongs into `remote(system = \"…\")`"),
    ("address", "it belongs into `remote(system = \"…\", address = …)`"),
    ("krate", "the path of the crate is set with `crate = ::cachet`"),
];

const ON_TRAIT_IMPL: Table = Table { specs: SPECS.split_at(2).1, aliases: ALIASES, repeated: None };
const ON_INHERENT_IMPL: Table = Table { specs: &SPECS, aliases: ALIASES, repeated: None };

const REMOTE: Table = Table {
    specs: &[
        Spec { name: "system", shape: Shape::Text, example: "system = \"redis\"" },
        Spec { name: "address", shape: Shape::Expression, example: "address = self.address()" },
    ],
    aliases: &[
        ("host", "the host and the port are one value: `address = …`"),
        ("port", "the host and the port are one value: `address = …`"),
        ("server", "the host and the port are one value: `address = …`"),
        ("name", "the name of the system is set with `system = \"…\"`"),
    ],
    repeated: None,
};

/// Reads the arguments and reports every fault in them.
pub(in crate::tier) fn read(tokens: TokenStream, on_inherent_impl: bool, diagnostics: &mut Diagnostics) -> Arguments {
    let table = if on_inherent_impl { ON_INHERENT_IMPL } else { ON_TRAIT_IMPL };
    let args = table.read(tokens, diagnostics);
    let mut arguments = Arguments {
        krate: krate::default_path(),
        key: None,
        value: None,
        types_attempted: ["key", "value"].map(|name| args.attempted(name)),
        has_nameless: args.has_nameless,
        name: None,
        name_attempted: args.attempted("name"),
        level: "DEBUG",
        target: None,
        system: None,
        immediate: false,
        fields: Vec::new(),
    };
    for arg in args.given {
        match (arg.name, arg.value) {
            ("name", Value::Text(text)) => arguments.name = Some(text),
            ("level", Value::Text(text)) => arguments.level = level(&text, diagnostics),
            ("target", Value::Text(text)) => arguments.target = not_empty("target", text, diagnostics),
            ("remote", Value::List(list)) => remote(list, &arg.key, &mut arguments, diagnostics),
            ("fields", Value::List(list)) => {
                let read = fields::read(list, &arg.key, diagnostics);
                arguments.fields.extend(read);
            }
            ("immediate", _) => arguments.immediate = true,
            ("key", Value::Tokens(key)) => arguments.key = Some(key),
            ("value", Value::Tokens(value)) => arguments.value = Some(value),
            ("crate", Value::Tokens(path)) => arguments.krate = krate::read(path, diagnostics),
            _ => {}
        }
    }
    arguments
}

fn level(given: &LitStr, diagnostics: &mut Diagnostics) -> &'static str {
    let text = given.value();
    if let Some((_, level)) = LEVELS.iter().find(|(name, _)| *name == text) {
        return level;
    }
    let names = LEVELS.map(|(name, _)| name);
    let accepted = alternatives(&names, '"');
    let meant = did_you_mean(&text, &names).map(|meant| format!("; did you mean \"{meant}\"?"));
    diagnostics
        .report(given, format!("unknown level \"{text}\"{} (`level` takes {accepted})", meant.unwrap_or_default()));
    "DEBUG"
}

fn not_empty(name: &str, text: LitStr, diagnostics: &mut Diagnostics) -> Option<LitStr> {
    let fault = match text.value() {
        empty if empty.trim().is_empty() => "be empty",
        value if value.contains(char::is_control) => "contain control characters",
        _ => return Some(text),
    };
    diagnostics.report(&text, format!("`{name}` must not {fault}"));
    None
}

fn remote(list: TokenStream, key: &syn::Ident, arguments: &mut Arguments, diagnostics: &mut Diagnostics) {
    let args = REMOTE.read(list, diagnostics);
    if !args.attempted("system") {
        diagnostics.report(key, "`remote` needs the name of the system, for example `remote(system = \"redis\")`");
    }
    for arg in args.given {
        match arg.value {
            Value::Text(text) => {
                arguments.system = not_empty("system", text, diagnostics);
            }
            Value::Expression(value) => {
                let name = LitStr::new("server.address", arg.key.span());
                if value.is_complete(diagnostics) {
                    arguments.fields.push(Field { name, form: Form::Address, value: value.tokens });
                }
            }
            Value::Word | Value::Tokens(_) | Value::List(_) => {}
        }
    }
}
