//! Several changes at once, or none.

use crate::Xenstore;
use crate::client::Tx;
use crate::error::Error;
use crate::view::View;
use crate::wire::{Op, number, until_nul};
use core::fmt;
use core::ops::{AsyncFnMut, Deref};
use xen_hyp::Platform;

/// Times that a transaction is tried. A server that keeps saying `EAGAIN` does not keep us forever.
const TRIES: usize = 32;

/// The nodes as a transaction sees them: as they were when it began, with its own changes. Nobody else sees these
/// before it ends well, and then all at once.
pub struct Transaction<P: Platform> {
    view: View<P>,
    ended: bool,
}

impl<P: Platform> Xenstore<P> {
    /// Does `body` in a transaction. If others changed what it saw it is done again, from the beginning, as if the
    /// first time had not been; an error ends it without effect, as does dropping the future. If the connection is
    /// lost while it ends, it may be done again although it took effect.
    pub async fn transaction<T>(
        &self,
        mut body: impl AsyncFnMut(&Transaction<P>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for _ in 0..TRIES {
            let transaction = self.begin().await?;
            let done = match body(&transaction).await {
                Ok(value) => transaction.commit().await.map(|()| value),
                Err(error) => Err(error),
            };
            if done.as_ref().err() != Some(&Error::EAGAIN) {
                return done;
            }
        }
        Err(Error::EAGAIN)
    }

    async fn begin(&self) -> Result<Transaction<P>, Error> {
        let reply = self.ask(Op::TransactionStart, &[b"\0"]).await?;
        let id = number(until_nul(&reply)).filter(|&id| id != 0).ok_or(Error::Corrupt)?;
        let tx = Tx { id, epoch: self.client().epoch() };
        Ok(Transaction { view: View { link: self.link.clone(), tx }, ended: false })
    }
}

impl<P: Platform> Transaction<P> {
    async fn commit(mut self) -> Result<(), Error> {
        let client = self.client().clone();
        let ticket = client.place().claim(Op::TransactionEnd, self.tx, &[b"T\0"]).await?;
        // From here on it is the ticket that sees to it.
        self.ended = true;
        self.link.send();
        ticket.reply().await.map(|_| ())
    }
}

impl<P: Platform> Deref for Transaction<P> {
    type Target = View<P>;
    fn deref(&self) -> &View<P> {
        &self.view
    }
}

impl<P: Platform> Drop for Transaction<P> {
    fn drop(&mut self) {
        if !self.ended {
            self.client().end_transaction(self.tx);
        }
    }
}

impl<P: Platform> fmt::Debug for Transaction<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("id", &self.tx.id).finish_non_exhaustive()
    }
}
