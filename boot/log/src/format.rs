//! What a format string and its arguments may be, so that `core::fmt` and defmt both understand them.

/// Fails to compile unless `format` is in the common subset.
pub const fn check(format: &str) {
    assert!(
        is_portable(format),
        "use only {{}}, {{:?}}, {{:x}}, {{:#x}}, {{:08b}} and the like, each with an argument after the string"
    );
}

const fn is_portable(format: &str) -> bool {
    let mut rest = format.as_bytes();
    loop {
        rest = match rest {
            [] => return true,
            [b'{', b'{', tail @ ..] | [b'}', b'}', tail @ ..] => tail,
            [b'{', b'}', tail @ ..] | [b'{', b':', b'?', b'}', tail @ ..] => tail,
            [b'{', b':', spec @ ..] => match integer(spec) {
                Some(tail) => tail,
                None => return false,
            },
            [b'{' | b'}', ..] => return false,
            [_, tail @ ..] => tail,
        };
    }
}

/// `["#"] ["0" width] ("x" | "X" | "b" | "o") "}"`; returns what follows.
const fn integer(spec: &[u8]) -> Option<&[u8]> {
    let mut rest = match spec {
        [b'#', tail @ ..] => tail,
        _ => spec,
    };
    if let [b'0', b'1'..=b'9', ..] = rest {
        while let [b'0'..=b'9', tail @ ..] = rest {
            rest = tail;
        }
    }
    match rest {
        [b'x' | b'X' | b'b' | b'o', b'}', tail @ ..] => Some(tail),
        _ => None,
    }
}

/// Chooses how an argument goes into a frame. Method lookup on `&&&Arg` tries [`ByFormat`], then
/// [`ByDisplay`], then [`ByDebug`]: each is implemented for one `&` less than the one before.
#[cfg(feature = "defmt")]
pub mod wire {
    use core::fmt::{Debug, Display};
    use defmt::{Debug2Format, Display2Format, Format};

    /// An argument of a log message.
    pub struct Arg<'a, T: ?Sized>(pub &'a T);

    /// In binary.
    pub trait ByFormat<'a, T: ?Sized> {
        /// What defmt is given.
        fn wire(&self) -> &'a T;
    }
    impl<'a, T: Format + ?Sized> ByFormat<'a, T> for &&Arg<'a, T> {
        fn wire(&self) -> &'a T {
            self.0
        }
    }

    /// As the text of its `Display`.
    pub trait ByDisplay<'a, T: Display + ?Sized> {
        /// What defmt is given.
        fn wire(&self) -> Display2Format<'a, T>;
    }
    impl<'a, T: Display + ?Sized> ByDisplay<'a, T> for &Arg<'a, T> {
        fn wire(&self) -> Display2Format<'a, T> {
            Display2Format(self.0)
        }
    }

    /// As the text of its `Debug`.
    pub trait ByDebug<'a, T: Debug + ?Sized> {
        /// What defmt is given.
        fn wire(&self) -> Debug2Format<'a, T>;
    }
    impl<'a, T: Debug + ?Sized> ByDebug<'a, T> for Arg<'a, T> {
        fn wire(&self) -> Debug2Format<'a, T> {
            Debug2Format(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_portable;

    #[test]
    fn the_common_subset_of_both_format_languages() {
        for good in [
            "",
            "plain",
            "{}",
            "{:?}",
            "a {} b {:?}",
            "{{}}",
            "{{{}}}",
            "{:x}",
            "{:#X}",
            "{:08b}",
            "{:#010x}",
        ] {
            assert!(is_portable(good), "{good}");
        }
        for bad in [
            "{", "}", "{a}", "{0}", "{a:?}", "{:#?}", "{:5}", "{:>5}", "{:.2}", "{:08}", "{:0x}", "{=u8}",
            "{:us}", "{:", "{:x", "{:8x}", "a } b", "{{}",
        ] {
            assert!(!is_portable(bad), "{bad}");
        }
    }
}
