//! Carrying bytes from one stream to another, and back.

use crate::error::Error;
use crate::outside::Outside;
use crate::stream::Stream;
use alloc::vec;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;

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

/// Carries what each sends to the other until both have ended, or one cannot go on. The end of either way is passed on
/// by itself, so that a peer that is done can still be answered.
pub async fn relay<O: Outside>(one: &Stream<O>, other: &Stream<O>) -> Relayed<O::Error> {
    let (mut there, mut back) = (0, 0);
    let error = {
        let (one_way, other_way) = (pin!(carry(one, other, &mut there)), pin!(carry(other, one, &mut back)));
        let mut ways: [Option<Way<'_, O::Error>>; 2] = [Some(one_way), Some(other_way)];
        poll_fn(|cx| {
            for way in &mut ways {
                match way.as_mut().map(|way| way.as_mut().poll(cx)) {
                    Some(Poll::Ready(Err(error))) => return Poll::Ready(Some(error)),
                    Some(Poll::Ready(Ok(()))) => *way = None,
                    _ => {}
                }
            }
            if ways.iter().all(Option::is_none) { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    };
    Relayed { there, back, error }
}

async fn carry<O: Outside>(
    from: &Stream<O>,
    to: &Stream<O>,
    carried: &mut u64,
) -> Result<(), Error<O::Error>> {
    let mut buffer = vec![0; PIECE];
    loop {
        let len = from.read(&mut buffer).await?;
        if len == 0 {
            to.finish();
            return Ok(());
        }
        let mut rest = &buffer[..len];
        while !rest.is_empty() {
            let written = to.write(rest).await?;
            rest = &rest[written..];
            *carried += written as u64;
        }
    }
}
