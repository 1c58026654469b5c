//! The report as a picture: a line per scenario, a dot per library, on a logarithmic scale.

use std::fmt;

use super::Report;
use crate::figure::{Figures, Id, Row};
use crate::peer::Peer;
use crate::peers::cachet::Cachet;

/// Draws a report as SVG, for light and dark backgrounds, with the medians of cachet on the right.
///
/// A scenario that only one library has is drawn for one form of keys, which keeps the picture small.
#[derive(Debug)]
pub struct Svg<'r>(pub &'r Report);

const WIDTH: f64 = 960.0;
/// The ends of the scale.
const LEFT: f64 = 290.0;
const RIGHT: f64 = 870.0;
const TOP: f64 = 74.0;
const LINE: f64 = 18.0;

/// Mid-tones, which contrast with white and with black.
const COLORS: [&str; 8] = ["#868e96", "#e03131", "#1c7ed6", "#2f9e44", "#ae3ec9", "#f59f00", "#0c8599", "#8d6e63"];

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #24292f } .small { font-size: 11px; fill: #656d76 }
.grid { stroke: #d0d7de } .between { fill: #8c959f14 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d } }
";

impl fmt::Display for Svg<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = lines(&self.0.rows);
        let libraries = libraries(&lines);
        let scale = Scale::over(&lines);
        let bottom = TOP + LINE * from(lines.len());
        writeln!(
            f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\">\n\
             <title>Nanoseconds per operation, by scenario and library</title>\n<style>{STYLE}</style>",
            bottom + 30.0
        )?;
        let title = format!("Nanoseconds per operation (median, p10–p90; logarithmic). {}", self.0.machine);
        writeln!(f, "<text x=\"8\" y=\"16\" class=\"small\">{}</text>", Escaped(&title))?;
        right(f, TOP - 6.0, "small", Cachet::NAME)?;
        legend(f, &libraries, &self.0.versions)?;
        grid(f, scale, bottom)?;
        for (number, line) in lines.iter().enumerate() {
            let y = TOP + LINE * (from(number) + 0.5);
            if number % 2 == 1 {
                writeln!(
                    f,
                    "<rect class=\"between\" x=\"0\" y=\"{:.0}\" width=\"{WIDTH}\" height=\"{LINE}\"/>",
                    y - LINE / 2.0
                )?;
            }
            let Id { operation, keys, .. } = line[0].0;
            writeln!(
                f,
                "<text x=\"8\" y=\"{:.0}\">{} <tspan class=\"small\">{keys}</tspan></text>",
                y + 4.0,
                Escaped(operation)
            )?;
            if let Some((_, ours)) = line.iter().find(|(id, _)| id.library == Cachet::NAME) {
                right(f, y + 4.0, "", &duration(ours.nanos.median))?;
            }
            // In reverse, so that the first libraries are on top.
            for (id, figures) in line.iter().rev() {
                dot(f, scale, y, id, figures, color(&libraries, id.library))?;
            }
        }
        writeln!(f, "</svg>")
    }
}

type Drawn<'r> = (Id, &'r Figures);

/// The rows that are drawn, those of a scenario together.
fn lines(rows: &[Row]) -> Vec<Vec<Drawn<'_>>> {
    let drawn = rows.iter().filter_map(|row| Some((row.id, row.figures.as_ref().ok()?)));
    let mut lines: Vec<Vec<Drawn<'_>>> = Vec::new();
    for (id, figures) in drawn {
        match lines.last_mut() {
            Some(line) if (line[0].0.operation, line[0].0.keys) == (id.operation, id.keys) => line.push((id, figures)),
            _ => lines.push(vec![(id, figures)]),
        }
    }
    let mut seen = Vec::new();
    lines.retain(|line| {
        let operation = line[0].0.operation;
        let is_new = !seen.contains(&operation);
        seen.push(operation);
        is_new || line.len() > 1
    });
    lines
}

fn libraries(lines: &[Vec<Drawn<'_>>]) -> Vec<&'static str> {
    let mut libraries = Vec::new();
    for (id, _) in lines.iter().flatten() {
        if !libraries.contains(&id.library) {
            libraries.push(id.library);
        }
    }
    libraries
}

fn color(libraries: &[&str], library: &str) -> &'static str {
    let number = libraries.iter().position(|known| *known == library).unwrap_or_default();
    COLORS[number % COLORS.len()]
}

fn legend(f: &mut fmt::Formatter<'_>, libraries: &[&str], versions: &[(String, String)]) -> fmt::Result {
    let (mut x, mut y) = (12.0, 34.0);
    for library in libraries {
        let version = versions.iter().find(|(known, _)| known == library).map_or("", |(_, version)| version.as_str());
        let label = format!("{library} {version}");
        let width = 26.0 + 6.6 * from(label.chars().count());
        if x + width > WIDTH {
            (x, y) = (12.0, y + 17.0);
        }
        writeln!(
            f,
            "<circle cx=\"{x:.0}\" cy=\"{y:.0}\" r=\"5\" fill=\"{}\"/><text x=\"{:.0}\" y=\"{:.0}\">{}</text>",
            color(libraries, library),
            x + 9.0,
            y + 4.0,
            Escaped(&label)
        )?;
        x += width;
    }
    Ok(())
}

fn grid(f: &mut fmt::Formatter<'_>, scale: Scale, bottom: f64) -> fmt::Result {
    for decade in scale.decades() {
        let x = scale.place(10_f64.powi(decade));
        let label = duration(10_f64.powi(decade));
        writeln!(
            f,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom:.0}\"/>\
             <text class=\"small\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.0}\">{label}</text>\
             <text class=\"small\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.0}\">{label}</text>",
            TOP - 6.0,
            bottom + 16.0
        )?;
    }
    Ok(())
}

