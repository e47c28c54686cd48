//! The console as the application uses it: buffered input, text of any length in bounded memory.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::future::pending;
use embedded_io_async::{Read, Write};

/// The console is no more, so there is nobody to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the console is gone")
    }
}

impl core::error::Error for Gone {}

/// Input taken at once; the PV console's ring holds as much (`xen/include/public/io/console.h`).
const INPUT: usize = 1024;
/// Output written at once; room for the table printed at the start.
const OUTPUT: usize = 4096;

/// What Ctrl-C sends.
const CTRL_C: u8 = 3;

/// A console with the input that was read but not used.
pub struct Terminal<C> {
    console: C,
    input: Box<[u8]>,
    from: usize,
    to: usize,
    page: Vec<u8>,
}

impl<C: Read + Write> Terminal<C> {
    /// A terminal on `console`.
    pub fn new(console: C) -> Self {
        Self {
            console,
            input: alloc::vec![0; INPUT].into(),
            from: 0,
            to: 0,
            page: Vec::with_capacity(OUTPUT),
        }
    }

    /// Input that is not [`used`](Self::used) yet; waits for some if there is none. Giving up loses none.
    pub async fn read(&mut self) -> Result<&[u8], Gone> {
        if self.from == self.to {
            // Both, since this may be given up while it waits.
            (self.from, self.to) = (0, 0);
            self.to = self.console.read(&mut self.input).await.map_err(|_| Gone)?;
            if self.to == 0 {
                return Err(Gone);
            }
        }
        Ok(&self.input[self.from..self.to])
    }

    /// Takes away the first `count` bytes of what [`read`](Self::read) returned.
    pub fn used(&mut self, count: usize) {
        self.from += count;
    }

    /// Waits for Ctrl-C, and takes it with all that was typed before it. Other input is kept for who reads next; when
    /// there is no room for more of it, a Ctrl-C behind it has to wait too.
    pub async fn interrupted(&mut self) -> Result<(), Gone> {
        loop {
            let unused = self.from..self.to;
            if let Some(at) =
                self.input.iter().take(self.to).skip(self.from).rposition(|&byte| byte == CTRL_C)
            {
                self.from += at + 1;
                return Ok(());
            }
            self.to -= self.from;
            self.from = 0;
            self.input.copy_within(unused, 0);
            if self.to == INPUT {
                pending::<()>().await;
            }
            let read = self.console.read(&mut self.input[self.to..]).await.map_err(|_| Gone)?;
            if read == 0 {
                return Err(Gone);
            }
            self.to += read;
        }
    }

    /// Copies the next `count` bytes from input to output, after showing them to `seen`.
    pub async fn copy(&mut self, mut count: u64, mut seen: impl FnMut(&[u8])) -> Result<(), Gone> {
        while count > 0 {
            let available = self.read().await?.len();
            let length = available.min(usize::try_from(count).unwrap_or(available));
            let bytes = &self.input[self.from..self.from + length];
            seen(bytes);
            self.console.write_all(bytes).await.map_err(|_| Gone)?;
            self.from += length;
            count -= length as u64;
        }
        Ok(())
    }

    /// Writes what `text` writes, a page at a time, each `\n` as CR LF.
    ///
    /// `text` is asked again for every further page and must then write the same; so a text of any length
    /// takes a page of memory, and formatting need not wait for the console.
    pub async fn print(&mut self, text: &dyn Fn(&mut dyn fmt::Write) -> fmt::Result) -> Result<(), Gone> {
        let mut written = 0;
        loop {
            self.page.clear();
            let mut page = Page { skip: written, bytes: &mut self.page, full: false };
            // An error either ends the page or is the formatter's own, and then this is all there is.
            let _ = text(&mut page);
            let full = page.full;
            self.console.write_all(&self.page).await.map_err(|_| Gone)?;
            written += self.page.len();
            if !full {
                return Ok(());
            }
        }
    }

    /// Writes `text`.
    pub async fn say(&mut self, text: &str) -> Result<(), Gone> {
        self.print(&|out| out.write_str(text)).await
    }
}

/// The part of a text from byte `skip` on, as far as it fits.
struct Page<'a> {
    skip: usize,
    bytes: &'a mut Vec<u8>,
    full: bool,
}

impl Page<'_> {
    fn put(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        let bytes = bytes.get(skipped..).unwrap_or_default();
        let fits = bytes.get(..OUTPUT - self.bytes.len()).unwrap_or(bytes);
        self.bytes.extend_from_slice(fits);
        self.full |= fits.len() < bytes.len();
    }
}

