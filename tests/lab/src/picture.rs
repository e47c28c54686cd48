//! Pictures of pages, compared as somebody would who looks at them from a distance.

use std::io::Read as _;

use anyhow::{Context, Result, ensure};

/// Pixels of red, green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

/// Pixels to a side of what is compared: letters may lie a little elsewhere.
const TILE: usize = 10;
/// How far a tile's mean may be off, of 255.
const CLOSE: u32 = 24;

impl Picture {
    /// Reads a PNG file of 8 bits a channel, without a palette and not interlaced, which is what browsers write.
    pub(crate) fn read(png: &[u8]) -> Result<Self> {
        let mut rest = png.strip_prefix(b"\x89PNG\r\n\x1a\n").context("this is no PNG file")?;
        let (mut head, mut packed) = (None, Vec::new());
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let (kind, after) = after.split_first_chunk::<4>().context("cut short")?;
            let data = after.get(..length).context("cut short")?;
            match kind {
                b"IHDR" => head = data.first_chunk::<13>(),
                b"IDAT" => packed.extend_from_slice(data),
                _ => {}
            }
            rest = after.get(length + 4..).context("cut short")?;
        }
        let &[a, b, c, d, e, f, g, h, depth, kind, _, _, interlaced] = head.context("no IHDR")?;
        let channels = match kind {
            2 => 3,
            6 => 4,
            other => anyhow::bail!("pixels of kind {other} are not known"),
        };
        ensure!(depth == 8 && interlaced == 0, "not of 8 bits, or interlaced");
        let (width, height) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        ensure!(width.max(height) <= 4096, "{width} by {height} is too large");
        let (width, height) = (width as usize, height as usize);
        let mut lines = Vec::new();
        let most = (height * (width * channels + 1)) as u64;
        flate2::read::ZlibDecoder::new(&packed[..]).take(most).read_to_end(&mut lines)?;
        ensure!(lines.len() as u64 == most, "too few pixels");
        let mut before = vec![0; width * channels];
        let mut pixels = Vec::with_capacity(width * height);
        for line in lines.chunks_mut(width * channels + 1) {
            let (filter, line) = line.split_first_mut().context("a line without a filter")?;
            unfilter(*filter, line, &before, channels)?;
            pixels.extend(line.chunks(channels).map(|pixel| [pixel[0], pixel[1], pixel[2]]));
            before.copy_from_slice(line);
        }
        Ok(Self { width, height, pixels })
    }

    /// How many tiles in a thousand look different; all of them if the size does.
    pub(crate) fn difference(&self, other: &Self) -> u64 {
        if (self.width, self.height) != (other.width, other.height) {
            return 1000;
        }
        let (mut all, mut different) = (0, 0);
        for y in (0..self.height).step_by(TILE) {
            for x in (0..self.width).step_by(TILE) {
                let (a, b) = (self.mean(x, y), other.mean(x, y));
                all += 1;
                different += u64::from(a.iter().zip(b).any(|(a, b)| a.abs_diff(b) > CLOSE));
            }
        }
        different * 1000 / all
    }

    fn mean(&self, x: usize, y: usize) -> [u32; 3] {
        let (mut sum, mut count) = ([0; 3], 0);
        for line in y..(y + TILE).min(self.height) {
            for pixel in &self.pixels[line * self.width..][x..(x + TILE).min(self.width)] {
                sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u32::from(*value));
                count += 1;
            }
        }
        sum.map(|sum| sum / count)
    }
}

/// Undoes what makes lines shorter when they are compressed (PNG, section 9.2).
fn unfilter(filter: u8, line: &mut [u8], before: &[u8], channels: usize) -> Result<()> {
    for at in 0..line.len() {
        let left = at.checked_sub(channels);
        let (a, b) = (left.map_or(0, |at| line[at]), before[at]);
        let c = left.map_or(0, |at| before[at]);
        let guess = match filter {
            0 => 0,
            1 => a,
            2 => b,
            3 => ((u16::from(a) + u16::from(b)) / 2) as u8,
            4 => {
                let middle = i16::from(a) + i16::from(b) - i16::from(c);
                let far = |value: u8| (middle - i16::from(value)).abs();
                if far(a) <= far(b) && far(a) <= far(c) {
                    a
                } else if far(b) <= far(c) {
                    b
                } else {
                    c
                }
            }
            other => anyhow::bail!("filter {other} is not known"),
        };
        line[at] = line[at].wrapping_add(guess);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Lab;

    #[test]
    fn a_castle_is_read_and_differs_from_another() {
        let file = Lab::open().unwrap().workspace().join("examples/site/images/castle.png");
        let castle = Picture::read(&std::fs::read(file).unwrap()).unwrap();
        assert_eq!((castle.width, castle.height), (160, 100));
        // Its sky, its wall, and the water below.
        assert_eq!(castle.pixels[0], [214, 230, 245]);
        assert_eq!(castle.pixels[60 * 160 + 50], [110, 90, 120]);
        assert_eq!(castle.pixels[90 * 160], [70, 102, 150]);
        let mut other = castle.clone();
        assert_eq!(castle.difference(&other), 0);
        other.pixels[..TILE * 160].fill([0; 3]);
        assert_eq!(castle.difference(&other), 100);
        other.width = 100;
        assert_eq!(castle.difference(&other), 1000);
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        let file = Lab::open().unwrap().workspace().join("examples/site/images/castle.png");
        let castle = std::fs::read(file).unwrap();
        assert!(Picture::read(b"").is_err());
        for length in 8..castle.len() - 12 {
            assert!(Picture::read(&castle[..length]).is_err(), "cut to {length}");
        }
    }
}
