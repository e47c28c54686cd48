//! A pause in what would otherwise not have one.

use core::future::poll_fn;
use core::task::Poll;

/// Lets everybody else have a turn.
pub(crate) async fn pause() {
    let mut paused = false;
    poll_fn(|cx| {
        if paused {
            return Poll::Ready(());
        }
        paused = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
