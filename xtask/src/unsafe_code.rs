//! Finds unsafe code in one source file, and the reasons given for it.

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What `unsafe` stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Block,
    Function,
    Impl,
    /// An attribute, an extern block, a trait.
    Other,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Function => "function",
            Self::Impl => "impl",
            Self::Other => "item",
        }
    }

    /// A block or an impl claims that something holds; the others ask it of somebody else.
    pub(crate) fn needs_reason(self) -> bool {
        matches!(self, Self::Block | Self::Impl)
    }
}

/// One use of the word.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
    pub(crate) has_reason: bool,
}

/// What a file holds.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Without blank lines and comments.
    pub(crate) lines: usize,
    pub(crate) pieces: Vec<Piece>,
}

pub(crate) fn scan(source: &str) -> Result<Scan> {
    let tokens: TokenStream =
        source.parse().map_err(|e: proc_macro2::LexError| anyhow!("{e} at {:?}", e.span().start()))?;
    let lines: Vec<&str> = source.lines().collect();
    let mut pieces = Vec::new();
    find(tokens, &lines, &mut pieces);
    let is_code = |line: &&&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    Ok(Scan { lines: lines.iter().filter(is_code).count(), pieces })
}

/// Walks all tokens, those inside macros included, so that nothing hides in one.
fn find(tokens: TokenStream, lines: &[&str], pieces: &mut Vec<Piece>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(word) if word == "unsafe" => {
                let start = word.span().start();
                if let Some(kind) = kind_of(&tokens[at + 1..]) {
                    pieces.push(Piece {
                        kind,
                        line: start.line,
                        has_reason: has_reason(lines, start.line, start.column),
                    });
                }
            }
            TokenTree::Group(group) => find(group.stream(), lines, pieces),
            _ => {}
        }
    }
}

/// What follows `unsafe`; `None` for a function pointer's type, which is neither code nor a promise.
fn kind_of(after: &[TokenTree]) -> Option<Kind> {
    let is = |token: Option<&TokenTree>, word: &str| matches!(token, Some(TokenTree::Ident(i)) if i == word);
    let mut rest = after;
    if is(rest.first(), "extern") {
        rest = &rest[1..];
        if matches!(rest.first(), Some(TokenTree::Literal(_))) {
            rest = &rest[1..];
        }
        if !is(rest.first(), "fn") {
            return Some(Kind::Other);
        }
    }
    match rest.first() {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => Some(Kind::Block),
        _ if is(rest.first(), "impl") => Some(Kind::Impl),
        _ if is(rest.first(), "fn") => match rest.get(1) {
            Some(TokenTree::Group(_)) => None,
            _ => Some(Kind::Function),
        },
        _ => Some(Kind::Other),
    }
}

/// Whether a comment that says `SAFETY: why` stands directly before the statement around `line` and `column`.
fn has_reason(lines: &[&str], line: usize, column: usize) -> bool {
    let says_why =
        |text: &str| text.split_once("SAFETY:").is_some_and(|(_, why)| why.chars().any(char::is_alphabetic));
    let before: String = lines[line - 1].chars().take(column).collect();
    if before.contains("/*") && says_why(&before) {
        return true;
    }
    for above in lines[..line - 1].iter().rev().map(|l| l.trim()) {
        if above.starts_with("//") {
            if says_why(above) {
                return true;
            }
        } else if above.is_empty() || above.ends_with([';', '{', '}', ',']) {
            // The statement before this one, or the start of what surrounds it.
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(source: &str) -> Vec<(Kind, usize, bool)> {
        scan(source).expect("parses").pieces.into_iter().map(|p| (p.kind, p.line, p.has_reason)).collect()
    }

    #[test]
    fn kinds() {
        let found = pieces(
            "unsafe fn f() {}\nunsafe impl A for B {}\nunsafe trait C {}\nunsafe extern \"C\" { fn g(); }\n\
             pub unsafe extern \"C\" fn h() {}\n#[unsafe(no_mangle)] fn i() { unsafe { f() } }\n\
             type P = unsafe extern \"C\" fn(u8);\n",
        );
        let kinds: Vec<_> = found.iter().map(|f| (f.0, f.1)).collect();
        assert_eq!(
            kinds,
            [
                (Kind::Function, 1),
                (Kind::Impl, 2),
                (Kind::Other, 3),
                (Kind::Other, 4),
                (Kind::Function, 5),
                (Kind::Other, 6),
                (Kind::Block, 6)
            ]
        );
    }

    #[test]
    fn only_code_counts() {
        assert_eq!(
            pieces("// unsafe { }\n/// unsafe fn\nfn f() -> &str { \"unsafe { }\" } /* unsafe {} */"),
            []
        );
        assert_eq!(pieces("let c = 'u'; let r = r#\"unsafe { }\"#; #![allow(unsafe_code)]"), []);
    }

    #[test]
    fn nothing_hides_in_a_macro() {
        assert_eq!(pieces("macro_rules! m { () => { unsafe { f() } }; }"), [(Kind::Block, 1, false)]);
    }

    #[test]
    fn reasons_before_the_statement() {
        for good in [
            "// SAFETY: ours.\nunsafe { f() };",
            "// SAFETY: ours,\n// and longer.\nlet x = unsafe { f() };",
            "// SAFETY: ours.\nlet x =\n    unsafe { f() };",
            "// SAFETY: ours.\n#[inline]\nunsafe impl Send for X {}",
            "match x {\n    // SAFETY: ours.\n    1 => unsafe { f() },\n}",
            "/* SAFETY: ours. */ unsafe { f() }",
        ] {
            assert!(pieces(good).iter().all(|p| p.2), "{good}");
        }
    }

    #[test]
    fn what_is_not_a_reason() {
        for bad in [
            "unsafe { f() };",
            "// It is fine.\nunsafe { f() };",
            "// SAFETY:\nunsafe { f() };",
            "// SAFETY: ours.\n\nunsafe { f() };",
            "// SAFETY: ours.\nlet a = unsafe { f() };\nlet b = unsafe { f() };",
            "// SAFETY: ours.\nfn g() {\n    unsafe { f() }\n}",
            "let s = \"SAFETY: no\"; unsafe { f() };",
            "unsafe { f() }; // SAFETY: too late.",
        ] {
            assert!(pieces(bad).iter().any(|p| !p.2), "{bad}");
        }
    }

    #[test]
    fn lines_without_blanks_and_comments() {
        assert_eq!(scan("//! x\n\nfn f() {\n    // y\n}\n").expect("parses").lines, 2);
    }
}
