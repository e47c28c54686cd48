//! Waiting for whichever comes first.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

/// Which of two came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First<A, B> {
    /// The one that was named first.
    A(A),
    /// The other.
    B(B),
}

/// Waits for one of two, and gives the other up. If both are there, it is the first.
pub async fn first<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> First<A, B> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| match a.as_mut().poll(cx) {
        Poll::Ready(a) => Poll::Ready(First::A(a)),
        Poll::Pending => b.as_mut().poll(cx).map(First::B),
    })
    .await
}
