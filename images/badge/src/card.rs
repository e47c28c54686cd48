//! What a unikernel says of itself, in three forms.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use embedded_io_async::{Read, Write};
use fata_http::{Error, Exchange, Method, Request, Status, accept};

/// Where it says so (RFC 8615), and the same in one form each.
pub const PLACE: &str = "/.well-known/unikernel";

/// Of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it was built from.
    pub build: &'a str,
    /// Where people find it, if they do.
    pub url: Option<&'a str>,
    /// How long it has been running.
    pub uptime_s: u64,
    /// From its first instruction to when it served.
    pub boot_us: u64,
    /// Bytes of memory that it has, and of those in use.
    pub memory_bytes: u64,
    /// Program, stacks and heap.
    pub used_bytes: u64,
}

/// The forms, in the order of preference.
const TYPES: [&str; 3] = ["text/plain", "application/json", "image/svg+xml"];
const ENDINGS: [&str; 3] = [".txt", ".json", ".svg"];

impl Card<'_> {
    /// Whether a request is for it, and for which form; without an ending the client's wishes count.
    pub fn is_asked(request: &Request<'_>) -> Option<usize> {
        match request.path.strip_prefix(PLACE)? {
            "" => Some(accept(request.fields, &TYPES).unwrap_or(0)),
            ending => ENDINGS.iter().position(|known| *known == ending),
        }
    }

    /// Answers a request for it in a form.
    pub async fn answer<T: Read + Write>(
        &self,
        form: usize,
        request: &Request<'_>,
        exchange: &mut Exchange<'_, T>,
    ) -> Result<(), Error> {
        if !matches!(request.method, Method::Get | Method::Head) {
            return exchange.reply(Status::METHOD_NOT_ALLOWED).header("Allow", "GET, HEAD").empty().await;
        }
        let text = match form {
            0 => self.text(),
            1 => self.json(),
            _ => self.svg(),
        };
        exchange
            .reply(Status::OK)
            .header("Content-Type", TYPES.get(form).copied().unwrap_or(TYPES[0]))
            .header("Cache-Control", "no-cache")
            .header("Vary", "Accept")
            .header("X-Content-Type-Options", "nosniff")
            .body(text.as_bytes())
            .await
    }

    /// Lines for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "name    {}", self.name);
        let _ = writeln!(out, "build   {}", self.build);
        if let Some(url) = self.url {
            let _ = writeln!(out, "url     {url}");
        }
        let _ = writeln!(out, "uptime  {}", Uptime(self.uptime_s));
        let _ = writeln!(out, "boot    {}.{:03} ms", self.boot_us / 1000, self.boot_us % 1000);
        let _ = writeln!(out, "memory  {} of {}", Size(self.used_bytes), Size(self.memory_bytes));
        out
    }

    /// An object (RFC 8259). Numbers are in the units that their names say.
    pub fn json(&self) -> String {
        let mut out = String::from("{");
        for (name, value) in [("name", Some(self.name)), ("build", Some(self.build)), ("url", self.url)] {
            if let Some(value) = value {
                let _ = write!(out, "\"{name}\":\"{}\",", Escaped(value));
            }
        }
        let numbers = [
            ("uptime_s", self.uptime_s),
            ("boot_us", self.boot_us),
            ("memory_bytes", self.memory_bytes),
            ("used_bytes", self.used_bytes),
        ];
        for (at, (name, value)) in numbers.into_iter().enumerate() {
            let _ = write!(out, "{}\"{name}\":{value}", if at == 0 { "" } else { "," });
        }
        out.push_str("}\n");
        out
    }

    /// A badge to be shown on a page.
    pub fn svg(&self) -> String {
        let mut said = String::new();
        let _ = write!(said, "up {}, {}", Uptime(self.uptime_s), Size(self.used_bytes));
        let (left, right) = (width(self.name), width(&said));
        let all = left + right;
        let mut out = String::new();
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{all}\" height=\"20\" role=\"img\" \
             aria-label=\"{name}: {said}\"><title>{name}: {said}</title>\
             <clipPath id=\"r\"><rect width=\"{all}\" height=\"20\" rx=\"3\"/></clipPath>\
             <g clip-path=\"url(#r)\"><rect width=\"{left}\" height=\"20\" fill=\"#444\"/>\
             <rect x=\"{left}\" width=\"{right}\" height=\"20\" fill=\"#17806d\"/></g>\
             <g fill=\"#fff\" font-family=\"DejaVu Sans Mono,Menlo,Consolas,monospace\" font-size=\"11\">\
             <text x=\"{PADDING}\" y=\"14\" textLength=\"{left_text}\">{name}</text>\
             <text x=\"{right_at}\" y=\"14\" textLength=\"{right_text}\">{said}</text></g></svg>",
            name = Marked(self.name),
            left_text = left - 2 * PADDING,
            right_at = left + PADDING,
            right_text = right - 2 * PADDING,
        );
        out
    }
}

