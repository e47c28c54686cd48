//! Pings, and says what happens.

use crate::options::Wish;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use embedded_io_async::{Read, Write};
use fata_kit::{Gone, Terminal};
use fata_netstack::{IpAddress, IpCidr, Lease, Stack};
use fata_rt::Rt;

/// What is known of the interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct View {
    up: bool,
    epoch: u32,
    mac: [u8; 6],
    addresses: Vec<IpCidr>,
    lease: Option<Lease>,
    name_servers: Vec<IpAddress>,
}

impl View {
    fn of(stack: &Stack) -> Self {
        let link = stack.link();
        let (addresses, lease) = (stack.addresses(), stack.lease());
        let name_servers = stack.name_servers();
        Self { up: link.up, epoch: link.epoch, mac: link.mac.0, addresses, lease, name_servers }
    }
}

/// What has become of the interface since it was last told.
struct News<'a> {
    old: &'a View,
    new: &'a View,
}

impl fmt::Display for News<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { old, new } = self;
        if (new.up, new.epoch) != (old.up, old.epoch) {
            if new.up {
                let [a, b, c, d, e, g] = new.mac;
                writeln!(f, "link up, {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")?;
            } else {
                writeln!(f, "link down")?;
            }
        }
        for gone in old.addresses.iter().filter(|cidr| !new.addresses.contains(cidr)) {
            writeln!(f, "address {gone} gone")?;
        }
        for cidr in new.addresses.iter().filter(|cidr| !old.addresses.contains(cidr)) {
            writeln!(f, "address {cidr}")?;
        }
        if let Some(Lease { server, gateway, .. }) = new.lease.as_ref().filter(|_| new.lease != old.lease) {
            write!(f, "leased by {server}, gateway ")?;
            match gateway {
                Some(gateway) => writeln!(f, "{gateway}")?,
                None => writeln!(f, "none")?,
            }
        }
        for server in new.name_servers.iter().filter(|server| !old.name_servers.contains(server)) {
            writeln!(f, "name server {server}")?;
        }
        Ok(())
    }
}

/// Says what happens, and pings as is wished. Ends when all pings are sent: well, if all were answered.
pub async fn work<C: Read + Write>(
    rt: &Rt,
    stack: &Stack,
    wish: &Wish,
    terminal: &mut Terminal<C>,
) -> Result<Result<(), String>, Gone> {
    let mut told = Told { stack, view: View::default() };
    let Some(to) = wish.to else {
        told.during(core::future::pending::<()>(), terminal).await?;
        return Ok(Ok(()));
    };
    let mut pinger = match told.during(stack.pinger(to, wish.size), terminal).await? {
        Ok(pinger) => pinger,
        Err(error) => return Ok(Err(format!("{to}: {error}"))),
    };
    let payload: Vec<u8> = (0..wish.size).map(|at| at as u8).collect();
    let (mut sent, mut times) = (0, Times::default());
    while wish.count.is_none_or(|count| sent < count) {
        let next_ns = rt.now_ns() + us(wish.interval) * 1000;
        sent += 1;
        let answer = rt.timeout(wish.wait, pinger.ping(&payload));
        match told.during(answer, terminal).await? {
            Ok(Ok(time)) => {
                times.add(time);
                let (size, us) = (wish.size, us(time));
                terminal.print(&|out| line(out, size, to, sent, us)).await?;
            }
            Ok(Err(error)) => return Ok(Err(format!("{to}: {error}"))),
            Err(_) => terminal.print(&|out| writeln!(out, "no answer from {to}, number {sent}")).await?,
        }
        if wish.interval != Duration::ZERO && wish.count != Some(sent) {
            told.during(rt.sleep_until(next_ns), terminal).await?;
        }
    }
    terminal.print(&|out| times.write(out, sent)).await?;
    let lost = sent - times.count;
    Ok(if lost == 0 { Ok(()) } else { Err(format!("{lost} of {sent} were not answered")) })
}

/// By hand, since `as_micros` would bring in 128-bit arithmetic.
fn us(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000).saturating_add(time.subsec_micros().into())
}

fn line(out: &mut dyn fmt::Write, size: usize, from: IpAddress, number: u64, us: u64) -> fmt::Result {
    writeln!(out, "{size} bytes from {from}, number {number}: {}.{:03} ms", us / 1000, us % 1000)
}

/// How long answers took.
#[derive(Default)]
struct Times {
    count: u64,
    least_us: u64,
    most_us: u64,
    sum_us: u64,
}

impl Times {
    fn add(&mut self, time: Duration) {
        let us = us(time);
        self.least_us = if self.count == 0 { us } else { self.least_us.min(us) };
        (self.count, self.most_us, self.sum_us) = (self.count + 1, self.most_us.max(us), self.sum_us + us);
    }

    fn write(&self, out: &mut dyn fmt::Write, sent: u64) -> fmt::Result {
        let Self { count, least_us, most_us, sum_us } = self;
        let mean_us = sum_us / count.max(&1);
        writeln!(out, "{sent} sent, {count} answered; least {least_us} us, mean {mean_us}, most {most_us}")
    }
}

/// What was said of the interface.
struct Told<'a> {
    stack: &'a Stack,
    view: View,
}

impl Told<'_> {
    /// Waits for something, and says meanwhile what becomes of the interface.
    async fn during<T, C: Read + Write>(
        &mut self,
        what: impl Future<Output = T>,
        terminal: &mut Terminal<C>,
    ) -> Result<T, Gone> {
        let mut what = pin!(what);
        loop {
            let (stack, old) = (self.stack, self.view.clone());
            let mut changed = pin!(stack.when(|stack| Some(View::of(stack)).filter(|new| *new != old)));
            let first = poll_fn(|cx| {
                if let Poll::Ready(new) = changed.as_mut().poll(cx) {
                    return Poll::Ready(Err(new));
                }
                Pin::new(&mut what).poll(cx).map(Ok)
            });
            match first.await {
                Ok(value) => return Ok(value),
                Err(new) => {
                    terminal.print(&|out| write!(out, "{}", News { old: &self.view, new: &new })).await?;
                    self.view = new;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_summed_up() {
        let mut times = Times::default();
        for us in [300, 100, 200] {
            times.add(Duration::from_micros(us));
        }
        let mut text = String::new();
        times.write(&mut text, 4).unwrap();
        assert_eq!(text, "4 sent, 3 answered; least 100 us, mean 200, most 300\n");
    }
}
