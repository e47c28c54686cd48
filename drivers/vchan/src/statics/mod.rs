//! vchan over memory that both ends were given before they started, with an event channel that Xen made then too: for
//! domains that Xen starts by itself, and may not lend each other anything.
//!
//! The memory is [`Passed`]: nobody clears it, and the ends start in any order, once or again. So each end numbers its lives,
//! and says which life of the other it talks to. What stands there from a life before is never believed:
//!
//! 1. An end that starts takes the next number, makes its block say so, with indices of zero, and tells the other.
//! 2. It looks which life the other end has, puts that down as the one it talks to, and tells it.
//! 3. When the other end talks to ours too, both indices count from zero, and bytes flow.
//! 4. When the other end is another than the one that was talked to, this life has ended: [`Error::Gone`].

mod layout;
mod stream;

use crate::error::Error;
use crate::layout::{Role, live};
use alloc::rc::Rc;
use layout::{CONS, KIND, LIFE, LIVE, MAGIC, ORDER, PROD, TELL_CONS, TELL_PROD, WITH, block, order, orders};
use stream::Side;
pub use stream::StaticVchan;
use xen_hyp::{Channel, Passed, Platform, Port, SharedMem, Xen};

/// Where a vchan is that was laid out before its domains started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticPlace {
    /// The guest physical address of the memory.
    pub at: u64,
    /// How many bytes there are: whole pages.
    pub size: usize,
    /// Our port of the event channel.
    pub port: Port,
    /// Whether we are the server. One of both has to be.
    pub serve: bool,
}

/// One end's own things. Dropping it says that it has closed.
pub(crate) struct End<P: Platform> {
    memory: Passed<P>,
    channel: Channel<P>,
    role: Role,
    life: u32,
    order: u16,
}

/// Opens a vchan and waits until the other end is there.
pub async fn meet<P: Platform>(xen: &Rc<Xen<P>>, place: &StaticPlace) -> Result<StaticVchan<P>, Error> {
    let memory = xen.map_passed(place.at, place.size).ok_or(Error::NoPlace)?;
    let channel = xen.adopt(place.port).map_err(Error::Xen)?;
    let role = if place.serve { Role::Server } else { Role::Client };
    let end = End::begin(memory, channel, role);
    let with = end.channel.until(|| end.other().transpose()).await?;
    Ok(StaticVchan::new(end, with, xen))
}

impl<P: Platform> End<P> {
    /// Begins a life.
    fn begin(memory: Passed<P>, channel: Channel<P>, role: Role) -> Self {
        let order = order(memory.size());
        let ours = block(role);
        let before = memory.load(ours + LIFE);
        // An even number was left by a life that did not get so far as to begin.
        let between = before.wrapping_add(before & 1);
        memory.store(ours + LIFE, between);
        for (field, value) in [
            (KIND, MAGIC),
            (WITH, 0),
            (ORDER, order.into()),
            (LIVE, live::OPEN),
            (PROD, 0),
            (CONS, 0),
            (TELL_PROD, 1),
            (TELL_CONS, 0),
        ] {
            memory.store(ours + field, value);
        }
        // If the other end seems to talk to this life already, its word is from before power came.
        let known = memory.load(block(role.peer()) + WITH);
        let life = between.wrapping_add(1);
        let life = if life == known { life.wrapping_add(2) } else { life };
        // All else is in its place before the other end can see this.
        memory.store(ours + LIFE, life);
        let end = Self { memory, channel, role, life, order };
        end.tell();
        end
    }

    /// Looks for the other end: gives its life once it talks to ours.
    fn other(&self) -> Result<Option<u32>, Error> {
        let Some(life) = self.their_life() else { return Ok(None) };
        if self.ours(WITH) != life {
            self.put(WITH, life);
            self.tell();
        }
        let [with, order, live, prod] = [WITH, ORDER, LIVE, PROD].map(|field| self.theirs(field));
        // Lives have numbers of their own, so what was read in between is of this one.
        if with != self.life || self.their_life() != Some(life) {
            return Ok(None);
        }
        if order != u32::from(self.order) {
            return Err(Error::Disagree(orders(self.order), orders(order as u16)));
        }
        // One that has gone again without a word is not worth meeting. It will come again, or not.
        Ok((live != live::CLOSED || prod != 0).then_some(life))
    }

    fn their_life(&self) -> Option<u32> {
        let life = self.theirs(LIFE);
        (self.theirs(KIND) == MAGIC && life % 2 == 1).then_some(life)
    }

    /// A field of our own block, which only we write; so there is no need to look at what it has come to be.
    fn ours(&self, field: usize) -> u32 {
        self.memory.load(block(self.role) + field)
    }

    fn put(&self, field: usize, value: u32) {
        self.memory.store(block(self.role) + field, value);
    }

    fn theirs(&self, field: usize) -> u32 {
        self.memory.load(block(self.role.peer()) + field)
    }

    /// Tells the other end that something has changed.
    fn tell(&self) {
        self.memory.fence();
        self.channel.notify();
    }

    /// The rings: that which we write, and that which the other end writes.
    fn sides(&self) -> [Side; 2] {
        [self.role, self.role.peer()].map(|writer| Side::new(layout::ring(writer, self.order), self.order))
    }
}

impl<P: Platform> Drop for End<P> {
    fn drop(&mut self) {
        self.put(LIVE, live::CLOSED);
        self.tell();
    }
}
