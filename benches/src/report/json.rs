//! The report for programs.

use std::fmt;

use super::{Figures, Report, Row, Spread};

/// Prints a report as JSON: an object with the machine, the versions, and a row per scenario.
#[derive(Debug)]
pub struct Json<'r>(pub &'r Report);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { machine, versions, rounds, noise, rows } = self.0;
        let versions: Vec<_> = versions.iter().map(|(library, version)| (*library, Text(version))).collect();
        let versions: Vec<_> =
            versions.iter().map(|(library, version)| (*library, Some(version as Shown<'_>))).collect();
        let rows: Vec<_> = rows.iter().map(Figured).collect();
        let rows: Vec<Shown<'_>> = rows.iter().map(|row| row as Shown<'_>).collect();
        object(
            f,
            &[
                ("cpu", Some(&Text(&machine.cpu))),
                ("cores", Some(&machine.cores)),
                ("system", Some(&Text(&machine.system))),
                ("rustc", Some(&Text(&machine.rustc))),
                ("versions", Some(&Object(&versions))),
                ("rounds", Some(rounds)),
                ("noise", Some(&Number(noise.width()))),
                ("rows", Some(&Array(&rows))),
            ],
        )
    }
}

type Shown<'a> = &'a dyn fmt::Display;

/// Members without a value are left out.
type Member<'a> = (&'a str, Option<Shown<'a>>);

fn object(f: &mut fmt::Formatter<'_>, members: &[Member<'_>]) -> fmt::Result {
    let present = members.iter().filter_map(|(name, value)| value.map(|value| (name, value)));
    f.write_str("{")?;
    for (number, (name, value)) in present.enumerate() {
        let comma = if number == 0 { "" } else { "," };
        write!(f, "{comma}{}:{value}", Text(name))?;
    }
    f.write_str("}")
}

struct Object<'a>(&'a [Member<'a>]);

impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        object(f, self.0)
    }
}

/// One element per line, so that two reports can be compared.
struct Array<'a>(&'a [Shown<'a>]);

impl fmt::Display for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (number, element) in self.0.iter().enumerate() {
            write!(f, "{}\n{element}", if number == 0 { "" } else { "," })?;
        }
        f.write_str("\n]")
    }
}

struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                '\0'..='\u{1f}' => write!(f, "\\u{:04x}", u32::from(character))?,
                _ => write!(f, "{character}")?,
            }
        }
        f.write_str("\"")
    }
}

/// JSON knows no infinity.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_finite() { write!(f, "{:.4}", self.0) } else { f.write_str("null") }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        object(
            f,
            &[
                ("median", Some(&Number(self.median))),
                ("p10", Some(&Number(self.p10))),
                ("p90", Some(&Number(self.p90))),
            ],
        )
    }
}

struct Figured<'r>(&'r Row);

impl fmt::Display for Figured<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { id, figures } = self.0;
        let (what, keys, library) = (Text(id.what), Text(id.keys), Text(id.library));
        let mut members: Vec<Member<'_>> =
            vec![("scenario", Some(&what)), ("keys", Some(&keys)), ("library", Some(&library))];
        let reason = figures.as_ref().err().map(|reason| Text(reason));
        let Ok(Figures { nanos, reference, ratio, difference, allocations, future, loads }) = figures else {
            members.push(("absent", reason.as_ref().map(|reason| reason as Shown<'_>)));
            return object(f, &members);
        };
        let reference = reference.map(|id| id.to_string());
        let reference = reference.as_deref().map(Text);
        let (allocations, loads) = (Number(*allocations), loads.map(Number));
        members.extend([
            ("nanos", Some(nanos as Shown<'_>)),
            ("reference", reference.as_ref().map(|text| text as Shown<'_>)),
            ("ratio", ratio.as_ref().map(|ratio| ratio as Shown<'_>)),
            ("more", difference.as_ref().map(|more| more as Shown<'_>)),
            ("allocations", Some(&allocations as Shown<'_>)),
            ("future", future.as_ref().map(|size| size as Shown<'_>)),
            ("loads", loads.as_ref().map(|loads| loads as Shown<'_>)),
        ]);
        object(f, &members)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::fixture;
    use super::*;

    #[test]
    fn a_parser_reads_back_what_was_measured() {
        let value: Value = serde_json::from_str(&Json(&fixture::report()).to_string()).expect("valid JSON");
        assert_eq!(value["cpu"], "A \"fast\" one\\");
        assert_eq!(value["versions"]["cachet"], "0.1.0");
        let rows = value["rows"].as_array().expect("an array");
        assert_eq!(rows.len(), 5);
        assert_eq!(rows[1]["nanos"]["median"], 30.0);
        assert_eq!(rows[1]["reference"], "hit / u64 / quick_cache");
        assert_eq!(rows[1]["future"], 24);
        assert_eq!(rows[2]["library"], "other \"<&>\"");
        assert_eq!(rows[3]["absent"], "no time to live");
        assert!(rows[0].get("ratio").is_none());
    }

    #[test]
    fn what_json_has_no_word_for_is_escaped_or_null() {
        assert_eq!(Text("tab\t\u{1}é").to_string(), "\"tab\\u0009\\u0001é\"");
        assert_eq!(Number(f64::NAN).to_string(), "null");
    }
}
