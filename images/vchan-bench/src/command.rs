//! What is asked for.

use core::fmt;

/// What the server has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Receive, and answer with one byte when it has it all.
    Receive,
    /// Send.
    Send,
    /// Read a block and write it back, again and again.
    Echo,
}

/// A command as it is sent, little-endian: `{ u8 kind; u8 pad[3]; u32 block; u64 count }`, with `R`, `S` or `E` as kind.
/// The count is in bytes but for an echo, where it is in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// What to do.
    pub kind: Kind,
    /// Bytes to read or write at once.
    pub block: usize,
    /// How much in all.
    pub count: u64,
}

/// Blocks are no larger than this.
const LARGEST: usize = 1 << 20;

impl Command {
    /// Its length in bytes.
    pub const SIZE: usize = 16;

    /// Reads one.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let (words, count) = bytes.split_at(8);
        let kind = match words[0] {
            b'R' => Kind::Receive,
            b'S' => Kind::Send,
            b'E' => Kind::Echo,
            _ => return None,
        };
        let block = u32::from_le_bytes(*words.last_chunk()?) as usize;
        let count = u64::from_le_bytes(*count.first_chunk()?);
        (1..=LARGEST).contains(&block).then_some(Self { kind, block, count })
    }

    /// Writes it.
    pub fn encode(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0] = match self.kind {
            Kind::Receive => b'R',
            Kind::Send => b'S',
            Kind::Echo => b'E',
        };
        bytes[4..8].copy_from_slice(&(self.block as u32).to_le_bytes());
        bytes[8..].copy_from_slice(&self.count.to_le_bytes());
        bytes
    }
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// What it asks of the server.
    pub kind: Kind,
    /// Bytes at once.
    pub block: usize,
    /// How many times.
    pub count: u64,
}

impl Job {
    /// Reads one: `send,64,1000`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(',');
        let kind = match words.next()? {
            "send" => Kind::Receive,
            "receive" => Kind::Send,
            "echo" => Kind::Echo,
            _ => return None,
        };
        let block = words.next()?.parse().ok()?;
        let count = words.next()?.parse().ok()?;
        let sensible = (1..=LARGEST).contains(&block) && words.next().is_none();
        sensible.then_some(Self { kind, block, count })
    }

    /// What the server is told.
    pub fn command(self) -> Command {
        let Self { kind, block, count } = self;
        Command { kind, block, count: if kind == Kind::Echo { count } else { count * block as u64 } }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Receive => "send",
            Kind::Send => "receive",
            Kind::Echo => "echo",
        };
        write!(f, "vchan {kind} bs {} count {}", self.block, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_what_libxenvchans_loads_send() {
        let bytes = *b"S\0\0\0\x40\0\0\0\0\0\x10\0\0\0\0\0";
        let command = Command::decode(&bytes).unwrap();
        assert_eq!(command, Command { kind: Kind::Send, block: 64, count: 1 << 20 });
        assert_eq!(command.encode(), bytes);
        for wrong in [*b"X\0\0\0\x40\0\0\0\0\0\0\0\0\0\0\0", *b"S\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", [0xff; 16]]
        {
            assert_eq!(Command::decode(&wrong), None);
        }
    }

    #[test]
    fn jobs_are_understood_or_refused() {
        let job = Job::parse("send,64,1000").unwrap();
        assert_eq!(job.command(), Command { kind: Kind::Receive, block: 64, count: 64_000 });
        assert_eq!(job.to_string(), "vchan send bs 64 count 1000");
        assert_eq!(Job::parse("echo,1,5").unwrap().command().count, 5);
        for text in ["", "send", "send,0,1", "send,1", "send,1,1,1", "take,1,1", "send,4000000,1"] {
            assert_eq!(Job::parse(text), None, "{text}");
        }
    }
}
