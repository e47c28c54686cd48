//! Draws a report: bars of what Fata took, in percent of what Linux did.

use std::fmt::Write as _;

use super::report::{Report, grouped};

const WIDTH: u32 = 760;
/// Where bars begin, and how long one of 100 % is.
const LEFT: u32 = 190;
const WHOLE: f64 = 430.0;
const BAR: u32 = 13;
const GAP: u32 = 12;
const TOP: u32 = 64;
/// Of the bars, the first lightest.
const COLOURS: [&str; 3] = ["#8cb8e8", "#3f7fc4", "#1b4577"];

/// For each measure a bar for each of these units, as far as both were measured.
pub(crate) fn draw(title: &str, report: &Report, units: [&'static str; 3]) -> String {
    let names: Vec<_> =
        report.names().into_iter().filter(|name| report.medians(name, units[2]).is_some()).collect();
    let height = TOP + names.len() as u32 * (3 * BAR + GAP) + 16;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" fill=\"#222222\">{title}</text>\n"
    );
    // Writing to a string cannot fail.
    let mut line = |text: std::fmt::Arguments<'_>| _ = writeln!(svg, "{text}");
    for (n, (unit, colour)) in units.iter().zip(COLOURS).enumerate() {
        let x = LEFT + 130 * n as u32;
        line(format_args!("<rect x=\"{x}\" y=\"36\" width=\"11\" height=\"11\" fill=\"{colour}\"/>"));
        line(format_args!("<text x=\"{}\" y=\"46\" fill=\"#444444\">{unit}</text>", x + 16));
    }
    let bottom = height - 12;
    for percent in [0, 25, 50, 75, 100] {
        let x = LEFT + (WHOLE * f64::from(percent) / 100.0) as u32;
        line(format_args!("<path d=\"M{x} {TOP}V{bottom}\" stroke=\"#dddddd\"/>"));
        line(format_args!(
            "<text x=\"{x}\" y=\"{}\" fill=\"#777777\" text-anchor=\"middle\" font-size=\"10\">{percent} %</text>",
            TOP - 4
        ));
    }
    for (n, name) in names.iter().enumerate() {
        let y = TOP + 6 + n as u32 * (3 * BAR + GAP);
        line(format_args!(
            "<text x=\"{}\" y=\"{}\" fill=\"#222222\" text-anchor=\"end\">{}</text>",
            LEFT - 8,
            y + 2 * BAR - 2,
            escaped(name)
        ));
        for (row, (unit, colour)) in (0..).zip(units.iter().zip(COLOURS)) {
            let Some((fata, linux)) = report.medians(name, unit).filter(|(_, linux)| *linux > 0) else {
                continue;
            };
            let share = fata as f64 / linux as f64;
            let (y, length) = (y + row * BAR, (WHOLE * share).clamp(1.0, f64::from(WIDTH - LEFT)));
            line(format_args!(
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>",
                BAR - 2
            ));
            line(format_args!(
                "<text x=\"{:.1}\" y=\"{}\" fill=\"#444444\" font-size=\"10\">{} of {}</text>",
                f64::from(LEFT) + length + 5.0,
                y + BAR - 3,
                grouped(fata),
                grouped(linux)
            ));
        }
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        let mut report = Report::new(String::new());
        for (unit, fata, linux) in [("a", 1000, 4000), ("b", 1, 1), ("c", 3, 2)] {
            report.fata("x < y", unit, None, fata);
            report.linux("x < y", unit, linux);
        }
        report.fata("alone", "a", None, 7);
        let svg = draw("title", &report, ["a", "b", "c"]);
        assert!(svg.contains("width=\"107.5\"") && svg.contains("1,000 of 4,000"), "{svg}");
        assert!(svg.contains("x &lt; y") && !svg.contains("alone"), "{svg}");
        let opened = svg.matches("<text").count();
        assert_eq!(opened, svg.matches("</text>").count());
    }
}
