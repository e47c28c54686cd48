//! Boot information, image headers, heap, panic and log sink.
#![cfg_attr(not(test), no_std)]
#![allow(unsafe_code, reason = "below the wall: memory and the end of the machine")]

pub mod heap;
pub mod info;
pub mod last_words;
pub mod words;

/// The image's allocator.
#[cfg_attr(all(target_os = "none", not(test)), global_allocator)]
pub static MEMORY: heap::Memory = heap::Memory::new();

/// Names the function an image starts with: `fn(Boot) -> !`, where `Boot` is its board's.
///
/// The linker needs an unmangled name, which is code outside the wall cannot give it; so this is the one
/// line of an image that is not `forbid(unsafe_code)`, and its application lives in its library.
#[macro_export]
macro_rules! entry {
    ($main:path, $boot:ty) => {
        #[allow(unsafe_code, reason = "an unmangled name; the type is checked here")]
        // SAFETY: arch-*/src/start.rs declares this very function, and calls it once.
        #[unsafe(no_mangle)]
        fn __fata_main(boot: $boot) -> ! {
            let main: fn($boot) -> ! = $main;
            main(boot)
        }
    };
}
