//! What the generator is seeded with, and where it came from.

use crate::generator::Generator;
use crate::random::Random;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use zeroize::Zeroize;

/// How many bits nobody may be able to guess before numbers are drawn, and before what is added later goes in.
const ENOUGH: u32 = 128;

/// Where entropy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The instruction of ARM (FEAT_RNG).
    Rndr,
    /// The instruction of x86.
    Rdrand,
    /// `rng-seed` in the device tree.
    DeviceTree,
    /// `seed=` on the command line.
    CommandLine,
    /// `data/seed` in Xenstore.
    Xenstore,
    /// How long work takes, measured by a timer.
    Jitter,
    /// What differs from boot to boot, and is worth nothing: times, addresses.
    Circumstance,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rndr => "RNDR",
            Self::Rdrand => "RDRAND",
            Self::DeviceTree => "device tree",
            Self::CommandLine => "command line",
            Self::Xenstore => "Xenstore",
            Self::Jitter => "jitter",
            Self::Circumstance => "circumstance",
        })
    }
}

/// What a source has given so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Which one.
    pub source: Source,
    /// What it was credited with.
    pub bits: u64,
    /// Why that is not more, if there is a reason.
    pub remark: Option<&'static str>,
}

/// Entropy as it is gathered. Clones are the same one.
#[derive(Clone)]
pub struct Entropy(Rc<RefCell<State>>);

pub(crate) struct State {
    pub(crate) generator: Generator,
    /// What the generator's pool is worth.
    pending: u32,
    seeded: bool,
    given: Vec<Given>,
    waiting: Vec<Waker>,
}

impl State {
    fn given(&mut self, source: Source) -> &mut Given {
        let index = self.given.iter().position(|given| given.source == source).unwrap_or_else(|| {
            self.given.push(Given { source, bits: 0, remark: None });
            self.given.len() - 1
        });
        &mut self.given[index]
    }
}

impl Entropy {
    /// None yet.
    pub fn new() -> Self {
        Self::on(Generator::new([0; 32]), false)
    }

    pub(crate) fn on(generator: Generator, seeded: bool) -> Self {
        let (given, waiting) = (Vec::new(), Vec::new());
        Self(Rc::new(RefCell::new(State { generator, pending: 0, seeded, given, waiting })))
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }

    /// Adds what a source gave. It is worth `bits` at most: that many times somebody who knows all about the source
    /// has to halve what it can be.
    pub fn add(&self, source: Source, bytes: &[u8], bits: u32) {
        let bits = bits.min(bytes.len().saturating_mul(8).min(256) as u32);
        let waiting = self.with(|state| {
            state.generator.add(source as u8, bytes);
            state.given(source).bits += u64::from(bits);
            state.pending = state.pending.saturating_add(bits);
            if state.pending < ENOUGH {
                return Vec::new();
            }
            state.generator.reseed();
            (state.pending, state.seeded) = (0, true);
            core::mem::take(&mut state.waiting)
        });
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Adds a secret that somebody else has drawn, of which each bit counts, if there are enough of them.
    pub fn add_secret(&self, source: Source, secret: &[u8]) {
        let remark = match secret {
            [] => Some("empty"),
            [first, rest @ ..] if rest.iter().all(|byte| byte == first) => Some("no secret"),
            _ if secret.len() < ENOUGH as usize / 8 => Some("shorter than 128 bits"),
            _ => None,
        };
        self.add(source, secret, if remark.is_some() { 0 } else { u32::MAX });
        self.remark(source, remark);
    }

    /// The same of one that is written in hexadecimal digits.
    pub fn add_digits(&self, source: Source, text: &[u8]) {
        let text = text.trim_ascii();
        let mut bytes = Vec::with_capacity(text.len() / 2);
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let pairs = text.chunks(2).map_while(|pair| match pair {
            [high, low] => Some((digit(*high)? << 4 | digit(*low)?) as u8),
            _ => None,
        });
        bytes.extend(pairs);
        if bytes.len() * 2 == text.len() {
            self.add_secret(source, &bytes);
        } else {
            self.add(source, text, 0);
            self.remark(source, Some("not an even number of hexadecimal digits"));
        }
        bytes.zeroize();
    }

    /// Notes why a source gives nothing, or less than it might; or, with `None`, that it does.
    pub fn remark(&self, source: Source, remark: Option<&'static str>) {
        self.with(|state| state.given(source).remark = remark);
    }

    /// Whether numbers can be drawn.
    pub fn is_seeded(&self) -> bool {
        self.with(|state| state.seeded)
    }

    /// What draws numbers, if there is enough to draw from.
    pub fn random(&self) -> Option<Random> {
        self.is_seeded().then(|| Random(self.clone()))
    }

    /// Waits until there is enough.
    pub async fn seeded(&self) -> Random {
        poll_fn(|cx| match self.random() {
            Some(random) => Poll::Ready(random),
            None => {
                self.with(|state| {
                    if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                        state.waiting.push(cx.waker().clone());
                    }
                });
                Poll::Pending
            }
        })
        .await
    }

