//! Carries, and counts.

use crate::options::{Way, Wish};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::Cell;
use core::fmt;
use fata_conduit::{Conduit, Error, Outside, Relayed, Stream, relay};
use fata_rt::Rt;

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections that are open,
    pub open: u32,
    /// were carried to their ends,
    pub carried: u64,
    /// broke or were silent for too long,
    pub broken: u64,
    /// for which nobody was there inside,
    pub unanswered: u64,
    /// and with whom TLS did not come about.
    pub refused: u64,
    /// Bytes in and out.
    pub bytes: [u64; 2],
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { open, carried, broken, unanswered, refused, bytes: [there, back] } = self;
        write!(
            f,
            "{open} open, {carried} carried, {broken} broken, {unanswered} unanswered, {refused} refused, "
        )?;
        write!(f, "{there} bytes in, {back} out")
    }
}

/// Carries from now on. An error says which address cannot be listened at.
pub fn carry<O: Outside>(
    rt: &Rt,
    conduit: &Rc<Conduit<O>>,
    way: &Way,
    wish: Wish,
    totals: &Rc<Cell<Totals>>,
) -> Result<(), String> {
    let listener = conduit.listen(&way.listen).map_err(|error| format!("{}: {error}", way.listen))?;
    let (rt2, conduit, way, totals) = (rt.clone(), conduit.clone(), way.clone(), totals.clone());
    drop(rt.spawn(async move {
        let (listen, to, rt3) = (way.listen.clone(), way.to, rt2.clone());
        let serve = move |stream: Result<Stream<O>, Error<O::Error>>| {
            let (rt, conduit, to, totals) = (rt3.clone(), conduit.clone(), to.clone(), totals.clone());
            async move {
                let count = |change: fn(&mut Totals)| {
                    let mut all = totals.get();
                    change(&mut all);
                    totals.set(all);
                };
                let Ok(stream) = stream else { return count(|totals| totals.refused += 1) };
                count(|totals| totals.open += 1);
                match rt.timeout(wish.open, conduit.connect(&to)).await {
                    Ok(Ok(inside)) => one(&rt, stream, inside, wish, &totals).await,
                    Ok(Err(error)) => {
                        fata_log::warn!("{}: {}", to, error);
                        count(|totals| totals.unanswered += 1);
                        stream.abort();
                    }
                    Err(_) => {
                        fata_log::warn!("{}: no answer", to);
                        count(|totals| totals.unanswered += 1);
                        stream.abort();
                    }
                }
                count(|totals| totals.open -= 1);
            }
        };
        let error = listener.serve(&rt2, wish.most, serve).await;
        fata_log::error!("{}: {}", listen, error);
    }));
    Ok(())
}

/// What goes wrong on one side is passed on to the other as far as it can tell that from an end in order.
async fn one<O: Outside>(rt: &Rt, outside: Stream<O>, inside: Stream<O>, wish: Wish, totals: &Cell<Totals>) {
    let Relayed { there, back, error } = relay(rt, &outside, &inside, wish.idle).await;
    let mut all = totals.get();
    all.bytes = [all.bytes[0] + there, all.bytes[1] + back];
    match error {
        None => all.carried += 1,
        Some(_) => {
            all.broken += 1;
            outside.abort();
            inside.abort();
        }
    }
    totals.set(all);
}
