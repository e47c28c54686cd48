//! Growing buffers.

use alloc::vec::Vec;

/// Makes `bytes` so long, with zeros at the end. [`Vec::resize`] writes one byte after the other where it is compiled for size:
/// six instructions each.
pub fn grow(bytes: &mut Vec<u8>, len: usize) {
    const ZEROS: [u8; 256] = [0; 256];
    while bytes.len() < len {
        bytes.extend_from_slice(&ZEROS[..ZEROS.len().min(len - bytes.len())]);
    }
}
