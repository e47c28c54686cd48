//! A node as source, the way `dtc` shows it.

use super::blob::{Token, Tree};
use core::fmt::{self, Write};
use fata_boot::words::Shown;

/// Longest value shown whole; the rest is counted.
const MOST: usize = 256;

/// Prints the node at `path`, whose names may omit their unit addresses, and what is below it.
pub fn print(blob: &[u8], path: &str, out: &mut dyn Write) -> fmt::Result {
    let tree = match Tree::check(blob) {
        Ok(tree) => tree,
        Err(error) => return writeln!(out, "device tree: {error}"),
    };
    let Some(node) = tree.find(path) else { return writeln!(out, "There is no node at {path}.") };
    begin(node.name, 0, out)?;
    let mut depth = 1;
    let mut tokens = node.body;
    while let (1.., Ok(token)) = (depth, tokens.read()) {
        match token {
            Token::Begin(name) => {
                begin(name, depth, out)?;
                depth += 1;
            }
            Token::Prop(property) => {
                indent(depth, out)?;
                write!(out, "{}", property.name().escape_ascii())?;
                // What random numbers come from is shown to nobody.
                match property.name() {
                    b"rng-seed" | b"kaslr-seed" => hidden(property.value, out)?,
                    b"bootargs" if has_secret(property.value) => hidden(property.value, out)?,
                    _ => value(property.value, out)?,
                }
            }
            Token::EndNode => {
                depth -= 1;
                indent(depth, out)?;
                out.write_str("};\n")?;
            }
            Token::End => break,
        }
    }
    Ok(())
}

fn begin(name: &[u8], depth: usize, out: &mut dyn Write) -> fmt::Result {
    indent(depth, out)?;
    match name {
        [] => out.write_str("/ {\n"),
        _ => writeln!(out, "{} {{", name.escape_ascii()),
    }
}

fn indent(depth: usize, out: &mut dyn Write) -> fmt::Result {
    (0..depth).try_for_each(|_| out.write_str("  "))
}

/// What follows a property's name: nothing, strings, cells or bytes, whichever it looks like.
fn value(value: &[u8], out: &mut dyn Write) -> fmt::Result {
    let shown = value.get(..MOST).unwrap_or(value);
    if let Some(strings) = strings(value) {
        let mut before = " = ";
        for string in strings {
            write!(out, "{before}\"{}\"", Shown(string))?;
            before = ", ";
        }
    } else if !value.is_empty() && value.len().is_multiple_of(4) {
        let mut before = " = <";
        for cell in shown.chunks_exact(4) {
            write!(out, "{before}{:#x}", cell.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)))?;
            before = " ";
        }
        out.write_str(">")?;
    } else if !value.is_empty() {
        out.write_str(" = [")?;
        shown.iter().try_for_each(|b| write!(out, "{b:02x}"))?;
        out.write_str("]")?;
    }
    match value.len() - shown.len() {
        0 => out.write_str(";\n"),
        _ => writeln!(out, "; // {} bytes in all", value.len()),
    }
}

fn hidden(value: &[u8], out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "; // hidden, {} bytes", value.len())
}

/// Whether there may be a secret in what cannot be shown without it.
fn has_secret(value: &[u8]) -> bool {
    strings(value).is_none() && value.windows(5).any(|bytes| bytes == b"seed=")
}

/// The strings in `value`, if it is nothing but printable strings, each with its NUL.
fn strings(value: &[u8]) -> Option<impl Iterator<Item = &str>> {
    let body = value.strip_suffix(&[0]).filter(|body| body.len() < MOST)?;
    let is_string = |s: &[u8]| !s.is_empty() && s.iter().all(|b| (b' '..=b'~').contains(b));
    let pieces = || body.split(|b| *b == 0);
    pieces().all(is_string).then(|| pieces().filter_map(|s| core::str::from_utf8(s).ok()))
}

#[cfg(test)]
mod tests {
    use super::{has_secret, value};

    #[test]
    fn secrets_are_not_shown() {
        let shown = |bytes: &[u8]| {
            let mut out = String::new();
            value(bytes, &mut out).unwrap();
            out
        };
        assert_eq!(shown(b"quiet seed=12ff ip=dhcp\0"), " = \"quiet seed=(hidden) ip=dhcp\";\n");
        let mut long = b"seed=12ff ".repeat(30);
        long.push(0);
        assert!(has_secret(&long) && !has_secret(b"seed=12ff\0") && !has_secret(&[b'x'; 300]));
    }

    #[test]
    fn values_look_like_what_they_are() {
        for (bytes, shown) in [
            (&b""[..], ";\n"),
            (b"arm,gic-v3\0", " = \"arm,gic-v3\";\n"),
            (b"xen,xen-4.20\0xen,xen\0", " = \"xen,xen-4.20\", \"xen,xen\";\n"),
            (b"\0", " = [00];\n"),
            (b"a\0\0b\0", " = [6100006200];\n"),
            (b"\0\0\0\x01\0\0\x0f\x08", " = <0x1 0xf08>;\n"),
            (b"\0\0\0\0", " = <0x0>;\n"),
            (b"\x01\x02\xff", " = [0102ff];\n"),
        ] {
            let mut out = String::new();
            value(bytes, &mut out).unwrap();
            assert_eq!(out, shown, "{bytes:?}");
        }
    }

    #[test]
    fn long_values_are_cut_and_counted() {
        let mut out = String::new();
        value(&[0xff; 1024], &mut out).unwrap();
        assert!(out.len() < 1024 && out.ends_with("// 1024 bytes in all\n"), "{out}");
    }
}
