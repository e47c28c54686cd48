//! How a vchan comes to be: what the server lays out, and what the client makes of it.

use crate::end::{Control, Line};
use crate::error::Error;
use crate::layout::{
    CONS, FLAGS, GRANTS, LEFT, NOTIFY_WRITE, ORDERS, Orders, PROD, RIGHT, Role, live, pages,
};
use crate::meeting::{Meeting, Offer};
use crate::ring::Ring;
use crate::stream::Vchan;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::pin;
use xen_hyp::{
    Access, Channel, DomId, GrantError, GrantRef, Granted, Joint, PAGE_SIZE, Pages, Platform, SharedBits,
    SharedMem, Xen, XenError,
};

/// A server that waits for its client.
pub struct Listener<'a, P: Platform, M> {
    meeting: &'a M,
    xen: Rc<Xen<P>>,
    control: Granted<P>,
    rings: [Option<Granted<P>>; 2],
    orders: Orders,
    channel: Channel<P>,
}

/// Lays out a vchan for the client that `meeting` names, and tells it where.
pub async fn listen<'a, P: Platform, M: Meeting<P>>(
    xen: &Rc<Xen<P>>,
    meeting: &'a M,
    orders: Orders,
) -> Result<Listener<'a, P, M>, Error> {
    if !orders.are_possible() {
        return Err(Error::Orders(orders));
    }
    let peer = meeting.peer();
    let channel = meeting.listen(xen).map_err(|error| Error::of_event(error, peer))?;
    // First, lest others take what it has to be lent by. As long as it is empty, there is nobody behind it.
    let control = Pages::new(1).ok_or(Error::NoMemory)?;
    let control = match meeting.gref() {
        Some(gref) => control.grant_at(xen, peer, Access::Write, gref),
        None => control.grant(xen, peer, Access::Write),
    };
    let control = control.map_err(|refused| refused.error)?;
    let ring = |order: u16| match pages(order) {
        0 => Ok(None),
        count => lend(xen, peer, count).map(Some),
    };
    let rings = [ring(orders.left)?, ring(orders.right)?];
    let mut grants = Vec::new();
    for ring in rings.iter().flatten() {
        ring.each_ref(0..ring.count(), |gref| grants.extend(gref.0.to_le_bytes()));
    }
    control.copy_out(GRANTS, &grants);
    control.store(ORDERS, orders.word());
    let flags = live::AWAITED << Role::Client.live_shift()
        | live::OPEN << Role::Server.live_shift()
        | NOTIFY_WRITE << Role::Server.wish_shift();
    // All else is in its place before the client can see this.
    control.store(FLAGS, flags);
    meeting.offer(Offer { gref: control.gref(), port: channel.port() }).await?;
    // One that was here first and found nothing waits for this.
    channel.notify();
    Ok(Listener { meeting, xen: xen.clone(), control, rings, orders, channel })
}

fn lend<P: Platform>(xen: &Rc<Xen<P>>, peer: DomId, count: usize) -> Result<Granted<P>, Error> {
    let pages = Pages::new(count).ok_or(Error::NoMemory)?;
    pages.grant(xen, peer, Access::Write).map_err(|refused| refused.error.into())
}

impl<P: Platform, M: Meeting<P>> Listener<'_, P, M> {
    /// Waits for the client.
    pub async fn accept(self) -> Vchan<P> {
        let shift = Role::Client.live_shift();
        {
            let came = || (self.control.load(FLAGS) >> shift & 0xff != live::AWAITED).then_some(());
            let mut came = pin!(self.channel.until(came));
            let mut attend = pin!(self.meeting.attend());
            poll_fn(|cx| {
                // It never ends.
                let _ = attend.as_mut().poll(cx);
                came.as_mut().poll(cx)
            })
            .await;
        }
        let Self { xen, control, rings: [left, right], orders, channel, .. } = self;
        let into = Ring::new(left.map(Joint::from), orders.left, LEFT, 0, 0);
        let out = Ring::new(right.map(Joint::from), orders.right, RIGHT, 0, 0);
        let control = Control { memory: control.into(), role: Role::Server };
        Vchan::new(control, out, into, Line(channel), &xen)
    }
}