impl fmt::Write for Page<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut lines = text.split('\n');
        self.put(lines.next().unwrap_or_default());
        for line in lines {
            self.put("\r\n");
            self.put(line);
        }
        if self.full { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use embedded_io_async::ErrorType;

    /// Gives `input` in pieces of at most 7 bytes and takes output in pieces of at most 5.
    #[derive(Default)]
    struct Pipe {
        input: Vec<u8>,
        output: Vec<u8>,
        /// There may be more input; else the end of it is the end.
        open: bool,
    }

    impl ErrorType for Pipe {
        type Error = Infallible;
    }

    impl Read for Pipe {
        async fn read(&mut self, into: &mut [u8]) -> Result<usize, Infallible> {
            let length = into.len().min(7).min(self.input.len());
            if length == 0 && self.open {
                pending::<()>().await;
            }
            into[..length].copy_from_slice(&self.input[..length]);
            self.input.drain(..length);
            Ok(length)
        }
    }

    impl Write for Pipe {
        async fn write(&mut self, from: &[u8]) -> Result<usize, Infallible> {
            let length = from.len().min(5);
            self.output.extend_from_slice(&from[..length]);
            Ok(length)
        }
        async fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    fn ready<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("a pipe never waits"),
        }
    }

    #[test]
    fn text_of_any_length_is_written_whole_and_in_bounded_memory() {
        for lines in [0, 1, 40, 1000, 3000] {
            let mut terminal = Terminal::new(Pipe::default());
            let text = |out: &mut dyn fmt::Write| (0..lines).try_for_each(|i| writeln!(out, "line {i} é"));
            ready(terminal.print(&text)).unwrap();
            let expected: String = (0..lines).map(|i| format!("line {i} é\r\n")).collect();
            assert_eq!(String::from_utf8(terminal.console.output).unwrap(), expected);
            assert_eq!(terminal.page.capacity(), OUTPUT);
        }
    }

    #[test]
    fn text_that_ends_exactly_with_a_page_is_not_repeated() {
        let mut terminal = Terminal::new(Pipe::default());
        ready(terminal.say(&"x".repeat(OUTPUT))).unwrap();
        assert_eq!(terminal.console.output.len(), OUTPUT);
    }

    #[test]
    fn a_formatter_that_fails_ends_its_text() {
        let mut terminal = Terminal::new(Pipe::default());
        let text = |out: &mut dyn fmt::Write| out.write_str("begun").and(Err(fmt::Error));
        ready(terminal.print(&text)).unwrap();
        assert_eq!(terminal.console.output, b"begun");
    }

    #[test]
    fn a_read_that_is_given_up_leaves_no_trace() {
        let mut terminal = Terminal::new(Pipe { input: b"first".to_vec(), open: true, ..Pipe::default() });
        ready(terminal.read()).unwrap();
        terminal.used(5);
        for _ in 0..2 {
            assert!(pin!(terminal.read()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert!(pin!(terminal.interrupted()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        terminal.console.input.extend_from_slice(b"next");
        assert_eq!(ready(terminal.read()).unwrap(), b"next");
    }

    #[test]
    fn an_interrupt_takes_what_was_typed_before_it_and_leaves_the_rest() {
        let input = b"typed ahead\x03 once\x03more".to_vec();
        let mut terminal = Terminal::new(Pipe { input, ..Pipe::default() });
        ready(terminal.read()).unwrap();
        terminal.used(2);
        ready(terminal.interrupted()).unwrap();
        assert_eq!(ready(terminal.read()).unwrap(), b" o");
        ready(terminal.interrupted()).unwrap();
        assert_eq!(ready(terminal.read()).unwrap(), b"mor");
        assert_eq!(ready(terminal.interrupted()), Err(Gone));
        assert_eq!(ready(terminal.read()).unwrap(), b"more");
    }

    #[test]
    fn input_that_is_no_interrupt_is_kept_up_to_what_there_is_room_for() {
        let input: Vec<u8> = (4..=255).cycle().take(INPUT + 100).collect();
        let mut terminal = Terminal::new(Pipe { input: input.clone(), ..Pipe::default() });
        for _ in 0..2 {
            let waits = pin!(terminal.interrupted()).poll(&mut Context::from_waker(Waker::noop()));
            assert!(waits.is_pending());
        }
        assert_eq!(ready(terminal.read()).unwrap(), &input[..INPUT]);
        terminal.used(INPUT);
        assert_eq!(ready(terminal.read()).unwrap(), &input[INPUT..INPUT + 7]);
    }

    #[test]
    fn copies_exactly_and_leaves_the_rest() {
        let input: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let mut terminal = Terminal::new(Pipe { input: input.clone(), ..Pipe::default() });
        assert_eq!(ready(terminal.read()).unwrap(), &input[..7]);
        terminal.used(3);
        let mut seen = Vec::new();
        ready(terminal.copy(99_990, |bytes| seen.extend_from_slice(bytes))).unwrap();
        assert_eq!(seen, input[3..99_993]);
        assert_eq!(terminal.console.output, seen);
        let mut rest = Vec::new();
        while let Ok(bytes) = ready(terminal.read()) {
            let length = bytes.len();
            rest.extend_from_slice(bytes);
            terminal.used(length);
        }
        assert_eq!(rest, input[99_993..]);
        assert_eq!(ready(terminal.copy(1, |_| ())), Err(Gone));
    }
}
