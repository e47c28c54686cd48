//! What an end of a vchan holds besides its rings, and how it lets go of it all.

use crate::layout::{FLAGS, Role, live};
use crate::stream::Vchan;
use core::future::{Future as _, poll_fn};
use core::ops::Deref;
use core::pin::pin;
use core::task::Poll;
use xen_hyp::{Channel, Joint, Platform, PortStatus, SharedBits, Xen};

/// The control page of one that is open. Dropping it says that we have closed, and then lets go of the page.
pub(crate) struct Control<P: Platform> {
    pub(crate) memory: Joint<P>,
    pub(crate) role: Role,
}

impl<P: Platform> Control<P> {
    /// What our live byte is to be.
    pub(crate) fn say(&self, what: u32) {
        let shift = self.role.live_shift();
        // One that does not let us say so must find out by itself.
        let _ = self.memory.update(FLAGS, 0xff << shift, what << shift);
    }
}

impl<P: Platform> Drop for Control<P> {
    fn drop(&mut self) {
        self.say(live::CLOSED);
    }
}

/// The event channel of one that is open. Dropping it tells the other end that something has changed.
pub(crate) struct Line<P: Platform>(pub(crate) Channel<P>);

impl<P: Platform> Line<P> {
    /// Whether there is anybody at the other end.
    pub(crate) fn is_connected(&self, xen: &Xen<P>) -> bool {
        matches!(xen.status(self.0.port()), Ok(PortStatus::Interdomain(..)))
    }
}

impl<P: Platform> Deref for Line<P> {
    type Target = Channel<P>;

    fn deref(&self) -> &Channel<P> {
        &self.0
    }
}

impl<P: Platform> Drop for Line<P> {
    fn drop(&mut self) {
        self.0.notify();
    }
}

impl<P: Platform> Vchan<P> {
    /// Closes it, and if we are the server waits until the client has let go of our memory, so that it can be used
    /// again; what is dropped instead is kept apart until then. Gives whether it is all back.
    ///
    /// A client that does not close keeps us waiting: whoever is not patient drops the future. One that is killed may say
    /// so before its kernel has let go of the last page, and that is told by no event: whenever the future is polled, it
    /// looks.
    pub async fn close(self) -> bool {
        let Self { out, into, control, line, xen, .. } = self;
        let mut back = true;
        if control.role == Role::Server {
            control.say(live::CLOSED);
            line.notify();
            let all = [Some(&control.memory), out.memory.as_ref(), into.memory.as_ref()];
            let let_go = || {
                // First: it lets go, tells us, and then closes its port, which nobody tells.
                let there = line.is_connected(&xen);
                let held = all.into_iter().flatten().any(Joint::is_held);
                if held && there { None } else { Some(!held) }
            };
            let mut told = pin!(line.until(let_go));
            back = poll_fn(|cx| match told.as_mut().poll(cx) {
                Poll::Pending => let_go().map_or(Poll::Pending, Poll::Ready),
                back => back,
            })
            .await;
        }
        // A server sees first that it is closed and then that nothing of it is mapped.
        drop((out, into));
        drop(control);
        drop(line);
        back
    }
}
