//! The commands there are, and what `help` says of them.

use crate::ink::Ink;
use core::fmt::{self, Write};

/// A command.
pub struct Command {
    /// The word it is called by.
    pub name: &'static str,
    /// What may follow.
    pub arguments: &'static str,
    /// The words that may follow, for completion.
    pub words: &'static [&'static str],
    /// What it does, in a few words.
    pub about: &'static str,
    /// All there is to say of it.
    pub help: &'static str,
    /// It may have to wait for others, and can then be interrupted.
    pub waits: bool,
}

const fn plain(name: &'static str, about: &'static str, help: &'static str) -> Command {
    Command { name, arguments: "", words: &[], about, help, waits: false }
}

const COUNT: usize = 17
    + 2 * cfg!(feature = "files") as usize
    + 5 * cfg!(feature = "net") as usize
    + cfg!(feature = "random") as usize
    + cfg!(feature = "vchan") as usize;

/// Every command, in the order `help` lists them.
pub static COMMANDS: [Command; COUNT] = [
    Command {
        name: "help",
        arguments: "[COMMAND]",
        words: &[],
        about: "what this console can do",
        help: "Lists the commands, or explains one.",
        waits: false,
    },
    plain("about", "what this is", "Says what this image is and what it found at its start."),
    Command {
        name: "dt",
        arguments: "[PATH]",
        words: &["/", "/chosen", "/cpus", "/hypervisor", "/memory", "/timer"],
        about: "the device tree",
        help: "Prints the device tree Xen gave us as source, or the node at PATH and what is\n\
               below it.",
        waits: false,
    },
    plain(
        "mem",
        "memory and who has it",
        "Memory banks, pages and heap in use, the stack, and the image's sections with\n\
         the rights they are mapped with.",
    ),
    plain(
        "xen",
        "the hypervisor",
        "Xen's version, build, capabilities and features, and our domain's number.",
    ),
    plain(
        "events",
        "event channels",
        "Each open event channel with what it is connected to and how many events it\n\
         had, and the sums.",
    ),
    Command {
        name: "devices",
        arguments: "",
        words: &[],
        about: "what other domains serve us",
        help: "Each device with the state of its two halves, and where in Xenstore the other\n\
               one is. Of a disk that was used: whether it works, its properties, what it did.",
        waits: true,
    },
    Command {
        name: "store",
        arguments: "VERB PATH",
        words: &["ls", "read", "watch", "write"],
        about: "Xenstore, the toolstack's tree",
        help: "store ls [PATH]           what is below PATH, or below this domain's own node\n\
               store read PATH           a value\n\
               store write PATH VALUE    sets it; quotes keep blanks at its ends\n\
               store watch PATH          tells what changes from now on, until you press a key\n\
               A PATH without a slash in front begins at this domain's own node.",
        waits: true,
    },
    Command {
        name: "blk",
        arguments: "[VERB]",
        words: &["bench", "read", "write"],
        about: "what is on disks",
        help: "blk                       all disks, which are used from then on\n\
               blk read DISK N [COUNT]   shows COUNT sectors from number N on\n\
               blk write DISK N really TEXT\n                          \
               overwrites sector N with TEXT and zeroes\n\
               blk bench DISK [COUNT]    times COUNT reads of each of several kinds\n\
               A DISK is xvda, xvdb and so on. Sectors are counted in units of 512 bytes.\n\
               Ctrl-C ends a command that waits. A disk that was not used yet lets `xl\n\
               block-detach` wait in vain.",
        waits: true,
    },
    #[cfg(feature = "files")]
    Command {
        name: "ls",
        arguments: "DISK:PATH",
        words: &[],
        about: "files in a directory",
        help: "Lists what is in a directory of a disk, as in `ls xvda:/etc`, or of its second\n\
               partition, `ls xvdap2:/etc`; without a disk, of the first one. ext2, ext3, ext4\n\
               and FAT are known, and only read.",
        waits: true,
    },
    #[cfg(feature = "files")]
    Command {
        name: "cat",
        arguments: "DISK:PATH",
        words: &[],
        about: "what is in a file",
        help: "Prints a file of a disk, as in `cat xvda:/etc/motd`; see `help ls`. What is no\n\
               text in it is shown as numbers.",
        waits: true,
    },
    #[cfg(feature = "net")]
    Command {
        name: "net",
        arguments: "[WORDS]",
        words: &["sockets"],
        about: "the network",
        help: "net                       network interfaces, which are used from then on\n\
               net sockets               sockets of the first one, and what they met\n\
               net ip=dhcp               uses the first one, with an address from a server\n\
               net ip=10.0.0.2/24 gw=10.0.0.1\n                          \
               or with this one; ip6= and gw6= are for IPv6\n\
               The same words may be on the command line, in the device tree and in\n\
               Xenstore; without any it is DHCP, and what routers advertise.",
        waits: true,
    },
    #[cfg(feature = "net")]
    Command {
        name: "host",
        arguments: "NAME",
        words: &[],
        about: "what a name has",
        help: "host NAME [TYPE]\n\
               Asks for the addresses of a name, or for what it has of TYPE: A, AAAA, CNAME,\n\
               HTTPS, MX, NS, PTR, SOA, SRV, SVCB, TXT, or TYPE and a number. The servers are\n\
               those of dns=, or of whoever gave us our address. The numbers are seconds for\n\
               which it may be kept.",
        waits: true,
    },
    #[cfg(feature = "net")]
    Command {
        name: "ping",
        arguments: "HOST",
        words: &[],
        about: "whether somebody answers",
        help: "ping HOST [COUNT [BYTES]]\n\
               Pings an IPv4 or IPv6 address, or that of a name, four times with 56 bytes\n\
               each unless told otherwise, and says how long the answers took.",
        waits: true,
    },
    #[cfg(feature = "net")]
    Command {
        name: "pcap",
        arguments: "[COUNT]",
        words: &[],
        about: "frames as they come and go",
        help: "Shows a line for each frame of the first network interface, until you press a\n\
               key or COUNT were shown. `cargo xtask run --pcap FILE` writes them to a file.",
        waits: true,
    },
    #[cfg(feature = "net")]
    Command {
        name: "time",
        arguments: "[SERVER]",
        words: &[],
        about: "what time servers say",
        help: "time                      what time it is, and who says so\n\
               time SERVER [SERVER]...   asks these servers first, and sets the clock by\n                          \
               what most of them agree upon",
        waits: true,
    },
    #[cfg(feature = "random")]
    Command {
        name: "random",
        arguments: "[raw]",
        words: &["raw"],
        about: "numbers nobody can foresee",
        help: "random                    where entropy came from, and a number drawn from it\n\
               random raw [COUNT]        times that the same work takes, in ticks of the\n                          \
               counter: what jitter is made of on this machine",
        waits: true,
    },
    #[cfg(feature = "vchan")]
    Command {
        name: "vchan",
        arguments: "VERB DOM",
        words: &["connect", "serve"],
        about: "talks with another domain",
        help: "vchan serve DOM [NAME]    waits for that domain, as the service NAME, else chat\n\
               vchan connect DOM [NAME]  the other end of that\n\
               DOM is a number. Instead of NAME there may be path=PATH in Xenstore, or without\n\
               it port=N and gref=N. Lines that are typed are shown at the other end.",
        waits: false,
    },
    plain(
        "clock",
        "what time it is",
        "Time since the start, time of day if dom0 has told Xen, and the counter behind\n\
         both.",
    ),
    plain(
        "tasks",
        "the run loop's counters",
        "Turns of the run loop, how often it slept, tasks and timers. A machine left\n\
         alone adds nothing to them.",
    ),
    Command {
        name: "log",
        arguments: "[LEVEL]",
        words: &["debug", "error", "info", "trace", "warn"],
        about: "the last log lines",
        help: "Shows the last log lines and the level. With LEVEL (error, warn, info, debug,\n\
               trace), shows messages from now on if they are at least as important.",
        waits: false,
    },
    Command {
        name: "echo",
        arguments: "[WORDS]",
        words: &["raw"],
        about: "says it back",
        help: "Prints WORDS. `echo raw N` reads the N bytes that follow the end of this line\n\
               and writes them back as they are, then their count and CRC-32: the whole way\n\
               through the console, without the editor.",
        waits: false,
    },
    Command {
        name: "colours",
        arguments: "[on|off]",
        words: &["on", "off"],
        about: "turns colours on or off",
        help: "Turns colours on or off; alone, shows them.",
        waits: false,
    },
    Command {
        name: "crash",
        arguments: "KIND",
        words: &["double", "exec", "null", "oom", "panic", "stack", "text", "wx"],
        about: "breaks this machine on purpose",
        help: "Ends this domain the hard way, to show what that looks like:\n  \
               panic   a Rust panic\n  \
               double  a panic while reporting a panic\n  \
               stack   recursion until the guard page below the stack\n  \
               null    a read through a null pointer\n  \
               text    a write to the image's instructions, which are read-only\n  \
               wx      the same\n  \
               exec    a jump into the image's data, which is not executable\n  \
               oom     memory taken until there is none",
        waits: false,
    },
    plain(
        "reboot",
        "starts this domain again",
        "Asks Xen to start this domain again, once all output is out.",
    ),
    plain("poweroff", "ends this domain", "Asks Xen to end this domain, once all output is out."),
];

