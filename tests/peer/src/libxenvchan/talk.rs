//! Bytes there and back in pieces of any length, both ways at once.

use core::ffi::{CStr, c_int};
use core::fmt::Write as _;

use crate::library::{self, Ended, Vchan};
use crate::{LOOK_MS, LOOKS, Out, fail};

/// What is written or read at once, at most.
const PIECE: usize = 5000;
/// After so many bytes it is said how many there were.
const TELL: u64 = 16 << 20;

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// At least 1, and at most so much.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        1 + self.next() % most
    }
}

/// What belongs at this place of a stream.
fn pattern(seed: u64, at: u64, bytes: &mut [u8]) {
    let word = |n: u64| Random(seed.wrapping_add(n.wrapping_mul(Random::STEP))).next().to_le_bytes();
    let mut value = word(at / 8);
    for (place, byte) in (at..).zip(bytes) {
        if place.is_multiple_of(8) {
            value = word(place / 8);
        }
        *byte = value[(place % 8) as usize];
    }
}

/// Why an exchange did not get to its end.
pub(crate) enum Broken {
    /// The other end has gone, after so many bytes had come back.
    Ended(u64),
    /// A byte among those after so many is another.
    Wrong(u64),
}

/// Sends so many bytes to one that sends them back, and compares. `tell` gets now and then how many have come back.
pub(crate) fn exchange(
    vchan: &Vchan,
    bytes: u64,
    random: &mut Random,
    mut tell: impl FnMut(u64),
) -> Result<(), Broken> {
    let seed = random.next();
    let (mut sent, mut back) = (0, 0);
    let (mut piece, mut read, mut should) = ([0; PIECE], [0; PIECE], [0; PIECE]);
    // What is left of the piece that is being sent.
    let mut rest = 0..0;
    vchan.never_block();
    while back < bytes {
        let ended = |Ended| Broken::Ended(back);
        if rest.is_empty() && sent < bytes {
            rest = 0..random.up_to(PIECE as u64).min(bytes - sent) as usize;
            pattern(seed, sent, &mut piece[rest.clone()]);
        }
        let mut moved = 0;
        if !rest.is_empty() && vchan.room() > 0 {
            moved = vchan.write_some(&piece[rest.clone()]).map_err(ended)?;
            rest.start += moved;
            sent += moved as u64;
        }
        if vchan.ready() > 0 {
            let most = random.up_to(PIECE as u64) as usize;
            let len = vchan.read(&mut read[..most]).map_err(ended)?;
            pattern(seed, back, &mut should[..len]);
            if read[..len] != should[..len] {
                return Err(Broken::Wrong(back));
            }
            if (back + len as u64) / TELL > back / TELL {
                tell(back + len as u64);
            }
            back += len as u64;
            moved += len;
        }
        if moved == 0 {
            if !vchan.is_open() {
                return Err(Broken::Ended(back));
            }
            vchan.wait();
        }
    }
    Ok(())
}

/// Sends back what comes, in pieces of any length, until the other end has gone; gives how much.
pub(crate) fn echo(vchan: &Vchan, random: &mut Random, mut tell: impl FnMut(u64)) -> u64 {
    let (mut piece, mut bytes) = ([0; PIECE], 0);
    loop {
        let most = random.up_to(PIECE as u64) as usize;
        let Ok(len) = vchan.read(&mut piece[..most]) else { return bytes };
        if vchan.write(&piece[..len]).is_err() {
            return bytes;
        }
        if (bytes + len as u64) / TELL > bytes / TELL {
            tell(bytes + len as u64);
        }
        bytes += len as u64;
    }
}

/// Connects to a server as soon as there is one that nobody has used.
pub(crate) fn seek(domain: c_int, path: &CStr) -> Option<Vchan> {
    (0..LOOKS).find_map(|_| {
        let found = Vchan::connect(domain, path).filter(Vchan::is_fresh);
        if found.is_none() {
            library::sleep_ms(LOOK_MS);
        }
        found
    })
}

fn say(bytes: u64) {
    let _ = writeln!(Out, "{} MiB so far", bytes >> 20);
}

/// A long exchange, as the client.
pub(crate) fn client(domain: c_int, path: &CStr, bytes: u64, seed: u64) -> ! {
    let Some(vchan) = seek(domain, path) else { fail(format_args!("nobody serves {path:?}")) };
    match exchange(&vchan, bytes, &mut Random(seed), say) {
        Ok(()) => {}
        Err(Broken::Ended(back)) => fail(format_args!("the end after {back} bytes")),
        Err(Broken::Wrong(back)) => fail(format_args!("another byte came back, after {back}")),
    }
    drop(vchan);
    let _ = writeln!(Out, "SUCCESS: {bytes} bytes there and back");
    library::exit(0)
}

/// And as the server, for a client that compares.
pub(crate) fn server(domain: c_int, path: &CStr, size: usize, seed: u64) -> ! {
    let Some(vchan) = Vchan::serve(domain, path, size, size) else {
        fail(format_args!("no vchan can be served"))
    };
    vchan.await_client();
    let bytes = echo(&vchan, &mut Random(seed), say);
    drop(vchan);
    let _ = writeln!(Out, "SUCCESS: {bytes} bytes sent back");
    library::exit(0)
}
