//! Connections to hosts by name: happy eyeballs, version 2 (RFC 8305).
//!
//! Both families are asked for at once. When there is an IPv6 address, or an IPv4 address and the other is late, one
//! address is tried after the other, of both families in turn, each a quarter of a second after the one before or as soon
//! as that has failed. The first connection wins, and the others are closed.

use crate::error::Error;
use crate::kind::Kind;
use crate::resolver::{Answer, Resolver, both_failed};
use crate::sort::{can_reach, sort};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use fata_netstack::{Error as NetError, IpAddress, IpEndpoint, TcpStream, tcp};
use fata_rt::Sleep;

/// Addresses that are tried at most.
const ADDRESSES: usize = 16;

/// What one address has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The address.
    pub address: IpAddress,
    /// Why there is no connection; if there is no reason, nobody has answered until the end.
    pub error: Option<NetError>,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The host has no address that we know of.
    Lookup(Error),
    /// This is what its addresses have met, in the order in which they were tried.
    Attempts(Vec<Attempt>),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup(error) => write!(f, "{error}"),
            Self::Attempts(attempts) => {
                for (number, Attempt { address, error }) in attempts.iter().enumerate() {
                    f.write_str(if number == 0 { "" } else { "; " })?;
                    match error {
                        Some(error) => write!(f, "{address}: {error}")?,
                        None => write!(f, "{address}: no answer")?,
                    }
                }
                Ok(())
            }
        }
    }
}

impl core::error::Error for ConnectError {}

impl Resolver {
    /// Opens a connection to a host: a name, or an address. Waits for the network, for servers that are late and for
    /// addresses that do not answer, but not for ever; see [`Config`](crate::Config).
    pub async fn connect(
        &self,
        host: &str,
        port: u16,
        options: tcp::Options,
    ) -> Result<TcpStream, ConnectError> {
        let mut race = Race {
            resolver: self,
            port,
            options,
            lookups: [Kind::AAAA, Kind::A]
                .map(|kind| Some(Box::pin(self.lookup(host, kind)) as Pin<Box<dyn Future<Output = _>>>)),
            errors: [Error::NoData; 2],
            untried: Vec::new(),
            attempts: Vec::new(),
            running: Vec::new(),
            has_begun: false,
            begin: None,
            next: None,
            end: None,
        };
        poll_fn(|cx| race.poll(cx)).await
    }
}

type Lookup<'a> = Pin<Box<dyn Future<Output = Result<Answer, Error>> + 'a>>;
type Connect<'a> = Pin<Box<dyn Future<Output = Result<TcpStream, NetError>> + 'a>>;

