//! `vchan`: what is typed here is read at another domain's console, and the other way round.

use crate::devices::{Devices, Lines, whole};
use alloc::string::String;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use embedded_io_async::{Read, Write};
use fata_devices::vchan::{Place, Wish, guard};
use fata_kit::{Gone, Terminal};
use fata_rt::Rt;
use fata_vchan::{Error, Meeting as _, Vchan, connect, listen};
use xen_hyp::{Platform, Xen};

/// How long the other end may take to let go of a vchan that has ended.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is read at once.
const PIECE: usize = 512;
/// A line that is typed is no longer than this.
const LINE: usize = 400;
const CTRL_C: u8 = 3;
const BACKSPACE: [u8; 2] = [8, 127];

/// Which vchan a command means; `None` if it makes no sense.
pub(crate) fn parse(argument: &str) -> Option<Wish> {
    let mut words = argument.split_ascii_whitespace();
    let (verb, dom) = (words.next()?, words.next()?);
    let mut wish = Wish::new("chat");
    // Those of the command line, but not one that looks like a verb.
    matches!(verb, "serve" | "connect").then_some(())?;
    wish.word(verb, dom)?;
    for word in words {
        match word.split_once('=') {
            Some((name, value)) => wish.word(name, value)?,
            None => wish.name = word.into(),
        }
    }
    Some(wish)
}

/// Talks until either side ends it. Gives what kept us from it.
pub(crate) async fn chat<P: Platform, C: Read + Write>(
    rt: &Rt,
    xen: &alloc::rc::Rc<Xen<P>>,
    devices: &Devices<P>,
    terminal: &mut Terminal<C>,
    wish: &Wish,
) -> Result<Result<(), Error>, Gone> {
    let place = match wish.place(xen, devices.xenstore()) {
        Ok(Some(place)) => place,
        Ok(None) => return terminal.say("this domain has no Xenstore\n").await.map(Ok),
        Err(error) => return Ok(Err(Error::Xen(error))),
    };
    let peer = wish.peer;
    terminal.print(&|out| writeln!(out, "Waiting for {peer} at {place}; Ctrl-C gives up.")).await?;
    let opened = {
        let mut open = pin!(open(xen, wish, &place));
        let mut stop = pin!(terminal.interrupted());
        poll_fn(|cx| match open.as_mut().poll(cx) {
            Poll::Ready(opened) => Poll::Ready(Ok(Some(opened))),
            Poll::Pending => stop.as_mut().poll(cx).map(|stopped| stopped.map(|()| None)),
        })
        .await?
    };
    let said = match opened {
        None => terminal.say("^C\n").await.map(|()| Ok(())),
        Some(Err(error)) => Ok(Err(error)),
        Some(Ok(vchan)) => {
            let said = talk(rt, &vchan, &place, terminal).await;
            // What is not let go of now is kept apart.
            let _ = rt.timeout(PATIENCE, vchan.close()).await;
            said
        }
    };
    if wish.serve {
        let _ = rt.timeout(PATIENCE, place.withdraw()).await;
    }
    said
}

async fn open<P: Platform>(
    xen: &alloc::rc::Rc<Xen<P>>,
    wish: &Wish,
    place: &Place<P>,
) -> Result<Vchan<P>, Error> {
    if wish.serve {
        Ok(listen(xen, place, wish.orders.unwrap_or(Wish::ORDERS)).await?.accept().await)
    } else {
        connect(xen, place, wish.orders).await
    }
}

/// What happens next.
enum Next {
    /// So many bytes came.
    Read(Result<usize, Error>),
    /// There is input, or no console any more.
    Typed(Result<(), Gone>),
    /// The other end is no more.
    Ended(Error),
}

