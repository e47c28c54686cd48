//! Memory that somebody else may be changing.
//!
//! There is no way to get a `&[u8]` to it: bytes are copied in and out, each exactly once, and counters are
//! atomics. Offsets come from the caller's own layout, not from the memory, so one that is out of bounds is a
//! bug of the caller and panics.

mod copy;
mod sum;

pub use sum::sum_of_words;

use crate::platform::{Gfn, PAGE_SIZE, Platform};
use crate::xen::Xen;
use alloc::rc::Rc;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering, fence};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Memory shared with Xen or with another domain.
pub trait SharedMem {
    /// Its length in bytes.
    fn size(&self) -> usize;

    /// Reads a word; what the peer wrote before it stored this value is then visible (acquire).
    fn load(&self, offset: usize) -> u32;

    /// Writes a word; a peer that sees it sees also what we wrote before (release).
    fn store(&self, offset: usize, value: u32);

    /// Copies bytes in, reading each once.
    fn copy_in(&self, offset: usize, into: &mut [u8]);

    /// Copies bytes out.
    fn copy_out(&self, offset: usize, from: &[u8]);

    /// Orders our stores before our later loads, which `load` and `store` do not do: between publishing an
    /// index and looking whether the peer still waits for it.
    fn fence(&self) {
        fence(Ordering::SeqCst);
    }

    /// Copies a value in.
    fn read<T: FromBytes + IntoBytes>(&self, offset: usize) -> T
    where
        Self: Sized,
    {
        let mut value = T::new_zeroed();
        self.copy_in(offset, value.as_mut_bytes());
        value
    }

    /// Copies a value out.
    fn write<T: IntoBytes + Immutable>(&self, offset: usize, value: &T)
    where
        Self: Sized,
    {
        self.copy_out(offset, value.as_bytes());
    }
}

/// Shared memory in which bits of a word can be changed without disturbing its others, which the peer changes too.
pub trait SharedBits: SharedMem {
    /// Clears and then sets bits of a word, all at once, after all our stores and before all our later loads. Gives what
    /// the word was before; `None` if the peer kept changing it, so that we gave up: it must not hold us here (XSA-295).
    fn update(&self, offset: usize, clear: u32, set: u32) -> Option<u32>;
}

impl<M: SharedBits + ?Sized> SharedBits for Rc<M> {
    fn update(&self, offset: usize, clear: u32, set: u32) -> Option<u32> {
        (**self).update(offset, clear, set)
    }
}

impl<M: SharedMem + ?Sized> SharedMem for Rc<M> {
    fn size(&self) -> usize {
        (**self).size()
    }
    fn load(&self, offset: usize) -> u32 {
        (**self).load(offset)
    }
    fn store(&self, offset: usize, value: u32) {
        (**self).store(offset, value);
    }
    fn copy_in(&self, offset: usize, into: &mut [u8]) {
        (**self).copy_in(offset, into);
    }
    fn copy_out(&self, offset: usize, from: &[u8]) {
        (**self).copy_out(offset, from);
    }
    fn fence(&self) {
        (**self).fence();
    }
}

/// Implements [`SharedMem`] for a type that has a region.
macro_rules! shared_mem_of_region {
    ($type:ident, $($region:tt)+) => {
        impl<P: $crate::platform::Platform> $crate::mem::SharedMem for $type<P> {
            fn size(&self) -> usize {
                self.$($region)+.size()
            }
            fn load(&self, offset: usize) -> u32 {
                self.$($region)+.load(offset)
            }
            fn store(&self, offset: usize, value: u32) {
                self.$($region)+.store(offset, value);
            }
            fn copy_in(&self, offset: usize, into: &mut [u8]) {
                self.$($region)+.copy_in(offset, into);
            }
            fn copy_out(&self, offset: usize, from: &[u8]) {
                self.$($region)+.copy_out(offset, from);
            }
        }

        impl<P: $crate::platform::Platform> $crate::mem::SharedBits for $type<P> {
            fn update(&self, offset: usize, clear: u32, set: u32) -> Option<u32> {
                $crate::mem::SharedBits::update(&self.$($region)+, offset, clear, set)
            }
        }
    };
}
pub(crate) use shared_mem_of_region;

/// A page that Xen or the toolstack set aside for this domain to share with a backend.
pub struct SharedPage<P: Platform> {
    region: Region,
    /// The mapping lasts as long as the platform.
    _xen: Rc<Xen<P>>,
}

impl<P: Platform> SharedPage<P> {
    pub(crate) fn map(xen: &Rc<Xen<P>>, frame: Gfn) -> Option<Self> {
        let base = xen.platform().map_frame(frame)?;
        // SAFETY: `map_frame` returns a page that stays valid as long as the platform, which `_xen` keeps, and
        // that is no ordinary Rust memory.
        let region = unsafe { Region::new(base, PAGE_SIZE) };
        Some(Self { region, _xen: xen.clone() })
    }

    /// Where it is, for whoever debugs.
    pub fn address(&self) -> usize {
        self.region.address()
    }
}

shared_mem_of_region!(SharedPage, region);

impl<P: Platform> fmt::Debug for SharedPage<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.region.fmt(f)
    }
}