    /// What the sources that were heard of have given, in the order they were.
    pub fn sources(&self) -> Vec<Given> {
        self.with(|state| state.given.clone())
    }
}

impl Default for Entropy {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entropy").finish_non_exhaustive()
    }
}

/// Who gave something, and how much: "RNDR 256 bits, jitter 128 bits".
impl fmt::Display for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for Given { source, bits, .. } in self.sources().iter().filter(|given| given.bits > 0) {
            write!(f, "{separator}{source} {bits} bits")?;
            separator = ", ";
        }
        if separator.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::sync::Arc;
    use alloc::task::Wake;
    use core::pin::pin;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use core::task::Context;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn nothing_is_drawn_before_there_is_enough() {
        let (entropy, count) = (Entropy::new(), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        let mut wait = pin!(entropy.seeded());
        for _ in 0..3 {
            entropy.add(Source::Jitter, &[1; 64], 40);
            assert!(wait.as_mut().poll(&mut cx).is_pending() && entropy.random().is_none());
        }
        // However much there is of what is worth nothing.
        entropy.add(Source::Circumstance, &[1; 64], 0);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        entropy.add(Source::Xenstore, &[7], 100);
        assert!(wait.as_mut().poll(&mut cx).is_ready() && entropy.is_seeded());
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(entropy.to_string(), "jitter 120 bits, Xenstore 8 bits");
    }

    #[test]
    fn secrets_count_if_they_are_long_enough_and_make_sense() {
        let bits = |text: &str| {
            let entropy = Entropy::new();
            entropy.add_digits(Source::CommandLine, text.as_bytes());
            assert_eq!(entropy.is_seeded(), entropy.sources()[0].remark.is_none(), "{text}");
            entropy.sources()[0].bits
        };
        assert_eq!(bits("00112233445566778899aabbccddeeff"), 128);
        assert_eq!(bits(" 00112233445566778899AABBCCDDEEFF00\n"), 136);
        assert_eq!(bits(&"0123456789abcdef".repeat(20)), 256);
        for text in [
            "",
            "0",
            "00112233445566778899aabbccddee",
            "00112233445566778899aabbccddeef",
            "00112233445566778899aabbccddeefx",
            "0x112233445566778899aabbccddeeff",
            "00000000000000000000000000000000",
        ] {
            assert_eq!(bits(text), 0, "{text}");
        }
    }

    #[test]
    fn sources_say_what_is_wrong_with_them() {
        let entropy = Entropy::new();
        assert_eq!(entropy.to_string(), "none");
        entropy.remark(Source::Rndr, Some("absent"));
        entropy.add(Source::DeviceTree, &[3; 100], 800);
        let expected = [(Source::Rndr, 0, Some("absent")), (Source::DeviceTree, 256, None)];
        assert_eq!(entropy.sources(), expected.map(|(source, bits, remark)| Given { source, bits, remark }));
    }
}