/// Connects to the server that `meeting` names, waiting for it to be there. If we were told which `orders` its rings
/// have, it must have these.
pub async fn connect<P: Platform>(
    xen: &Rc<Xen<P>>,
    meeting: &impl Meeting<P>,
    orders: Option<Orders>,
) -> Result<Vchan<P>, Error> {
    let peer = meeting.peer();
    let mut known = None;
    loop {
        // Another than the last, behind which there was nobody any more.
        let offer = meeting.seek(known).await?;
        known = Some(offer);
        let channel = match meeting.join(xen, offer) {
            Ok(channel) => channel,
            Err(XenError::EINVAL | XenError::ESRCH | XenError::ENOENT) if !meeting.is_fixed() => continue,
            Err(error) => return Err(Error::of_event(error, peer)),
        };
        loop {
            let seen = channel.seen();
            match attach(xen, meeting, offer.gref, orders) {
                Ok(Some((control, out, into))) => {
                    let vchan = Vchan::new(control, out, into, Line(channel), xen);
                    vchan.line.notify();
                    return Ok(vchan);
                }
                // Nothing is lent yet, or not any more.
                Ok(None) if meeting.is_fixed() => channel.after(seen).await,
                Ok(None) => break,
                Err(error) => return Err(error),
            };
        }
    }
}

/// An end but for its event channel.
type Attached<P> = (Control<P>, Ring<P>, Ring<P>);

/// Makes an end of a control page that somebody else laid out. Each of its fields is read once. `None` if there is
/// nobody behind it.
fn attach<P: Platform>(
    xen: &Rc<Xen<P>>,
    meeting: &impl Meeting<P>,
    gref: GrantRef,
    expected: Option<Orders>,
) -> Result<Option<Attached<P>>, Error> {
    let peer = meeting.peer();
    let Some(control) = map(xen, peer, &[gref])? else { return Ok(None) };
    let flags = control.load(FLAGS);
    let is = |role: Role, what: u32| flags >> role.live_shift() & 0xff == what;
    // Where another can come only to the same place, it must be one that has not been used: a server that has noticed
    // the end of our last vchan makes another.
    let used = meeting.is_fixed() && !is(Role::Client, live::AWAITED);
    if used || is(Role::Server, live::CLOSED) {
        return Ok(None);
    }
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
        let memory = match grefs.is_empty() {
            true => None,
            false => match map(xen, peer, &grefs)? {
                Some(memory) => Some(memory),
                None => return Ok(None),
            },
        };
        let (ours, theirs) = (control.load(indices + ours), control.load(indices + theirs));
        let used = if indices == LEFT { ours.wrapping_sub(theirs) } else { theirs.wrapping_sub(ours) };
        if used > 1 << order {
            return Err(Error::Corrupt);
        }
        Ok(Some(Ring::new(memory, order, indices, ours, theirs)))
    };
    let Some(out) = ring(orders.left, LEFT, PROD, CONS)? else { return Ok(None) };
    let Some(into) = ring(orders.right, RIGHT, CONS, PROD)? else { return Ok(None) };
    let shift = Role::Client.live_shift();
    let wish = NOTIFY_WRITE << Role::Client.wish_shift();
    control.update(FLAGS, 0xff << shift, live::OPEN << shift | wish).ok_or(Error::Corrupt)?;
    Ok(Some((Control { memory: control, role: Role::Client }, out, into)))
}

/// Maps what `peer` lends; `None` if it lends nothing by these references.
fn map<P: Platform>(xen: &Rc<Xen<P>>, peer: DomId, grefs: &[GrantRef]) -> Result<Option<Joint<P>>, Error> {
    match xen.map(peer, grefs) {
        Ok(mapped) => Ok(Some(mapped.into())),
        Err(error @ GrantError::Status(GrantError::PERMISSION_DENIED | GrantError::NO_SPACE)) => {
            Err(Error::of_map(error, peer))
        }
        Err(GrantError::Status(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

const _: () = assert!(GRANTS + 4 * 512 <= PAGE_SIZE);