fn dot(f: &mut fmt::Formatter<'_>, scale: Scale, y: f64, id: &Id, figures: &Figures, color: &str) -> fmt::Result {
    let [low, middle, high] =
        [figures.nanos.p10, figures.nanos.median, figures.nanos.p90].map(|nanos| scale.place(nanos));
    let ratio = match (figures.ratio, figures.reference) {
        (Some(ratio), Some(reference)) => format!(", {:.2} × {reference}", ratio.median),
        _ => String::new(),
    };
    let title = format!("{id}: {:.1} ns{ratio}", figures.nanos.median);
    writeln!(
        f,
        "<g><title>{}</title><line x1=\"{low:.1}\" y1=\"{y:.0}\" x2=\"{high:.1}\" y2=\"{y:.0}\" stroke=\"{color}\" \
         stroke-width=\"2\"/><circle cx=\"{middle:.1}\" cy=\"{y:.0}\" r=\"5\" fill=\"{color}\"/></g>",
        Escaped(&title)
    )
}

/// Maps nanoseconds to a place on the line, over whole decades.
#[derive(Clone, Copy)]
struct Scale {
    first: i32,
    last: i32,
}

impl Scale {
    fn over(lines: &[Vec<Drawn<'_>>]) -> Self {
        let nanos = || lines.iter().flatten().flat_map(|(_, figures)| [figures.nanos.p10, figures.nanos.p90]);
        let low = nanos().fold(f64::INFINITY, f64::min).clamp(0.1, 1e9);
        let high = nanos().fold(low, f64::max).clamp(low, 1e10);
        #[allow(clippy::cast_possible_truncation, reason = "powers of ten between -1 and 10")]
        let decade = |power: f64| power as i32;
        let first = decade(low.log10().floor());
        Self { first, last: decade(high.log10().ceil()).max(first + 1) }
    }

    fn decades(self) -> impl Iterator<Item = i32> {
        self.first..=self.last
    }

    fn place(self, nanos: f64) -> f64 {
        let share = (nanos.log10() - f64::from(self.first)) / f64::from(self.last - self.first);
        LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }
}

/// A text in the column on the right.
fn right(f: &mut fmt::Formatter<'_>, y: f64, class: &str, text: &str) -> fmt::Result {
    let x = WIDTH - 8.0;
    writeln!(f, "<text class=\"{class}\" text-anchor=\"end\" x=\"{x:.0}\" y=\"{y:.0}\">{text}</text>")
}

/// A duration with two digits, or all before the decimal point.
fn duration(nanos: f64) -> String {
    let (number, unit) = match nanos {
        ..1e3 => (nanos, "ns"),
        1e3..1e6 => (nanos / 1e3, "µs"),
        _ => (nanos / 1e6, "ms"),
    };
    let number = if number < 10.0 { (number * 10.0).round() / 10.0 } else { number.round() };
    format!("{number} {unit}")
}

#[allow(clippy::cast_precision_loss, reason = "numbers of lines and letters")]
fn from(number: usize) -> f64 {
    number as f64
}

struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '&' => f.write_str("&amp;"),
            '"' => f.write_str("&quot;"),
            _ => write!(f, "{character}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn every_library_has_a_dot_on_the_line_of_its_scenario() {
        let picture = Svg(&fixture::report()).to_string();
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"), "{picture}");
        assert_eq!(picture.matches("<g><title>").count(), 4);
        assert_eq!(picture.matches("<tspan").count(), 2);
        assert!(picture.contains("hit / u64 / cachet: 30.0 ns, 1.50 × hit / u64 / quick_cache"), "{picture}");
        assert!(picture.contains("other &quot;&lt;&amp;&gt;&quot;"), "{picture}");
        assert_eq!(picture.matches('<').count(), picture.matches('>').count());
    }

    #[test]
    fn the_scale_is_logarithmic() {
        let scale = Scale { first: 1, last: 3 };
        assert!((scale.place(10.0) - LEFT).abs() < 1e-6);
        assert!((scale.place(100.0) - f64::midpoint(LEFT, RIGHT)).abs() < 1e-6);
        assert!((scale.place(1000.0) - RIGHT).abs() < 1e-6);
    }
}
