//! How a vchan comes to be: what the server lays out, and what the client makes of it.

use crate::error::Error;
use crate::layout::{
    CONS, FLAGS, GRANTS, LEFT, NOTIFY_WRITE, ORDERS, Orders, PROD, RIGHT, Role, live, pages,
};
use crate::meeting::{Meeting, Offer};
use crate::memory::Memory;
use crate::stream::{Ring, Vchan};
use alloc::rc::Rc;
use alloc::vec::Vec;
use xen_hyp::{
    Access, Channel, DomId, GrantError, GrantRef, Granted, PAGE_SIZE, Pages, Platform, SharedBits, SharedMem,
    Xen, XenError,
};

/// A server that waits for its client.
pub struct Listener<P: Platform> {
    xen: Rc<Xen<P>>,
    control: Granted<P>,
    rings: [Option<Granted<P>>; 2],
    orders: Orders,
    channel: Channel<P>,
}

/// Lays out a vchan for the client that `meeting` names, and tells it where.
pub async fn listen<P: Platform>(
    xen: &Rc<Xen<P>>,
    meeting: &impl Meeting<P>,
    orders: Orders,
) -> Result<Listener<P>, Error> {
    if !orders.are_possible() {
        return Err(Error::Orders(orders));
    }
    let peer = meeting.peer();
    let ring = |order: u16| match pages(order) {
        0 => Ok(None),
        count => lend(xen, peer, count).map(Some),
    };
    let rings = [ring(orders.left)?, ring(orders.right)?];
    let mut grants = Vec::new();
    for ring in rings.iter().flatten() {
        ring.each_ref(0..ring.count(), |gref| grants.extend(gref.0.to_le_bytes()));
    }
    // All is in its place before the client can see it.
    let mut page = Pages::new(1).ok_or(Error::NoMemory)?;
    page[GRANTS..GRANTS + grants.len()].copy_from_slice(&grants);
    page[ORDERS..ORDERS + 4].copy_from_slice(&orders.word().to_le_bytes());
    let flags = live::AWAITED << Role::Client.live_shift()
        | live::OPEN << Role::Server.live_shift()
        | NOTIFY_WRITE << Role::Server.wish_shift();
    page[FLAGS..FLAGS + 4].copy_from_slice(&flags.to_le_bytes());
    let channel = meeting.listen(xen)?;
    let control = match meeting.gref() {
        Some(gref) => page.grant_at(xen, peer, Access::Write, gref),
        None => page.grant(xen, peer, Access::Write),
    };
    let control = control.map_err(|refused| refused.error)?;
    meeting.offer(Offer { gref: control.gref(), port: channel.port() }).await?;
    // One that was here first and found nothing waits for this.
    channel.notify();
    Ok(Listener { xen: xen.clone(), control, rings, orders, channel })
}

fn lend<P: Platform>(xen: &Rc<Xen<P>>, peer: DomId, count: usize) -> Result<Granted<P>, Error> {
    let pages = Pages::new(count).ok_or(Error::NoMemory)?;
    pages.grant(xen, peer, Access::Write).map_err(|refused| refused.error.into())
}

impl<P: Platform> Listener<P> {
    /// Waits for the client.
    pub async fn accept(self) -> Vchan<P> {
        let shift = Role::Client.live_shift();
        let came = || (self.control.load(FLAGS) >> shift & 0xff != live::AWAITED).then_some(());
        self.channel.until(came).await;
        let Self { xen, control, rings: [left, right], orders, channel } = self;
        let into = Ring::new(left.map(Memory::Lent), orders.left, LEFT, 0, 0);
        let out = Ring::new(right.map(Memory::Lent), orders.right, RIGHT, 0, 0);
        Vchan::new(Role::Server, Memory::Lent(control), out, into, channel, &xen)
    }
}

/// Connects to the server that `meeting` names, waiting for it to be there. If we were told which `orders` its rings
/// have, it must have these.
pub async fn connect<P: Platform>(
    xen: &Rc<Xen<P>>,
    meeting: &impl Meeting<P>,
    orders: Option<Orders>,
) -> Result<Vchan<P>, Error> {
    let mut known = None;
    loop {
        // Another than the last, behind which there was nobody any more.
        let offer = meeting.seek(known).await?;
        let channel = match meeting.join(xen, offer) {
            Ok(channel) => channel,
            Err(XenError::EINVAL | XenError::ESRCH | XenError::ENOENT) if !meeting.is_fixed() => {
                known = Some(offer);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        loop {
            let seen = channel.seen();
            match xen.map(meeting.peer(), &[offer.gref]) {
                Ok(control) => match attach(xen, meeting.peer(), Memory::Mapped(control), channel, orders) {
                    // A server that ended just now.
                    Err(Error::Grant(GrantError::Status(_))) if !meeting.is_fixed() => break,
                    attached => return attached,
                },
                // Nothing is lent yet, or not any more.
                Err(GrantError::Status(_)) if meeting.is_fixed() => channel.after(seen).await,
                Err(GrantError::Status(_)) => break,
                Err(error) => return Err(error.into()),
            };
        }
        known = Some(offer);
    }
}

/// Makes a vchan of a control page that somebody else laid out. Each of its fields is read once.
fn attach<P: Platform>(
    xen: &Rc<Xen<P>>,
    peer: DomId,
    control: Memory<P>,
    channel: Channel<P>,
    expected: Option<Orders>,
) -> Result<Vchan<P>, Error> {
    let orders = Orders::of_word(control.load(ORDERS));
    if let Some(expected) = expected.filter(|&expected| expected != orders) {
        return Err(Error::Disagree(expected, orders));
    }
    if !orders.are_possible() {
        return Err(Error::Corrupt);
    }
    let mut next = GRANTS;
    let mut ring = |order: u16, indices: usize, ours: usize, theirs: usize| {
        let mut bytes = alloc::vec![0; 4 * pages(order)];
        control.copy_in(next, &mut bytes);
        next += bytes.len();
        let grefs: Vec<GrantRef> =
            bytes.as_chunks::<4>().0.iter().map(|gref| GrantRef(u32::from_le_bytes(*gref))).collect();
        let memory = if grefs.is_empty() { None } else { Some(Memory::Mapped(xen.map(peer, &grefs)?)) };
        let (ours, theirs) = (control.load(indices + ours), control.load(indices + theirs));
        let used = if indices == LEFT { ours.wrapping_sub(theirs) } else { theirs.wrapping_sub(ours) };
        if used > 1 << order {
            return Err(Error::Corrupt);
        }
        Ok(Ring::new(memory, order, indices, ours, theirs))
    };
    let out = ring(orders.left, LEFT, PROD, CONS)?;
    let into = ring(orders.right, RIGHT, CONS, PROD)?;
    let shift = Role::Client.live_shift();
    let wish = NOTIFY_WRITE << Role::Client.wish_shift();
    control.update(FLAGS, 0xff << shift, live::OPEN << shift | wish).ok_or(Error::Corrupt)?;
    channel.notify();
    Ok(Vchan::new(Role::Client, control, out, into, channel, xen))
}

const _: () = assert!(GRANTS + 4 * 512 <= PAGE_SIZE);
