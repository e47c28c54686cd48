//! An image as rectangles, each as large as its part.

use std::fmt::Write as _;

use super::{Item, Sizes};

/// Of the picture.
const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 720.0;
/// What a crate's name takes.
const TITLE: f64 = 16.0;
/// Of a letter.
const LETTER: f64 = 6.2;

#[derive(Clone, Copy)]
struct Frame {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// Draws crates, and the functions in each, as SVG.
pub fn treemap(sizes: &Sizes, title: &str) -> String {
    let mut svg = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<title>{}</title>\n<text x=\"4\" y=\"16\" font-size=\"14\">{}: {} bytes</text>\n",
        HEIGHT + 24.0,
        escaped(title),
        escaped(title),
        sizes.bytes
    );
    let whole = Frame { x: 0.0, y: 24.0, width: WIDTH, height: HEIGHT };
    let crates: Vec<_> = sizes.crates.iter().map(|share| share.bytes).collect();
    for (number, (share, frame)) in sizes.crates.iter().zip(laid_out(&crates, whole)).enumerate() {
        // Neighbours differ; what belongs to no crate is grey.
        let hue = (number * 137) % 360;
        let saturation = if share.name.starts_with('[') { 0 } else { 45 };
        rectangle(&mut svg, frame, &format!("hsl({hue},{saturation}%,72%)"), &share.name, share.bytes);
        label(&mut svg, frame, &format!("{} {}", share.name, share.bytes), "font-weight=\"bold\"");
        let inner = Frame {
            x: frame.x + 2.0,
            y: frame.y + TITLE,
            width: frame.width - 4.0,
            height: frame.height - TITLE - 2.0,
        };
        if inner.width < 12.0 || inner.height < 12.0 {
            continue;
        }
        let items: Vec<&Item> = sizes.items.iter().filter(|item| item.crate_name == share.name).collect();
        let bytes: Vec<_> = items.iter().map(|item| item.bytes).collect();
        for (item, frame) in items.iter().zip(laid_out(&bytes, inner)) {
            // Smaller ones show the crate's colour.
            if frame.width * frame.height >= 240.0 {
                let fill = format!("hsl({hue},{saturation}%,88%)");
                rectangle(&mut svg, frame, &fill, &item.name, item.bytes);
                label(&mut svg, frame, short(&item.name), "fill=\"#333\"");
            }
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn rectangle(svg: &mut String, frame: Frame, fill: &str, name: &str, bytes: u64) {
    let Frame { x, y, width, height } = frame;
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\" \
         stroke=\"#fff\"><title>{}: {bytes} bytes</title></rect>",
        escaped(name)
    );
}

/// As much of a text as there is room for.
fn label(svg: &mut String, frame: Frame, text: &str, style: &str) {
    let letters = ((frame.width - 6.0) / LETTER) as usize;
    if frame.height >= 13.0 && letters >= 4 {
        let text: String = text.chars().take(letters).collect();
        let (x, y) = (frame.x + 3.0, frame.y + 12.0);
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" pointer-events=\"none\" {style}>{}</text>",
            escaped(&text)
        );
    }
}

/// The last two words of a path.
fn short(name: &str) -> &str {
    let mut ends = name.rmatch_indices("::").map(|(at, _)| at);
    ends.nth(1).map_or(name, |at| &name[at + 2..])
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Rectangles of these areas, the largest first, that fill a frame and are as square as can be had in rows (Bruls,
/// Huizing and van Wijk, "Squarified Treemaps", 2000).
fn laid_out(areas: &[u64], mut frame: Frame) -> Vec<Frame> {
    let mut frames = Vec::with_capacity(areas.len());
    let mut left: f64 = areas.iter().map(|area| *area as f64).sum();
    let mut rest = areas;
    while !rest.is_empty() && left > 0.0 {
        let scale = frame.width * frame.height / left;
        let side = frame.width.min(frame.height);
        // How far from a square the worst in a row of so many is.
        let worst = |count: usize| {
            let sum = rest[..count].iter().sum::<u64>() as f64 * scale;
            let (most, least) = (rest[0] as f64 * scale, rest[count - 1] as f64 * scale);
            (side * side * most / (sum * sum)).max(sum * sum / (side * side * least.max(f64::MIN_POSITIVE)))
        };
        let mut count = 1;
        while count < rest.len() && worst(count + 1) <= worst(count) {
            count += 1;
        }
        let sum = rest[..count].iter().sum::<u64>() as f64;
        let depth = if side > 0.0 { sum * scale / side } else { 0.0 };
        let is_column = frame.width >= frame.height;
        let mut along = 0.0;
        for &area in &rest[..count] {
            let length = if sum > 0.0 { side * area as f64 / sum } else { 0.0 };
            frames.push(if is_column {
                Frame { x: frame.x, y: frame.y + along, width: depth, height: length }
            } else {
                Frame { x: frame.x + along, y: frame.y, width: length, height: depth }
            });
            along += length;
        }
        if is_column {
            frame = Frame { x: frame.x + depth, width: (frame.width - depth).max(0.0), ..frame };
        } else {
            frame = Frame { y: frame.y + depth, height: (frame.height - depth).max(0.0), ..frame };
        }
        left -= sum;
        rest = &rest[count..];
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::size::Share;

    #[test]
    fn rectangles_have_their_areas_and_stay_inside() {
        let areas = [600, 600, 400, 300, 200, 200, 100];
        let whole = Frame { x: 10.0, y: 20.0, width: 60.0, height: 40.0 };
        let frames = laid_out(&areas, whole);
        assert_eq!(frames.len(), areas.len());
        for (frame, area) in frames.iter().zip(areas) {
            assert!((frame.width * frame.height - area as f64).abs() < 1e-6);
            assert!(frame.x >= 10.0 - 1e-9 && frame.x + frame.width <= 70.0 + 1e-9);
            assert!(frame.y >= 20.0 - 1e-9 && frame.y + frame.height <= 60.0 + 1e-9);
        }
    }

    #[test]
    fn names_of_generics_are_no_elements() {
        let share = Share { name: "core".into(), bytes: 10, code: 10, pieces: 1 };
        let item = Item { name: "<T as U>::f".into(), crate_name: "core".into(), bytes: 10, instances: 1 };
        let sizes = Sizes { bytes: 10, crates: vec![share], sections: vec![], items: vec![item] };
        let svg = treemap(&sizes, "a & b");
        assert!(svg.contains("&lt;T as U&gt;::f: 10 bytes") && svg.contains("a &amp; b: 10 bytes"));
        assert_eq!(svg.matches("<rect").count(), svg.matches("</rect>").count());
    }
}
