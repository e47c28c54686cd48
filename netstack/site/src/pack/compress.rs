//! Smaller forms of files, where they are worth it.

use super::{Entry, mime};
use crate::Encoding;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Raised when the same bytes are compressed otherwise.
const RECIPE: u32 = 1;
/// A file shorter than this fits into the same packets anyhow.
const WORTH: usize = 512;
/// Brotli's own choice for pages that are compressed once and sent often is 11; 9 takes a tenth of its time and costs some
/// hundredths of the length.
const BROTLI_QUALITY: i32 = 9;
const BROTLI_WINDOW: i32 = 22;

/// Adds to each file the forms that are worth it, with all processors. What has been compressed once is remembered in the
/// directory `cache`, if there is one. Says how many files had to be compressed.
pub fn compress(files: &mut [Entry], cache: Option<&Path>) -> usize {
    let (next, compressed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let slots: Vec<_> = files.iter_mut().map(Mutex::new).collect();
    let work = || {
        while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut file = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if file.bytes.len() < WORTH || !mime::is_wordy(file.mime()) {
                continue;
            }
            let (encoded, fresh) = forms(&file.bytes, cache);
            file.encoded = encoded;
            compressed.fetch_add(usize::from(fresh), Ordering::Relaxed);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    compressed.into_inner()
}

/// The forms that are worth it, and whether they are not from the cache.
fn forms(bytes: &[u8], cache: Option<&Path>) -> (Vec<(Encoding, Vec<u8>)>, bool) {
    let mut hash = Sha256::new();
    hash.update(RECIPE.to_le_bytes());
    hash.update(bytes);
    let name: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut fresh = false;
    let all = [(Encoding::Gzip, gzip as fn(&[u8]) -> Vec<u8>), (Encoding::Brotli, brotli)];
    let all = all.map(|(encoding, make)| {
        let place = cache.map(|dir| dir.join(&name).with_extension(encoding.name()));
        // A file that was cut short while it was written has no such name yet.
        let form = place.as_ref().and_then(|place| fs::read(place).ok()).unwrap_or_else(|| {
            fresh = true;
            let form = make(bytes);
            if let Some(place) = place {
                let new = place.with_added_extension(std::process::id().to_string());
                // What cannot be kept is made again.
                let _ = fs::write(&new, &form).and_then(|()| fs::rename(&new, &place));
            }
            form
        });
        (encoding, form)
    });
    (all.into_iter().filter(|(_, form)| form.len() + form.len() / 16 < bytes.len()).collect(), fresh)
}

/// Without a name and a time in its header, so that the same bytes make the same bytes.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes all that is written")
}

fn brotli(bytes: &[u8]) -> Vec<u8> {
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: BROTLI_QUALITY,
        lgwin: BROTLI_WINDOW,
        size_hint: bytes.len(),
        ..Default::default()
    };
    let mut out = Vec::new();
    let mut input = bytes;
    brotli::BrotliCompress(&mut input, &mut out, &parameters).expect("memory takes all that is written");
    out
}