/// The bounds of shared memory, and all raw access to it.
#[derive(Debug)]
pub struct Region {
    base: NonNull<u8>,
    size: usize,
}

impl Region {
    /// Describes the `size` bytes from `base`.
    ///
    /// # Safety
    ///
    /// They must be valid for reads and writes for as long as the value lives, initialised, and never reached
    /// through a reference. `base` must be aligned to 8 bytes.
    pub const unsafe fn new(base: NonNull<u8>, size: usize) -> Self {
        Self { base, size }
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> usize {
        self.base.as_ptr() as usize
    }

    /// No memory at all.
    pub(crate) const EMPTY: Self = Self { base: NonNull::<u64>::dangling().cast(), size: 0 };

    /// The same memory again, for as long.
    pub(crate) const fn alias(&self) -> Self {
        Self { base: self.base, size: self.size }
    }

    /// The address of `len` bytes at `offset`.
    fn at(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(offset <= self.size && len <= self.size - offset, "access outside of shared memory");
        self.base.as_ptr().wrapping_add(offset)
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(align_of::<AtomicU32>()), "unaligned word in shared memory");
        // SAFETY: in bounds and aligned, both just checked; valid by `new`'s contract.
        unsafe { AtomicU32::from_ptr(self.at(offset, size_of::<u32>()).cast()) }
    }
}

impl SharedMem for Region {
    fn size(&self) -> usize {
        self.size
    }

    fn load(&self, offset: usize) -> u32 {
        self.word(offset).load(Ordering::Acquire)
    }

    fn store(&self, offset: usize, value: u32) {
        self.word(offset).store(value, Ordering::Release);
    }

    fn copy_in(&self, offset: usize, into: &mut [u8]) {
        let from = self.at(offset, into.len());
        // SAFETY: `at` has checked the range, which is valid by `new`'s contract; `into` is ours, and no part of it.
        unsafe { copy::bytes(from, into.as_mut_ptr(), into.len()) };
    }

    fn copy_out(&self, offset: usize, from: &[u8]) {
        let to = self.at(offset, from.len());
        // SAFETY: as above.
        unsafe { copy::bytes(from.as_ptr(), to, from.len()) };
    }
}

/// Tries at a word that the peer is changing.
const TRIES: usize = 256;

impl SharedBits for Region {
    fn update(&self, offset: usize, clear: u32, set: u32) -> Option<u32> {
        let word = self.word(offset);
        // Not `fetch_or`, which may be a loop of loads and stores that a peer keeps from ending, and of
        // compare-and-exchange the kind that does not loop either.
        for _ in 0..TRIES {
            let now = word.load(Ordering::Relaxed);
            let new = now & !clear | set;
            if word.compare_exchange_weak(now, new, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
                fence(Ordering::SeqCst);
                return Some(now);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// A region of zeroes and what owns it.
    fn region(words: usize) -> (Vec<u64>, Region) {
        let mut memory = vec![0u64; words];
        let base = NonNull::new(memory.as_mut_ptr().cast()).unwrap();
        // SAFETY: the vector outlives the region in each test and is not touched meanwhile.
        (memory, unsafe { Region::new(base, words * 8) })
    }

    #[test]
    fn copies_are_exact_at_every_alignment_and_length() {
        // Longer than two rounds of the quickest loop.
        const SIZE: usize = 2400;
        let (_memory, region) = region(SIZE / 8);
        let pattern: Vec<u8> = (1..=SIZE).map(|n| n as u8).collect();
        for offset in 0..24 {
            for len in (0..=40).chain(60..=70).chain([128, 270, 1023, 1024, 1025, 1090, 2048, 2375]) {
                region.copy_out(0, &[0xee; SIZE]);
                region.copy_out(offset, &pattern[..len]);
                let mut all = [0; SIZE];
                region.copy_in(0, &mut all);
                assert!(all[..offset].iter().chain(&all[offset + len..]).all(|&b| b == 0xee));
                assert_eq!(all[offset..offset + len], pattern[..len]);
                let mut part = vec![0; len];
                region.copy_in(offset, &mut part);
                assert_eq!(part, pattern[..len]);
            }
        }
    }

    #[test]
    fn values_and_words_agree() {
        let (_memory, region) = region(2);
        region.write(4, &0x1234_5678u32);
        assert_eq!(region.load(4), 0x1234_5678);
        region.store(8, 7);
        assert_eq!(region.read::<u32>(8), 7);
        assert_eq!(region.read::<u8>(8), 7);
    }

    #[test]
    fn bits_are_changed_alone() {
        let (_memory, region) = region(1);
        region.store(4, 0x0f0f_0f0f);
        assert_eq!(region.update(4, 0x00ff_0000, 0x00f0_0001), Some(0x0f0f_0f0f));
        assert_eq!(region.load(4), 0x0ff0_0f0f);
        assert_eq!(region.load(0), 0);
    }

    #[test]
    #[should_panic(expected = "outside of shared memory")]
    fn an_offset_past_the_end_is_refused() {
        let (_memory, region) = region(1);
        region.copy_in(usize::MAX, &mut [0; 2]);
    }

    #[test]
    #[should_panic(expected = "unaligned")]
    fn an_unaligned_word_is_refused() {
        let (_memory, region) = region(1);
        region.load(2);
    }
}
