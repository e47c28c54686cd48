//! The application: greets, tells what it found, and does what it is told.

use crate::commands;
use crate::crash::Crash;
use crate::devices::{Devices, Out, Trouble};
use crate::editor::Editor;
use crate::ink::Ink;
use crate::machine::Machine;
use crate::options::Options;
use crate::orders::Orders;
use crate::report::{self, Report};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use core::fmt;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use embedded_io_async::{Read, Write};
use fata_kit::Crc32;
use fata_kit::{Gone, Terminal};
use fata_rt::Rt;
use xen_hyp::{Platform, Xen};

/// What is to become of the domain, once the console has been drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It has done its work.
    Poweroff,
    /// It is to start again.
    Reboot,
    /// It is to fail.
    Crash,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Poweroff => "poweroff",
            Self::Reboot => "reboot",
            Self::Crash => "crash",
        })
    }
}

const PROMPT: &str = "fata> ";

/// Runs until told to exit, by whom ever, or until there is no console any more.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    machine: Machine<'_>,
) -> Result<Exit, Gone> {
    let options = Options::parse(machine.info.cmdline);
    let orders = Rc::new(Orders::default());
    let mut app = App {
        terminal: Terminal::new(console),
        editor: Editor::default(),
        ink: Ink(options.colours),
        devices: Rc::new(Devices::open(&rt, &xen, &orders, machine.info)),
        orders: orders.clone(),
        rt,
        xen,
        machine,
    };
    let run = pin!(app.run(options));
    match first(run, pin!(orders.exit())).await {
        First::One(ended) => ended,
        First::Other(exit) => Ok(exit),
    }
}

struct App<'a, P: Platform, C> {
    terminal: Terminal<C>,
    editor: Editor,
    ink: Ink,
    devices: Rc<Devices<P>>,
    orders: Rc<Orders>,
    rt: Rt,
    xen: Rc<Xen<P>>,
    machine: Machine<'a>,
}

