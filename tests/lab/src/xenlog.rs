//! Takes Xen's serial output apart: Xen's own messages here, each guest's bytes there.
//!
//! What Xen does with a guest's output (xen/arch/arm/vpl011.c and xen/drivers/char/console.c, 4.17 to 4.20):
//! * The vpl011 of the domain that has the input focus is printed byte by byte through `printk("%c")`: each line
//!   starts with `(XEN) `, otherwise the bytes are as written. (A NUL is lost.)
//! * The vpl011 of any other domain is printed line by line as `(XEN) DOM1: text`.
//! * console_io is printed line by line as `(d1) text`, without unprintable characters.
//! * A line feed becomes carriage return and line feed.
//!
//! Once the focus is with a domain, Xen's own messages look like that guest's lines, and are taken for them.

/// Who wrote something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The hypervisor.
    Xen,
    /// The domain of this number.
    Domain(u16),
}

/// The input focus moves: Xen says so in a line of its own.
const FOCUS: &[u8] = b"*** Serial input to ";
/// Xen's last message before it runs the first domain; it comes after the focus has moved.
const FREED: &[u8] = b"Freed ";
const XEN: &[u8] = b"(XEN) ";

/// The state between two reads of the serial line.
#[derive(Default)]
pub(crate) struct Splitter {
    line: Line,
    /// The start of a line, until it is known whose line it is; then Xen's message so far.
    held: Vec<u8>,
    carriage_return: bool,
    focus: Option<u16>,
    freed_expected: bool,
    /// Whether lines in focus must be searched for another focus message or another domain's name.
    shared: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Start,
    Of(Source),
}

impl Splitter {
    /// `shared` when the focus may move again, or several domains write.
    pub(crate) fn new(shared: bool) -> Self {
        Self { shared, ..Self::default() }
    }

    /// The domain that gets what is typed.
    pub(crate) fn focus(&self) -> Option<u16> {
        self.focus
    }

    /// Takes the next bytes and hands out the pieces.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut out: impl FnMut(Source, &[u8])) {
        for &byte in bytes {
            match (self.carriage_return, byte) {
                (false, b'\r') => self.carriage_return = true,
                (true, b'\r') => self.byte(b'\r', &mut out),
                (true, b'\n') => {
                    self.carriage_return = false;
                    self.byte(b'\n', &mut out);
                }
                (true, _) => {
                    self.carriage_return = false;
                    self.byte(b'\r', &mut out);
                    self.byte(byte, &mut out);
                }
                (false, _) => self.byte(byte, &mut out),
            }
        }
    }

    fn byte(&mut self, byte: u8, out: &mut impl FnMut(Source, &[u8])) {
        match self.line {
            Line::Of(Source::Domain(d)) => out(Source::Domain(d), &[byte]),
            _ => self.held.push(byte),
        }
        if self.line == Line::Start {
            self.decide(byte == b'\n', out);
        }
        if byte == b'\n' {
            if self.line == Line::Of(Source::Xen) {
                self.note_focus();
                out(Source::Xen, &std::mem::take(&mut self.held));
            }
            self.line = Line::Start;
        }
    }

    /// Finds out whose line `held` begins, once it is long enough to tell.
    fn decide(&mut self, complete: bool, out: &mut impl FnMut(Source, &[u8])) {
        let held = std::mem::take(&mut self.held);
        let verdict = if let Some(text) = held.strip_prefix(XEN) {
            self.decide_message(text)
        } else if XEN.starts_with(&held) {
            Verdict::Open
        } else {
            number(&held, b"(d", b") ")
        };
        match verdict {
            Verdict::Open if !complete => self.held = held,
            Verdict::Open | Verdict::Xen => {
                self.line = Line::Of(Source::Xen);
                self.held = held;
            }
            Verdict::Domain(domain, prefix) => {
                self.line = Line::Of(Source::Domain(domain));
                let skip = if held.starts_with(XEN) { XEN.len() + prefix } else { prefix };
                out(Source::Domain(domain), &held[skip..]);
            }
        }
    }

    /// The same for what follows `(XEN) `.
    fn decide_message(&mut self, text: &[u8]) -> Verdict {
        let Some(focus) = self.focus else { return number(text, b"DOM", b": ") };
        if self.freed_expected {
            match begins(text, FREED) {
                Some(true) => {
                    self.freed_expected = false;
                    return Verdict::Xen;
                }
                None => return Verdict::Open,
                Some(false) => self.freed_expected = false,
            }
        }
        if self.shared {
            match begins(text, FOCUS) {
                Some(true) => return Verdict::Xen,
                None => return Verdict::Open,
                Some(false) => {}
            }
            match number(text, b"DOM", b": ") {
                Verdict::Xen => {}
                other => return other,
            }
        }
        if text.is_empty() { Verdict::Open } else { Verdict::Domain(focus, 0) }
    }

    fn note_focus(&mut self) {
        let text = self.held.strip_prefix(XEN).unwrap_or(&self.held);
        if !text.starts_with(FOCUS) {
            return;
        }
        // dom0's own console does not go through a vpl011.
        self.focus = match number(&text[FOCUS.len()..], b"DOM", b" ") {
            Verdict::Domain(domain, _) if domain != 0 => Some(domain),
            _ => None,
        };
        self.freed_expected = self.focus.is_some();
    }
}