async fn talk<P: Platform, C: Read + Write>(
    rt: &Rt,
    vchan: &Vchan<P>,
    place: &Place<P>,
    terminal: &mut Terminal<C>,
) -> Result<Result<(), Error>, Gone> {
    terminal.say("Connected. What you type is sent by the line; Ctrl-C ends it.\n").await?;
    let (mut line, mut heard, mut piece) = (String::new(), Vec::new(), [0; PIECE]);
    let mut guard = pin!(guard(rt, vchan, place, None));
    loop {
        let next = {
            let (mut read, mut typed) = (pin!(vchan.read(&mut piece)), pin!(terminal.read()));
            poll_fn(|cx| {
                // Before the end is looked for: what came is still shown.
                if let Poll::Ready(read) = read.as_mut().poll(cx) {
                    return Poll::Ready(Next::Read(read));
                }
                if let Poll::Ready(typed) = typed.as_mut().poll(cx) {
                    return Poll::Ready(Next::Typed(typed.map(|_| ())));
                }
                guard.as_mut().poll(cx).map(Next::Ended)
            })
            .await
        };
        match next {
            Next::Read(Ok(0)) | Next::Ended(Error::Closed) => {
                return terminal.say("The other end has closed.\n").await.map(Ok);
            }
            Next::Read(Ok(len)) => {
                heard.extend_from_slice(&piece[..len]);
                let shown = whole(&heard);
                let text = &heard[..shown];
                terminal.print(&|out| write!(out, "{}", Lines(text))).await?;
                heard.drain(..shown);
            }
            Next::Read(Err(error)) | Next::Ended(error) => return Ok(Err(error)),
            Next::Typed(typed) => {
                typed?;
                match type_on(&mut line, terminal).await? {
                    Typed::More => {}
                    Typed::Stop => return terminal.say("^C\n").await.map(Ok),
                    Typed::Line => {
                        line.push('\n');
                        match send(vchan, &line, terminal).await? {
                            Ok(()) => line.clear(),
                            done => return Ok(done),
                        }
                    }
                }
            }
        }
    }
}

enum Typed {
    More,
    Line,
    Stop,
}

/// Takes in what was typed, up to the end of a line.
async fn type_on<C: Read + Write>(line: &mut String, terminal: &mut Terminal<C>) -> Result<Typed, Gone> {
    let (mut echo, mut used, mut typed) = (String::new(), 0, Typed::More);
    for &byte in terminal.read().await? {
        used += 1;
        match byte {
            CTRL_C => typed = Typed::Stop,
            b'\r' => {
                echo.push('\n');
                typed = Typed::Line;
            }
            _ if BACKSPACE.contains(&byte) && line.pop().is_some() => echo.push_str("\x08 \x08"),
            b' '..=b'~' if line.len() < LINE => {
                line.push(byte.into());
                echo.push(byte.into());
            }
            _ => {}
        }
        if !matches!(typed, Typed::More) {
            break;
        }
    }
    terminal.used(used);
    terminal.say(&echo).await?;
    Ok(typed)
}

/// Sends a line, unless the user loses patience.
async fn send<P: Platform, C: Read + Write>(
    vchan: &Vchan<P>,
    line: &str,
    terminal: &mut Terminal<C>,
) -> Result<Result<(), Error>, Gone> {
    let mut send = pin!(vchan.send(line.as_bytes()));
    let mut stop = pin!(terminal.interrupted());
    poll_fn(|cx| match send.as_mut().poll(cx) {
        Poll::Ready(sent) => Poll::Ready(Ok(sent)),
        Poll::Pending => stop.as_mut().poll(cx).map(|stopped| stopped.map(|()| Err(Error::Closed))),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use xen_hyp::DomId;

    #[test]
    fn arguments_say_who_and_where() {
        let wish = parse("serve 3").unwrap();
        assert_eq!((wish.serve, wish.peer, &*wish.name), (true, DomId(3), "chat"));
        let wish = parse("connect 0 path=/a/b").unwrap();
        assert_eq!((wish.serve, wish.peer, wish.path.as_deref()), (false, DomId(0), Some("/a/b")));
        assert_eq!(parse("connect 1 other").unwrap().name, "other");
        for wrong in ["", "serve", "serve x", "talk 1", "serve 1 port=x", "name 1"] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