impl<P: Platform, C: Read + Write> App<'_, P, C> {
    async fn run(&mut self, options: Options<'_>) -> Result<Exit, Gone> {
        if options.greet {
            self.greet().await?;
        }
        if options.table {
            self.answer(report::FOUND, "").await?;
        }
        for command in options.exec.into_iter().flat_map(|commands| commands.split(';')) {
            let (on, off) = (self.ink.green(), self.ink.off());
            self.terminal.print(&|out| writeln!(out, "{on}{PROMPT}{off}{}", command.trim_ascii())).await?;
            if let Some(exit) = self.command(command).await? {
                return Ok(exit);
            }
        }
        match options.exit {
            Some(exit) => Ok(exit),
            None => self.converse().await,
        }
    }

    /// Four lines, one a second.
    async fn greet(&mut self) -> Result<(), Gone> {
        let lines = [
            (self.ink.red(), "Fata Morgana: a castle in the air above the strait,"),
            (self.ink.yellow(), "seen by all who pass, and with nothing underneath."),
            (self.ink.green(), "Nothing but Xen, that is: this castle is one image of Rust."),
            (self.ink.cyan(), "Hello, world."),
        ];
        for (i, (on, line)) in lines.into_iter().enumerate() {
            if i > 0 {
                self.rt.sleep(Duration::from_secs(1)).await;
            }
            let off = self.ink.off();
            self.terminal.print(&|out| writeln!(out, "{on}{line}{off}")).await?;
        }
        self.terminal.say("\n").await
    }

    /// Reads commands and runs them.
    async fn converse(&mut self) -> Result<Exit, Gone> {
        self.terminal.say("Type help to see what this console can do.\n").await?;
        loop {
            let line = self.line().await?;
            if let Some(exit) = self.command(&line).await? {
                return Ok(exit);
            }
        }
    }

    async fn line(&mut self) -> Result<String, Gone> {
        let mut out = String::new();
        self.editor.prompt(self.ink.green(), PROMPT, self.ink.off(), &mut out);
        loop {
            self.terminal.say(&out).await?;
            out.clear();
            if let First::Other(key) = self.typed_or_sysrq().await? {
                self.sysrq(key).await?;
                self.editor.prompt(self.ink.green(), PROMPT, self.ink.off(), &mut out);
                continue;
            }
            let fed = self.editor.feed(self.terminal.read().await?, &commands::words, &mut out);
            self.terminal.used(fed.used);
            if let Some(line) = fed.line {
                self.terminal.say(&out).await?;
                return Ok(line);
            }
        }
    }

    /// Waits until there is input, or a key of `xl sysrq`.
    async fn typed_or_sysrq(&mut self) -> Result<First<(), char>, Gone> {
        let typed = pin!(self.terminal.read());
        match first(typed, pin!(self.orders.key())).await {
            First::One(typed) => typed.map(|_| First::One(())),
            First::Other(key) => Ok(First::Other(key)),
        }
    }

    /// Runs one command; gives an exit if that was one.
    async fn command(&mut self, line: &str) -> Result<Option<Exit>, Gone> {
        let line = line.trim_ascii();
        let (name, argument) = line.split_once(' ').unwrap_or((line, ""));
        let argument = argument.trim_ascii();
        match name {
            "" => return Ok(None),
            "poweroff" => return Ok(Some(Exit::Poweroff)),
            "reboot" => return Ok(Some(Exit::Reboot)),
            "echo" => {
                if let Some(count) = raw_count(argument) {
                    self.echo_raw(count).await?;
                    return Ok(None);
                }
            }
            "crash" => {
                if let Some(crash) = Crash::parse(argument) {
                    crash.happen(self.machine.commit);
                }
            }
            "log" => {
                if let Ok(level) = argument.parse() {
                    fata_log::set_level(level);
                }
            }
            #[cfg(feature = "vchan")]
            "vchan" => {
                if let Some(wish) = crate::chat::parse(argument) {
                    self.chat(&wish).await?;
                    return Ok(None);
                }
                self.answer("help", name).await?;
                return Ok(None);
            }
            "colours" => match argument {
                "on" => self.ink = Ink(true),
                "off" => self.ink = Ink(false),
                _ => {}
            },
            _ if commands::find(name).is_some_and(|command| command.waits) => {
                self.work(name, argument).await?;
                return Ok(None);
            }
            _ => {}
        }
        self.answer(name, argument).await?;
        Ok(None)
    }

    /// Prints what there is to say to a command.
    async fn answer(&mut self, name: &str, argument: &str) -> Result<(), Gone> {
        let (report, terminal) = self.report();
        terminal.print(&|out| report.answer(name, argument, out)).await
    }

    /// Prints what a key of `xl sysrq` asks for.
    async fn sysrq(&mut self, key: char) -> Result<(), Gone> {
        let (report, terminal) = self.report();
        terminal.print(&|out| report.sysrq(key, out)).await
    }

    fn report(&mut self) -> (Report<'_, P>, &mut Terminal<C>) {
        let report = Report {
            machine: &self.machine,
            xen: &self.xen,
            rt: &self.rt,
            devices: &self.devices,
            ink: self.ink,
        };
        (report, &mut self.terminal)
    }

    /// Runs a command that may have to wait.
    async fn work(&mut self, name: &str, argument: &str) -> Result<(), Gone> {
        let (devices, out) = (self.devices.clone(), Out::new(self.ink));
        let any_key = name == "pcap" || (name == "store" && argument.starts_with("watch"));
        // In a box, or all futures up to the main one would be as large.
        let mut work = Box::pin(devices.run(name, argument, &out));
        let result = self.attend(work.as_mut(), &out, any_key).await?;
        drop(work);
        match result {
            Ok(()) => Ok(()),
            Err(Trouble::Usage) => self.answer("help", name).await,
            Err(trouble) => {
                let (on, off) = (self.ink.red(), self.ink.off());
                self.terminal.print(&|out| writeln!(out, "{on}{trouble}{off}")).await
            }
        }
    }

    #[cfg(feature = "vchan")]
    async fn chat(&mut self, wish: &fata_devices::vchan::Wish) -> Result<(), Gone> {
        // In a box, as other commands are.
        let chat = crate::chat::chat(&self.rt, &self.xen, &self.devices, &mut self.terminal, wish);
        match Box::pin(chat).await? {
            Ok(()) => Ok(()),
            Err(error) => {
                let (on, off) = (self.ink.red(), self.ink.off());
                self.terminal.print(&|out| writeln!(out, "{on}{error}{off}")).await
            }
        }
    }

    /// Shows what a command says until it ends, or the user ends it: with Ctrl-C, or with any key.
    async fn attend(
        &mut self,
        mut work: Pin<&mut dyn Future<Output = Result<(), Trouble>>>,
        out: &Out,
        any_key: bool,
    ) -> Result<Result<(), Trouble>, Gone> {
        let orders = self.orders.clone();
        loop {
            let event = {
                let (mut stopped, mut key) = (pin!(self.stopped(any_key)), pin!(orders.key()));
                poll_fn(|cx| {
                    if let Poll::Ready(result) = work.as_mut().poll(cx) {
                        return Poll::Ready(Event::Done(result));
                    }
                    if !out.is_empty() {
                        return Poll::Ready(Event::Said);
                    }
                    match stopped.as_mut().poll(cx) {
                        Poll::Ready(stopped) => Poll::Ready(Event::Stopped(stopped)),
                        Poll::Pending => key.as_mut().poll(cx).map(Event::Sysrq),
                    }
                })
                .await
            };
            if let Some(text) = out.take() {
                self.terminal.say(&text).await?;
            }
            match event {
                Event::Said => {}
                Event::Done(result) => return Ok(result),
                Event::Stopped(stopped) => {
                    stopped?;
                    return self.terminal.say(if any_key { "" } else { "^C\n" }).await.map(Ok);
                }
                Event::Sysrq(key) => self.sysrq(key).await?,
            }
        }
    }

    /// Waits until the user wants to end a command.
    async fn stopped(&mut self, any_key: bool) -> Result<(), Gone> {
        if !any_key {
            return self.terminal.interrupted().await;
        }
        loop {
            let typed = self.terminal.read().await?;
            let length = typed.len();
            let key = typed.iter().position(|&byte| self.editor.is_key(byte));
            self.terminal.used(key.map_or(length, |at| at + 1));
            if key.is_some() {
                return Ok(());
            }
        }
    }

    /// Writes the next `count` bytes of input back as they are.
    async fn echo_raw(&mut self, count: u64) -> Result<(), Gone> {
        let (on, off) = (self.ink.cyan(), self.ink.off());
        self.terminal.print(&|out| writeln!(out, "{on}echo: send {count} bytes{off}")).await?;
        if count > 0 {
            let first = self.terminal.read().await?[0];
            self.terminal.used(usize::from(self.editor.is_rest_of_enter(first)));
        }
        let mut crc = Crc32::default();
        self.terminal.copy(count, |bytes| crc.update(bytes)).await?;
        let crc = crc.value();
        self.terminal.print(&|out| writeln!(out, "\n{on}echo: {count} bytes, crc32 {crc:08x}{off}")).await
    }
}

/// What happens while a command is at work.
enum Event {
    /// It has said something.
    Said,
    Done(Result<(), Trouble>),
    /// The user wants it to end, or hung up.
    Stopped(Result<(), Gone>),
    Sysrq(char),
}

/// One of two.
enum First<A, B> {
    One(A),
    Other(B),
}

/// Waits for whichever is first.
async fn first<A, B>(
    mut one: Pin<&mut impl Future<Output = A>>,
    mut other: Pin<&mut impl Future<Output = B>>,
) -> First<A, B> {
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(First::One(value)),
        Poll::Pending => other.as_mut().poll(cx).map(First::Other),
    })
    .await
}

/// N of `echo raw N`.
fn raw_count(argument: &str) -> Option<u64> {
    argument.strip_prefix("raw ")?.trim_ascii().parse().ok()
}
