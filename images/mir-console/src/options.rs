//! What the command line asks for.

use crate::app::Exit;
use fata_kit::words;

/// Options of the command line; words it does not know are left to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options<'a> {
    /// `colours=off` turns them off.
    pub colours: bool,
    /// `greet=off` leaves the four lines out.
    pub greet: bool,
    /// `quiet` leaves out the lines and the table.
    pub table: bool,
    /// `exec=CMD;CMD`, or `exec="CMD ARGS;CMD"`: commands to run instead of asking for some.
    pub exec: Option<&'a str>,
    /// `exit=poweroff|reboot|stay`: what to do instead of asking for commands.
    pub exit: Option<Exit>,
}

impl<'a> Options<'a> {
    /// Reads a command line.
    pub fn parse(cmdline: &'a str) -> Self {
        let mut options = Self { colours: true, greet: true, table: true, exec: None, exit: None };
        let mut stay = false;
        for (name, value) in words(cmdline) {
            match (name, value) {
                ("colours", "off") => options.colours = false,
                ("greet", "off") => options.greet = false,
                ("quiet", _) => (options.greet, options.table) = (false, false),
                ("exec", commands) => options.exec = Some(commands),
                ("exit", "poweroff") => options.exit = Some(Exit::Poweroff),
                ("exit", "reboot") => options.exit = Some(Exit::Reboot),
                ("exit", "stay") => stay = true,
                _ => {}
            }
        }
        // Commands from the command line are all there is to do, unless told otherwise.
        if options.exec.is_some() && options.exit.is_none() && !stay {
            options.exit = Some(Exit::Poweroff);
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exec_exits_unless_told_to_stay() {
        let plain = Options::parse("console=hvc0");
        assert_eq!(plain, Options { colours: true, greet: true, table: true, exec: None, exit: None });
        assert_eq!(Options::parse("exec=mem").exit, Some(Exit::Poweroff));
        assert_eq!(Options::parse("exec=mem exit=reboot").exit, Some(Exit::Reboot));
        assert_eq!(Options::parse("exit=stay exec=mem").exit, None);
        assert_eq!(Options::parse("greet=off exit=poweroff").exit, Some(Exit::Poweroff));
        assert!(!Options::parse("quiet").table);
    }
}
