//! The report as a table.

use std::fmt;

use super::Report;
use crate::figure::Figures;

/// Formats a report as a table; what a library does not have is a `–` with a footnote.
#[derive(Debug)]
pub struct Table<'r>(pub &'r Report);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { machine, versions, rounds, noise, rows } = self.0;
        writeln!(f, "{machine}")?;
        for (library, version) in versions {
            write!(f, "{library} {version}  ")?;
        }
        writeln!(f, "\n{rounds} interleaved rounds; fixed work took p90/p10 = {:.2} (noise)", noise.width())?;
        writeln!(f, "ratio and difference: to the scenario in the last column, computed round by round")?;
        writeln!(
            f,
            "\n  {:<18} {:>9} {:>19} {:>7} {:>10} {:>7} {:>7} {:>6}  reference",
            "", "ns/op", "p10-p90", "ratio", "more (ns)", "allocs", "future", "loads"
        )?;
        let mut reasons: Vec<&str> = Vec::new();
        let mut group = None;
        for row in rows {
            if group != Some((row.id.operation, row.id.keys)) {
                group = Some((row.id.operation, row.id.keys));
                writeln!(f, "\n{} / {}", row.id.operation, row.id.keys)?;
            }
            match &row.figures {
                Ok(figures) => line(f, row.id.library, figures)?,
                Err(reason) => {
                    let number = reasons.iter().position(|known| known == reason).unwrap_or_else(|| {
                        reasons.push(reason);
                        reasons.len() - 1
                    });
                    writeln!(f, "  {:<18} {:>9} [{}]", row.id.library, "–", number + 1)?;
                }
            }
        }
        writeln!(f)?;
        for (number, reason) in reasons.iter().enumerate() {
            writeln!(f, "[{}] {reason}", number + 1)?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, library: &str, figures: &Figures) -> fmt::Result {
    let Figures { nanos, reference, ratio, difference, allocations, future, loads } = figures;
    let or_blank = |text: Option<String>| text.unwrap_or_default();
    let line = format!(
        "  {library:<18} {:>9.1} {:>19} {:>7} {:>10} {allocations:>7.2} {:>7} {:>6}  {}",
        nanos.median,
        format!("{:.1}-{:.1}", nanos.p10, nanos.p90),
        or_blank(ratio.map(|ratio| format!("{:.2}", ratio.median))),
        or_blank(difference.map(|more| format!("{:+.1}", more.median))),
        or_blank(future.map(|size| format!("{size} B"))),
        or_blank(loads.map(|loads| format!("{loads:.1}"))),
        or_blank(reference.map(|reference| reference.to_string())),
    );
    writeln!(f, "{}", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_row_has_figures_and_reference_and_a_gap_its_reason() {
        let table = Table(&fixture::report()).to_string();
        let line = |start: &str| table.lines().find(|line| line.trim_start().starts_with(start)).unwrap_or_default();
        let words: Vec<_> = line("cachet ").split_whitespace().collect();
        assert_eq!(
            words,
            ["cachet", "30.0", "27.0-45.0", "1.50", "+10.0", "0.00", "24", "B", "hit", "/", "u64", "/", "quick_cache"]
        );
        assert!(table.contains("fixed work took p90/p10 = 1.05"), "{table}");
        assert!(table.contains("–"), "{table}");
        assert!(table.ends_with("[1] no time to live\n"), "{table}");
    }
}
