//! Both ends.

use crate::options::Options;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::Cell;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use embedded_io_async::{Read, Write};
use fata_devices::vchan::{Place, Wish, close, guard};
use fata_kit::{Gone, Terminal, pattern};
use fata_rt::Rt;
use fata_vchan::{Error, Meeting as _, Vchan, connect, listen};
use xen_hyp::{GrantTotals, Platform, Signal, Xen};

/// What is read or written at once, at most.
const PIECE: usize = 5000;
const SEED: u64 = 1;

/// Does what the command line says, and says how it went.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    cmdline: &str,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    match run(&rt, &xen, &mut terminal, cmdline).await? {
        Ok(()) => terminal.say("SUCCESS\n").await,
        Err(reason) => terminal.print(&|out| writeln!(out, "FAILURE: {reason}")).await,
    }
}

async fn run<P: Platform, C: Read + Write>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    terminal: &mut Terminal<C>,
    cmdline: &str,
) -> Result<Result<(), String>, Gone> {
    let options = match Options::parse(cmdline) {
        Ok(options) => options,
        Err(word) => return Ok(Err(format!("the command line makes no sense at {word:?}"))),
    };
    let store = match fata_devices::store(rt, xen) {
        Ok(store) => store,
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    let place = match options.wish.place(xen, store.as_ref()) {
        Ok(Some(place)) => place,
        Ok(None) => return Ok(Err("this domain has no Xenstore, and the command line no port".into())),
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    let mut work = Work { rt, xen, terminal, options: &options, place: &place };
    if options.wish.serve { work.serve().await } else { work.ask().await }
}

struct Work<'a, P: Platform, C> {
    rt: &'a Rt,
    xen: &'a Rc<Xen<P>>,
    terminal: &'a mut Terminal<C>,
    options: &'a Options,
    place: &'a Place<P>,
}

impl<P: Platform, C: Read + Write> Work<'_, P, C> {
    async fn serve(&mut self) -> Result<Result<(), String>, Gone> {
        let peer = self.options.wish.peer;
        loop {
            let orders = self.options.wish.orders.unwrap_or(Wish::ORDERS);
            let listener = match listen(self.xen, self.place, orders).await {
                Ok(listener) => listener,
                Err(error) => return Ok(Err(format!("{error}"))),
            };
            let place = self.place;
            self.terminal.print(&|out| writeln!(out, "vchan waits for {peer} at {place}")).await?;
            let vchan = listener.accept().await;
            self.terminal.print(&|out| writeln!(out, "vchan connected: {vchan:?}")).await?;
            let echoed = Cell::new(0);
            let end = self.watched(&vchan, echo(&vchan, &echoed)).await;
            let withdrawn = place.withdraw().await;
            let back = close(self.rt, self.xen, vchan).await;
            let GrantTotals { kept, lent, .. } = self.xen.grant_totals();
            let line = move |out: &mut dyn fmt::Write| {
                match end {
                    Ok(()) => write!(out, "vchan ended")?,
                    Err(error) => write!(out, "vchan failed: {error}")?,
                }
                writeln!(out, ": {} bytes, kept pages {kept}, lent {lent}", echoed.get())
            };
            self.terminal.print(&line).await?;
            if let Err(error) = withdrawn {
                return Ok(Err(format!("{error}")));
            }
            if self.options.once {
                return Ok(if back {
                    end.map_err(|e| format!("{e}"))
                } else {
                    Err("it was not let go of".into())
                });
            }
        }
    }

    async fn ask(&mut self) -> Result<Result<(), String>, Gone> {
        let (peer, place) = (self.options.wish.peer, self.place);
        for _ in 0..self.options.again {
            self.terminal.print(&|out| writeln!(out, "vchan seeks {peer} at {place}")).await?;
            let vchan = match connect(self.xen, self.place, self.options.wish.orders).await {
                Ok(vchan) => vchan,
                Err(error) => return Ok(Err(format!("{error}"))),
            };
            self.terminal.print(&|out| writeln!(out, "vchan connected: {vchan:?}")).await?;
            let bytes = self.options.bytes;
            if !self.options.delay.is_zero() {
                self.rt.sleep(self.options.delay).await;
            }
            match self.exchange(&vchan).await? {
                Ok(Ok(())) => {
                    let line = |out: &mut dyn fmt::Write| {
                        writeln!(out, "vchan verified: {bytes} bytes there and back")
                    };
                    self.terminal.print(&line).await?;
                }
                Ok(Err(reason)) => return Ok(Err(reason)),
                Err(error) if self.options.tireless => {
                    self.terminal.print(&|out| writeln!(out, "vchan lost: {error}")).await?;
                }
                Err(error) => return Ok(Err(format!("{error}"))),
            }
            if self.options.hold {
                let end = guard(self.rt, &vchan, self.place, self.options.watch).await;
                self.terminal.print(&|out| writeln!(out, "vchan: {end}")).await?;
            }
            close(self.rt, self.xen, vchan).await;
        }
        Ok(Ok(()))
    }

    /// Has all bytes sent back, and says now and then how many were.
    async fn exchange(&mut self, vchan: &Vchan<P>) -> Result<Result<Result<(), String>, Error>, Gone> {
        let Options { bytes, window, tell, .. } = *self.options;
        let mut at = 0u64;
        loop {
            let end = at.saturating_add(tell).min(bytes);
            match self.watched(vchan, verify(vchan, at, end, window)).await {
                Ok(Ok(())) if end < bytes => at = end,
                done => return Ok(done),
            }
            self.terminal.print(&|out| writeln!(out, "vchan verified {at} bytes so far")).await?;
        }
    }

    /// Does this as long as the other end exists.
    async fn watched<T>(
        &self,
        vchan: &Vchan<P>,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut work = pin!(work);
        let mut guard = pin!(guard(self.rt, vchan, self.place, self.options.watch));
        let mut over = false;
        poll_fn(|cx| {
            // The work ends by itself once it finds out; what has come before is still read.
            over = over || guard.as_mut().poll(cx).is_ready();
            work.as_mut().poll(cx)
        })
        .await
    }
}