/// Their names, for completion.
pub static NAMES: [&str; COUNT] = {
    let mut names = [""; COUNT];
    let mut i = 0;
    while i < names.len() {
        names[i] = COMMANDS[i].name;
        i += 1;
    }
    names
};

/// The command called `name`.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// The words that may follow `head`.
pub fn words(head: &str) -> &'static [&'static str] {
    match head.trim_ascii() {
        "" | "help" => &NAMES,
        name => find(name).map_or(&[], |command| command.words),
    }
}

/// What `help` prints.
pub fn help(name: &str, ink: Ink, out: &mut dyn Write) -> fmt::Result {
    if name.is_empty() {
        for command in &COMMANDS {
            let (on, off) = (ink.cyan(), ink.off());
            writeln!(out, "  {on}{:9}{off} {:10} {}", command.name, command.arguments, command.about)?;
        }
        return out.write_str("Tab completes, the arrow keys edit and go back in history.\n");
    }
    match find(name) {
        Some(command) => {
            writeln!(out, "{}{}{} {}", ink.cyan(), command.name, ink.off(), command.arguments)?;
            writeln!(out, "{}", command.help)
        }
        None => unknown(name, ink, out),
    }
}

/// What is said of a command that does not exist. `name` was typed, so the editor made it printable.
pub fn unknown(name: &str, ink: Ink, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "{}There is no command {name}.{} `help` lists what there is.", ink.red(), ink.off())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lines_fit() {
        for (i, command) in COMMANDS.iter().enumerate() {
            assert!(NAMES[..i].iter().all(|&name| name != command.name));
            assert!(command.help.lines().all(|line| line.len() < 80), "{}", command.name);
        }
        assert_eq!(words(""), NAMES);
        assert_eq!(words("help "), NAMES);
        assert_eq!(words("colours "), ["on", "off"]);
        assert!(words("nonsense ").is_empty());
        assert!(words("colours on ").is_empty());
    }
}
