//! Carrying bytes from one stream to another, and back.

use crate::error::Error;
use crate::outside::Outside;
use crate::stream::Stream;
use alloc::vec;
use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use fata_rt::Rt;

/// What is carried at once, at most.
const PIECE: usize = 8 << 10;

/// How much was carried, and why no more.
#[derive(Debug)]
pub struct Relayed<E> {
    /// Bytes from the first to the second,
    pub there: u64,
    /// and from the second to the first.
    pub back: u64,
    /// What went wrong first, if anything did.
    pub error: Option<Error<E>>,
}

type Way<'a, E> = Pin<&'a mut dyn Future<Output = Result<(), Error<E>>>>;

/// Carries what each sends to the other until both have ended, or one cannot go on, or nothing was carried for `idle`. The
/// end of either way is passed on by itself, so that a peer that is done can still be answered.
pub async fn relay<O: Outside>(
    rt: &Rt,
    one: &Stream<O>,
    other: &Stream<O>,
    idle: Duration,
) -> Relayed<O::Error> {
    let last_ns = Cell::new(rt.now_ns());
    let carried = [Cell::new(0), Cell::new(0)];
    let (last, counts) = (&last_ns, &carried);
    let carry = |from, to, way: usize| {
        carry(from, to, move |len| {
            counts[way].update(|all| all + len as u64);
            last.set(rt.now_ns());
        })
    };
    let (one_way, other_way) = (pin!(carry(one, other, 0)), pin!(carry(other, one, 1)));
    let watched = pin!(async {
        loop {
            let quiet = Duration::from_nanos(rt.now_ns() - last_ns.get());
            match idle.checked_sub(quiet).filter(|rest| !rest.is_zero()) {
                Some(rest) => rt.sleep(rest).await,
                None => return Err(Error::Idle),
            }
        }
    });
    let mut ways: [Option<Way<'_, O::Error>>; 2] = [Some(one_way), Some(other_way)];
    let mut watched: Way<'_, O::Error> = watched;
    let error = poll_fn(|cx| {
        for way in &mut ways {
            match way.as_mut().map(|way| way.as_mut().poll(cx)) {
                Some(Poll::Ready(Err(error))) => return Poll::Ready(Some(error)),
                Some(Poll::Ready(Ok(()))) => *way = None,
                _ => {}
            }
        }
        if ways.iter().all(Option::is_none) {
            return Poll::Ready(None);
        }
        watched.as_mut().poll(cx).map(Result::err)
    })
    .await;
    Relayed { there: carried[0].get(), back: carried[1].get(), error }
}

async fn carry<O: Outside>(
    from: &Stream<O>,
    to: &Stream<O>,
    carried: impl Fn(usize),
) -> Result<(), Error<O::Error>> {
    let mut buffer = vec![0; PIECE];
    loop {
        let len = from.read(&mut buffer).await?;
        if len == 0 {
            return to.finish().await;
        }
        let mut rest = &buffer[..len];
        while !rest.is_empty() {
            let written = to.write(rest).await?;
            rest = &rest[written..];
            carried(written);
        }
    }
}