/// Sends back what comes, until the end.
async fn echo<P: Platform>(vchan: &Vchan<P>, echoed: &Cell<u64>) -> Result<(), Error> {
    let mut piece = alloc::vec![0; PIECE];
    loop {
        let len = vchan.read(&mut piece).await?;
        if len == 0 {
            return Ok(());
        }
        let mut rest = &piece[..len];
        while !rest.is_empty() {
            rest = &rest[vchan.write(rest).await?..];
        }
        echoed.set(echoed.get() + len as u64);
    }
}

/// Sends a pattern, from a multiple of 8 to the end of `bytes`, and looks whether the same comes back, both at once.
async fn verify<P: Platform>(
    vchan: &Vchan<P>,
    from: u64,
    bytes: u64,
    window: u64,
) -> Result<Result<(), String>, Error> {
    let (sent, back, more) = (Cell::new(from), Cell::new(from), Signal::new());
    let mut send = pin!(async {
        let mut piece = alloc::vec![0; PIECE + 8];
        for n in 0.. {
            let at: u64 = sent.get();
            if at == bytes {
                return Ok(());
            }
            let room = more.until(|| Some(back.get() + window - at).filter(|&room| room > 0)).await;
            let len = (1 + pattern::mix(SEED, n) % PIECE as u64).min(bytes - at).min(room);
            // The pattern is made from multiples of 8 on.
            let skip = at % 8;
            pattern::fill(SEED, at - skip, &mut piece[..(skip + len) as usize]);
            sent.set(at + vchan.write(&piece[skip as usize..(skip + len) as usize]).await? as u64);
        }
        Ok(())
    });
    let mut receive = pin!(async {
        let (mut piece, mut kept) = (alloc::vec![0; PIECE + 8], 0);
        while back.get() < bytes {
            let len = match vchan.read(&mut piece[kept..]).await? {
                0 => return Err(Error::Closed),
                len => len,
            };
            let at = back.get() - kept as u64;
            back.set(back.get() + len as u64);
            more.fire();
            if let Some(wrong) = pattern::difference(SEED, at, &piece[..kept + len]) {
                return Ok(Err(format!("byte {wrong} came back wrong")));
            }
            let whole = (kept + len) / 8 * 8;
            piece.copy_within(whole..kept + len, 0);
            kept = kept + len - whole;
        }
        Ok(Ok(()))
    });
    let mut all_sent = false;
    poll_fn(|cx| {
        if !all_sent && let Poll::Ready(done) = send.as_mut().poll(cx) {
            if let Err(error) = done {
                return Poll::Ready(Err(error));
            }
            all_sent = true;
        }
        receive.as_mut().poll(cx)
    })
    .await
}
