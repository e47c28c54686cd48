//! The little of GDB's remote protocol that waits at one address.

use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail};

/// A connection to QEMU's GDB stub. The machine stands still from the start until [`Stub::run_to`].
pub(crate) struct Stub {
    stream: BufReader<UnixStream>,
}

/// A CPU that stopped.
pub(crate) struct Stopped {
    /// x0 to x30, SP, PC.
    pub registers: Vec<u64>,
    /// The exception level it ran at.
    pub exception_level: u8,
}

/// Which of the registers the program counter is.
const PC: usize = 32;

impl Stub {
    /// Takes over the stream.
    pub(crate) fn open(stream: UnixStream) -> Result<Self> {
        let mut stub = Self { stream: BufReader::new(stream) };
        stub.ask("?")?;
        Ok(stub)
    }

    /// Lets the machine run until a CPU is about to execute `address`. If somebody else stops it, it stands still until
    /// `wait` returns.
    pub(crate) fn run_to(&mut self, address: u64, wait: impl Fn()) -> Result<Stopped> {
        self.expect_ok(&format!("Z1,{address:x},4"))?;
        let stopped = loop {
            self.ask("c")?;
            let stopped = self.stopped()?;
            if stopped.registers.get(PC) == Some(&address) {
                break stopped;
            }
            wait();
        };
        // Get past it, so that the next run does not stop here at once.
        self.expect_ok(&format!("z1,{address:x},4"))?;
        self.ask("s")?;
        Ok(stopped)
    }

    fn stopped(&mut self) -> Result<Stopped> {
        let registers = decode(&self.ask("g")?)?;
        // GDB's aarch64 core registers: 33 of 64 bits, then CPSR, of which bits 3:2 are the level.
        let (wide, rest) = registers.split_at_checked(33 * 8).context("QEMU's registers are too few")?;
        let wide = wide.chunks_exact(8).filter_map(|r| r.first_chunk().copied());
        Ok(Stopped {
            registers: wide.map(u64::from_le_bytes).collect(),
            exception_level: rest.first().map_or(0, |cpsr| cpsr >> 2 & 3),
        })
    }

    /// Reads memory as the stopped CPU sees it.
    pub(crate) fn memory(&mut self, address: u64, bytes: usize) -> Result<Vec<u8>> {
        decode(&self.ask(&format!("m{address:x},{bytes:x}"))?)
    }

    fn expect_ok(&mut self, command: &str) -> Result<()> {
        match self.ask(command)?.as_str() {
            "OK" => Ok(()),
            other => bail!("QEMU's GDB stub answered {other:?} to {command}"),
        }
    }

    fn ask(&mut self, command: &str) -> Result<String> {
        let packet = format!("${command}#{:02x}", checksum(command.as_bytes()));
        self.stream.get_mut().write_all(packet.as_bytes()).context("writing to QEMU's GDB stub")?;
        let mut answer = Vec::new();
        // Skips the acknowledgement of our packet.
        while self.byte()? != b'$' {}
        loop {
            match self.byte()? {
                b'#' => break,
                byte => answer.push(byte),
            }
        }
        let _checksum = [self.byte()?, self.byte()?];
        // Our next packet counts as the acknowledgement of this answer.
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).context("QEMU's GDB stub is gone")?;
        Ok(byte[0])
    }
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn decode(hex: &str) -> Result<Vec<u8>> {
    let digits = hex.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.map(byte).collect::<Option<_>>().with_context(|| format!("QEMU's GDB stub answered {hex:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Answers each packet with the next of `answers`.
    fn stub(answers: Vec<String>) -> (Stub, thread::JoinHandle<Vec<String>>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            let mut stream = BufReader::new(theirs);
            let mut seen = Vec::new();
            for answer in answers {
                let mut packet = Vec::new();
                while packet.iter().rev().nth(2) != Some(&b'#') {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    packet.push(byte[0]);
                }
                seen.push(String::from_utf8(packet).unwrap().trim_start_matches('+').to_owned());
                write!(stream.get_mut(), "+${answer}#{:02x}", checksum(answer.as_bytes())).unwrap();
            }
            seen
        });
        (Stub::open(ours).unwrap(), server)
    }

    #[test]
    fn stops_at_an_address_and_reads_registers() {
        let at = |pc: u64| {
            let all = (0..32u64).chain([pc]).map(|n| format!("{:016x}", n.swap_bytes()));
            all.collect::<String>() + "c9030000"
        };
        // Somebody else stops it first.
        let (elsewhere, there) = (at(0x100), at(0x200));
        let answers = ["T05", "OK", "T02", &elsewhere, "T05thread:01;", &there, "OK", "T05", "0100"];
        let (mut stub, server) = stub(answers.map(str::to_owned).to_vec());
        let waits = std::cell::Cell::new(0);
        let stopped = stub.run_to(0x200, || waits.set(waits.get() + 1)).unwrap();
        assert_eq!(waits.get(), 1);
        assert_eq!(stopped.registers[..4], [0, 1, 2, 3]);
        assert_eq!(stopped.exception_level, 2);
        assert_eq!(stub.memory(0x1000, 2).unwrap(), [1, 0]);
        let seen = server.join().unwrap();
        assert_eq!(seen[1], "$Z1,200,4#a9");
    }
}
