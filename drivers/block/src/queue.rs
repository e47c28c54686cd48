//! One ring and what is under way in it.

use crate::request::Piece;
use crate::wire::{Response, SLOT_BYTES};
use alloc::vec::Vec;
use fata_ring::{Corrupt, Front};
use xen_hyp::{Granted, Platform};

/// A request in the ring.
pub(crate) struct Flight<P: Platform> {
    pub(crate) piece: Piece<P>,
    /// Pages lent for good that it has the use of.
    pub(crate) pages: Vec<Granted<P>>,
    /// The page with its segments, if they are not in the request.
    pub(crate) table: Option<Granted<P>>,
}

/// A ring.
pub(crate) struct Queue<P: Platform> {
    pub(crate) front: Front<Granted<P>>,
    flights: Vec<Option<(u64, Flight<P>)>>,
    free: Vec<u16>,
    /// Makes each id another, so that an answer given twice is noticed.
    round: u32,
}

impl<P: Platform> Queue<P> {
    pub(crate) fn new(memory: Granted<P>) -> Self {
        let front = Front::new(memory, SLOT_BYTES);
        // At most 512: sixteen pages.
        let size = front.size() as u16;
        Self { flights: (0..size).map(|_| None).collect(), free: (0..size).rev().collect(), round: 0, front }
    }

    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty() && self.front.room() > 0
    }

    /// The id that the next request will have.
    pub(crate) fn next_id(&self) -> u64 {
        u64::from(self.round) << 32 | u64::from(self.free.last().copied().unwrap_or(0))
    }

    /// Puts a request into the ring, which has room for it.
    pub(crate) fn push(&mut self, bytes: &[u8], flight: Flight<P>) {
        let id = self.next_id();
        if let Some(slot) = self.free.pop() {
            self.front.push(bytes);
            self.flights[usize::from(slot)] = Some((id, flight));
            self.round = self.round.wrapping_add(1);
        }
    }

    /// Takes the next answer: whose it is, and its status. An answer to nothing that is under way is [`Corrupt`].
    pub(crate) fn take(&mut self) -> Result<Option<(Flight<P>, i16)>, Corrupt> {
        let Some(response) = self.front.take::<Response>()? else { return Ok(None) };
        let slot = response.id as u32 as usize;
        let flight =
            self.flights.get_mut(slot).and_then(|flight| flight.take_if(|(id, _)| *id == response.id));
        let (_, flight) = flight.ok_or(Corrupt)?;
        self.free.push(slot as u16);
        Ok(Some((flight, response.status)))
    }

    /// What is under way.
    pub(crate) fn into_flights(self) -> impl Iterator<Item = Flight<P>> {
        self.flights.into_iter().flatten().map(|(_, flight)| flight)
    }
}
