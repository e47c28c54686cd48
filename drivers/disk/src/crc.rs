//! Checksums: CRC-32 as GPT has it, and CRC-32C as ext4 has it.

/// The sums of four bits at a time: 64 bytes, where the usual tables have 1,024.
struct Crc([u32; 16]);

const GPT: Crc = Crc::new(0xedb8_8320);
#[cfg(feature = "ext4")]
const EXT4: Crc = Crc::new(0x82f6_3b78);

/// GPT's sum, the one of Ethernet and zip. Start with 0; to go on, give what came out.
pub(crate) fn crc32(sum: u32, bytes: &[u8]) -> u32 {
    !GPT.update(!sum, bytes)
}

/// ext4's sum, without inversion at either end, as `ext4_chksum` makes it.
#[cfg(feature = "ext4")]
pub(crate) fn crc32c(sum: u32, bytes: &[u8]) -> u32 {
    EXT4.update(sum, bytes)
}

/// Whether a checksum is right. To get anywhere, fuzzing must not have to guess them.
pub(crate) fn sums_match(made: u32, found: u32) -> bool {
    made == found || cfg!(fuzzing)
}

impl Crc {
    const fn new(polynomial: u32) -> Self {
        let mut sums = [0; 16];
        let mut index = 0;
        while index < 16 {
            let mut sum = index as u32;
            let mut bit = 0;
            while bit < 4 {
                sum = (sum >> 1) ^ (polynomial * (sum & 1));
                bit += 1;
            }
            sums[index] = sum;
            index += 1;
        }
        Self(sums)
    }

    fn update(&self, sum: u32, bytes: &[u8]) -> u32 {
        // Fuzzing, which takes all sums for right, need not wait for them.
        let bytes = if cfg!(fuzzing) { &bytes[..bytes.len().min(4)] } else { bytes };
        bytes.iter().fold(sum, |sum, &byte| {
            let sum = sum ^ u32::from(byte);
            let sum = (sum >> 4) ^ self.0[(sum & 15) as usize];
            (sum >> 4) ^ self.0[(sum & 15) as usize]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The check values of the catalogue of CRC algorithms for CRC-32/ISO-HDLC and CRC-32/ISCSI.
    #[test]
    fn the_sums_are_the_known_ones() {
        assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(crc32(0, b"1234"), b"56789"), 0xcbf4_3926);
        #[cfg(feature = "ext4")]
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }
}