enum Verdict {
    /// Not enough bytes to tell.
    Open,
    Xen,
    /// This domain's, after a prefix of so many bytes.
    Domain(u16, usize),
}

/// Reads `before NUMBER after` at the start of `text`.
fn number(text: &[u8], before: &[u8], after: &[u8]) -> Verdict {
    match begins(text, before) {
        None => return Verdict::Open,
        Some(false) => return Verdict::Xen,
        Some(true) => {}
    }
    let rest = &text[before.len()..];
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let parsed = std::str::from_utf8(&rest[..digits]).ok().and_then(|n| n.parse().ok());
    match (parsed, begins(&rest[digits..], after)) {
        (Some(domain), Some(true)) => Verdict::Domain(domain, before.len() + digits + after.len()),
        (Some(_), None) => Verdict::Open,
        (None, _) if rest.is_empty() => Verdict::Open,
        _ => Verdict::Xen,
    }
}

/// Whether `text` begins with `word`; nothing if it is too short to tell.
fn begins(text: &[u8], word: &[u8]) -> Option<bool> {
    if text.len() >= word.len() {
        Some(text.starts_with(word))
    } else if word.starts_with(text) {
        None
    } else {
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces of every size and returns what each source wrote.
    fn split(shared: bool, text: &[u8]) -> (String, String, String) {
        let run = |size: usize| {
            let (mut xen, mut one, mut two) = (Vec::new(), Vec::new(), Vec::new());
            let mut splitter = Splitter::new(shared);
            for piece in text.chunks(size) {
                splitter.feed(piece, |source, bytes| match source {
                    Source::Xen => xen.extend_from_slice(bytes),
                    Source::Domain(1) => one.extend_from_slice(bytes),
                    Source::Domain(_) => two.extend_from_slice(bytes),
                });
            }
            let text = |bytes| String::from_utf8(bytes).unwrap();
            (text(xen), text(one), text(two))
        };
        let whole = run(text.len());
        for size in 1..text.len() {
            assert_eq!(run(size), whole, "pieces of {size}");
        }
        whole
    }

    const FOCUSED: &str = "(XEN) *** Serial input to DOM1 (type 'CTRL-a' three times to switch input)\r\n\
                           (XEN) Freed 340kB init memory.\r\n";

    #[test]
    fn the_guest_in_focus_gets_its_bytes_back() {
        let text = format!("{FOCUSED}(XEN) one\x1b[1m\r\r\n(XEN) \r\n(XEN) \rtwo\r\n(XEN) > ");
        let (xen, one, _) = split(false, text.as_bytes());
        assert_eq!(one, "one\x1b[1m\r\n\n\rtwo\n> ");
        assert!(xen.ends_with("(XEN) Freed 340kB init memory.\n"), "{xen}");
    }

    #[test]
    fn a_guest_may_write_as_xen_does() {
        let text = format!("{FOCUSED}(XEN) (XEN) DOM2: *** Serial input to DOM2\r\n(XEN) Freed\r\n");
        assert_eq!(split(false, text.as_bytes()).1, "(XEN) DOM2: *** Serial input to DOM2\nFreed\n");
    }

    #[test]
    fn lines_before_the_focus_and_console_io_are_found() {
        let text =
            " __  __\r\n(XEN) Xen version\r\n(XEN) DOM1: early\r\n(d2) by hypercall\r\n(XEN) DOMAIN\r\n";
        let (xen, one, two) = split(false, text.as_bytes());
        assert_eq!((one.as_str(), two.as_str()), ("early\n", "by hypercall\n"));
        assert_eq!(xen, " __  __\n(XEN) Xen version\n(XEN) DOMAIN\n");
    }

    #[test]
    fn several_domains_share_the_line() {
        let text = format!(
            "{FOCUSED}(XEN) focus\r\n(XEN) DOM2: other\r\n(XEN) *** Serial input to DOM2 (x)\r\n(XEN) now two\r\n"
        );
        let (_, one, two) = split(true, text.as_bytes());
        assert_eq!((one.as_str(), two.as_str()), ("focus\n", "other\nnow two\n"));
    }

    #[test]
    fn focus_on_dom0_is_no_guests() {
        let text = "(XEN) *** Serial input to DOM0 (x)\r\n(XEN) Freed 1kB\r\n(XEN) DOM1: a\r\n";
        assert_eq!(split(false, text.as_bytes()).1, "a\n");
    }
}
