//! `random`: where entropy came from, and numbers that are drawn from it.

use super::{Devices, Out, Trouble};
use crate::table::Table;
use alloc::string::String;
use core::fmt::{self, Write};
use fata_random::{Entropy, Given, Jitter, Random};
use xen_hyp::Platform;

/// Times in a line.
const TIMES: usize = 12;

impl<P: Platform> Devices<P> {
    /// What has been gathered, and a number; or with words, the times that jitter is made of.
    pub(super) async fn random(&self, argument: &str, out: &Out) -> Result<(), Trouble> {
        let mut words = argument.split_ascii_whitespace();
        match words.next() {
            None => {
                let random = self.seeded(out).await;
                let numbers = [random.number(), random.number()];
                out.say(&|w| {
                    let t = &mut Table::new(w, out.ink);
                    rows(t, &self.entropy)?;
                    t.row("drawn now", format_args!("{:016x}{:016x}", numbers[0], numbers[1]))
                });
            }
            Some("raw") => {
                let count = words.next().map_or(Ok(10 * TIMES), str::parse).map_err(|_| Trouble::Usage)?;
                self.raw(count, out).await?;
            }
            Some(_) => return Err(Trouble::Usage),
        }
        Ok(())
    }

    /// What draws numbers, once there is enough to draw from.
    pub(super) async fn seeded(&self, out: &Out) -> Random {
        if !self.entropy.is_seeded() {
            out.say(&|w| writeln!(w, "waiting for entropy: there is {}; Ctrl-C gives up", self.entropy));
        }
        self.entropy.seeded().await
    }

    async fn raw(&self, mut count: usize, out: &Out) -> Result<(), Trouble> {
        let no_memory = || Trouble::Words("there is not enough memory for the work".into());
        let mut jitter = Jitter::new().ok_or_else(no_memory)?;
        let mut ticks = || self.xen.platform().ticks();
        while count > 0 {
            let mut times = [0; TIMES];
            let times = &mut times[..count.min(TIMES)];
            // The first is since long ago.
            jitter.measure(&mut ticks);
            times.iter_mut().for_each(|time| *time = jitter.measure(&mut ticks));
            out.say(&|w| {
                times.iter().try_for_each(|time| write!(w, " {time}"))?;
                w.write_str("\n")
            });
            count -= times.len();
            out.room().await;
        }
        Ok(())
    }
}

/// A row for each source that was heard of.
fn rows(t: &mut Table<'_>, entropy: &Entropy) -> fmt::Result {
    for Given { source, bits, remark } in entropy.sources() {
        // As wide as labels are.
        let mut label = String::new();
        write!(label, "{source}")?;
        match remark {
            Some(remark) if bits == 0 => t.row(&label, format_args!("{remark}"))?,
            Some(remark) => t.row(&label, format_args!("{bits} bits; {remark}"))?,
            None => t.row(&label, format_args!("{bits} bits"))?,
        }
    }
    Ok(())
}