/// Around each text of a badge.
const PADDING: usize = 6;
/// Of a letter, in the font of that size.
const LETTER: usize = 7;

fn width(text: &str) -> usize {
    2 * PADDING + LETTER * text.chars().count().max(1)
}

/// `3 d 4 h`, two units at most.
struct Uptime(u64);

impl fmt::Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0;
        match (s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60) {
            (0, 0, 0, s) => write!(f, "{s} s"),
            (0, 0, min, s) => write!(f, "{min} min {s} s"),
            (0, h, min, _) => write!(f, "{h} h {min} min"),
            (d, h, _, _) => write!(f, "{d} d {h} h"),
        }
    }
}

/// `12.3 MiB`.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0 / 1024 * 10 / 1024;
        write!(f, "{}.{} MiB", tenths / 10, tenths % 10)
    }
}

/// As JSON has it.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '"' | '\\' => write!(f, "\\{c}"),
            c if c < ' ' => write!(f, "\\u{:04x}", c as u32),
            c => f.write_char(c),
        })
    }
}

/// As XML has it. What it cannot have is left out.
struct Marked<'a>(&'a str);

impl fmt::Display for Marked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '&' => f.write_str("&amp;"),
            '"' => f.write_str("&quot;"),
            c if c < ' ' => Ok(()),
            c => f.write_char(c),
        })
    }
}

/// What it was built from, in words: the program, and what `FATA_BUILD` said when it was compiled, a commit perhaps.
pub fn build(program: &str, version: &str) -> String {
    let words: Vec<_> = [program, version, option_env!("FATA_BUILD").unwrap_or("")]
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: Card<'_> = Card {
        name: "a<b> \"c\"",
        build: "badge 0.1.0",
        url: Some("https://example.org/"),
        uptime_s: 3 * 86_400 + 4 * 3600 + 59,
        boot_us: 12_345,
        memory_bytes: 16 << 20,
        used_bytes: 1_500_000,
    };

    #[test]
    fn it_speaks_to_people_and_machines() {
        assert_eq!(
            CARD.text(),
            "name    a<b> \"c\"\nbuild   badge 0.1.0\nurl     https://example.org/\nuptime  3 d 4 h\n\
             boot    12.345 ms\nmemory  1.4 MiB of 16.0 MiB\n"
        );
        let json: serde_json::Value = serde_json::from_str(&CARD.json()).unwrap();
        assert_eq!(json["name"], CARD.name);
        assert_eq!(json["url"], "https://example.org/");
        assert_eq!(json["uptime_s"], 273_659);
        assert_eq!(json["used_bytes"], 1_500_000);
        let none = Card { url: None, name: "\u{1}\\", ..CARD };
        let json: serde_json::Value = serde_json::from_str(&none.json()).unwrap();
        assert_eq!(json["name"], none.name);
        assert!(json.get("url").is_none());
    }

    #[test]
    fn a_badge_is_as_wide_as_what_it_says() {
        let svg = CARD.svg();
        assert!(svg.contains("aria-label=\"a&lt;b&gt; &quot;c&quot;: up 3 d 4 h, 1.4 MiB\""), "{svg}");
        // 8 letters and 19, with room around them.
        assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"213\""), "{svg}");
    }

    #[test]
    fn uptimes_are_short() {
        for (s, text) in
            [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90_000, "1 d 1 h")]
        {
            assert_eq!(Uptime(s).to_string(), text);
        }
    }
}