struct Race<'a> {
    resolver: &'a Resolver,
    port: u16,
    options: tcp::Options,
    /// Of IPv6 and of IPv4, until they have ended.
    lookups: [Option<Lookup<'a>>; 2],
    errors: [Error; 2],
    untried: Vec<IpAddress>,
    attempts: Vec<Attempt>,
    /// Attempts that have not ended, by their place among all.
    running: Vec<(usize, Connect<'a>)>,
    has_begun: bool,
    /// When the IPv6 address is late, when the next address is tried, and when it has taken too long.
    begin: Option<Sleep>,
    next: Option<Sleep>,
    end: Option<Sleep>,
}

impl Race<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<TcpStream, ConnectError>> {
        self.look_up(cx);
        if !self.untried.is_empty() && self.begin.is_none() {
            let delay = self.resolver.inner.config.resolution_delay;
            self.begin = Some(self.resolver.inner.stack.rt().sleep(delay));
        }
        self.has_begun |= self.lookups[0].is_none() || is_over(&mut self.begin, cx);
        loop {
            let (running, ended) = (self.running.len(), self.run(cx));
            if let Poll::Ready(stream) = ended {
                return Poll::Ready(Ok(stream));
            }
            let has_failed = self.running.len() < running;
            let may_begin = self.has_begun && !self.untried.is_empty();
            if !may_begin || !(self.running.is_empty() || has_failed || is_over(&mut self.next, cx)) {
                break;
            }
            self.try_next();
        }
        let has_more = !self.untried.is_empty() || self.lookups.iter().any(Option::is_some);
        if has_more {
            return Poll::Pending;
        }
        if self.running.is_empty() || is_over(&mut self.end, cx) {
            return Poll::Ready(Err(self.failure()));
        }
        Poll::Pending
    }

    /// Takes the addresses that were found.
    fn look_up(&mut self, cx: &mut Context<'_>) {
        for (lookup, error) in self.lookups.iter_mut().zip(&mut self.errors) {
            let Some(Poll::Ready(result)) = lookup.as_mut().map(|lookup| lookup.as_mut().poll(cx)) else {
                continue;
            };
            *lookup = None;
            match result {
                Ok(answer) => {
                    let tried = |address: &IpAddress| {
                        self.untried.contains(address)
                            || self.attempts.iter().any(|attempt| attempt.address == *address)
                    };
                    let new: Vec<_> = answer.addresses().filter(|address| !tried(address)).collect();
                    self.untried.extend(new);
                    sort(&mut self.untried, &self.resolver.inner.stack.addresses());
                    self.untried.truncate(ADDRESSES.saturating_sub(self.attempts.len()));
                }
                Err(why) => *error = why,
            }
        }
    }

    /// Sees whether an attempt has ended well.
    fn run(&mut self, cx: &mut Context<'_>) -> Poll<TcpStream> {
        let mut at = 0;
        while let Some((number, connect)) = self.running.get_mut(at) {
            match connect.as_mut().poll(cx) {
                Poll::Ready(Ok(stream)) => return Poll::Ready(stream),
                Poll::Ready(Err(error)) => {
                    self.attempts[*number].error = Some(error);
                    drop(self.running.swap_remove(at));
                }
                Poll::Pending => at += 1,
            }
        }
        Poll::Pending
    }

    /// Tries the next address, if it makes sense.
    fn try_next(&mut self) {
        let last = self.attempts.last().map(|attempt| attempt.address);
        let Some(address) = take_next(&mut self.untried, last) else { return };
        let stack = &self.resolver.inner.stack;
        if !can_reach(address, &stack.addresses()) {
            self.attempts.push(Attempt { address, error: Some(NetError::NoAddress) });
            return;
        }
        let connect = stack.connect(IpEndpoint::new(address, self.port), self.options);
        self.running.push((self.attempts.len(), Box::pin(connect)));
        self.attempts.push(Attempt { address, error: None });
        let (rt, config) = (stack.rt(), &self.resolver.inner.config);
        self.next = Some(rt.sleep(config.attempt_delay));
        self.end = Some(rt.sleep(config.patience));
    }

    fn failure(&mut self) -> ConnectError {
        if self.attempts.is_empty() {
            return ConnectError::Lookup(both_failed(self.errors[0], self.errors[1]));
        }
        ConnectError::Attempts(core::mem::take(&mut self.attempts))
    }
}

/// Whether a time that has begun is over.
fn is_over(timer: &mut Option<Sleep>, cx: &mut Context<'_>) -> bool {
    timer.as_mut().is_some_and(|timer| Pin::new(timer).poll(cx).is_ready())
}

/// The next one to try: the first, but of the other family than the last one was if there is one (RFC 8305 section 4).
fn take_next(untried: &mut Vec<IpAddress>, last: Option<IpAddress>) -> Option<IpAddress> {
    let other = |address: &IpAddress| last.is_some_and(|last| last.version() != address.version());
    let at = untried.iter().position(other).unwrap_or(0);
    (!untried.is_empty()).then(|| untried.remove(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let addresses = |text: &str| -> Vec<IpAddress> {
            text.split_whitespace().map(|word| word.parse().unwrap()).collect()
        };
        let mut all = addresses("2001:db8::3 2001:db8::2 10.0.0.3 10.0.0.2 10.9.0.1");
        let mut order = Vec::new();
        while let Some(next) = take_next(&mut all, order.last().copied()) {
            order.push(next);
        }
        assert_eq!(order, addresses("2001:db8::3 10.0.0.3 2001:db8::2 10.0.0.2 10.9.0.1"));
    }
}
