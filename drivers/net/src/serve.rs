//! An interface's life: waiting for a backend, connecting, working, and starting over.

use crate::connection::Connection;
use crate::features::{Agreed, OFFER, mac, mtu};
use crate::nic::{Error, Nic, State};
use alloc::string::String;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use fata_xenbus::{Change, Connected, Device, Initialising, State as Xenbus};
use fata_xenstore::{Watch, Xenstore};
use smoltcp::wire::EthernetAddress;
use xen_hyp::Platform;

/// How often a backend may refuse to connect before we wait until it stirs of its own accord.
const REFUSALS_MAX: u32 = 3;

/// Why a session ended.
enum End {
    /// The backend went away, or is about to.
    Away,
    /// The interface cannot be used before it has been exchanged.
    Dead(Error),
}

impl<P: Platform> Nic<P> {
    /// Connects the interface to its backend, and again whenever that was away; never ends but for an error of the
    /// store. To be spawned once. If it is dropped the link is down until it is served again.
    pub async fn serve(&self, store: &Xenstore<P>) -> fata_xenstore::Error {
        let _pause = Pause(self);
        self.0.set_state(State::Paused);
        let mut refusals = 0;
        loop {
            let error = match Device::plug(store, "vif", self.0.id).await {
                Ok(device) => match self.session(device, &mut refusals).await {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            self.die(Error::Gone);
            return error;
        }
    }

    fn die(&self, error: Error) {
        self.0.set_state(State::Dead(error));
        self.0.disconnect();
    }

    /// One connection, from negotiating to letting go. If it ends so that the interface cannot be used any more, it
    /// lasts until the interface is pulled.
    async fn session(
        &self,
        mut device: Device<P, Initialising>,
        refusals: &mut u32,
    ) -> Result<(), fata_xenstore::Error> {
        let mut prepared = self.prepare(&device).await?;
        if prepared.is_err() {
            // The device may have been exchanged before all of it was read.
            if !device.settled().await? {
                return Ok(());
            }
            prepared = self.prepare(&device).await?;
        }
        let (said, connection, nodes) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                self.die(error);
                device.unsettled().await?;
                self.0.set_state(State::Paused);
                return Ok(());
            }
        };
        // This backend expects us to be connected as soon as we have said where we are.
        let mut device = match device.initialise(&nodes, Xenbus::Connected).await?.connect().await? {
            Ok(device) => device,
            Err(closed) => {
                // It has let go, or never got hold of it.
                drop(connection);
                return refused(closed, refusals).await;
            }
        };
        if !connection.is_heard(&self.0.xen) {
            device.close().await?;
            drop(connection);
            return refused(device, refusals).await;
        }
        *refusals = 0;
        let carrier = device.watch("carrier")?;
        let state = carrier_of(&device).await?;
        // What was said first may have been said of the device before this one, and not be true any more.
        let end = if self.read(&device).await?.as_ref() == Ok(&said) {
            self.0.mac.set(said.mac);
            self.0.connect(connection, state);
            self.work(&mut device, carrier).await?
        } else {
            End::Away
        };
        match end {
            End::Away => {
                self.0.set_state(State::Paused);
                device.close().await?;
                self.0.disconnect();
                Ok(())
            }
            End::Dead(error) => {
                self.die(error);
                self.buried(device).await
            }
        }
    }

    /// Makes rings for what is said.
    async fn prepare(
        &self,
        device: &Device<P, Initialising>,
    ) -> Result<Result<(Said, Connection<P>, Nodes), Error>, fata_xenstore::Error> {
        Ok(self.read(device).await?.and_then(|said| {
            let (connection, nodes) = Connection::new(&self.0.xen, device.peer(), said.agreed, said.mtu)?;
            Ok((said, connection, nodes))
        }))
    }

    /// Reads what the toolstack and the backend say.
    async fn read<S>(&self, device: &Device<P, S>) -> Result<Result<Said, Error>, fata_xenstore::Error> {
        let Some(agreed) = Agreed::on(device.numbers(&OFFER).await?, &self.0.options) else {
            return Ok(Err(Error::NoCopy));
        };
        let Some(mac) = device.own_text("mac").await?.and_then(|text| mac(&text)) else {
            return Ok(Err(Error::NoAddress));
        };
        let mtu = mtu(device.own_number("mtu").await?, agreed.sg);
        Ok(Ok(Said { agreed, mac, mtu }))
    }

    /// Waits until a device that cannot be used has been pulled.
    async fn buried<S>(&self, mut device: Device<P, S>) -> Result<(), fata_xenstore::Error> {
        device.close().await?;
        device.pulled().await?;
        self.0.set_state(State::Paused);
        Ok(())
    }

    /// Sees to what changes, until the backend is no more or breaks the protocol.
    async fn work(
        &self,
        device: &mut Device<P, Connected>,
        mut carrier: Watch,
    ) -> Result<End, fata_xenstore::Error> {
        loop {
            let news = {
                let over = || (self.0.is_broken() || self.0.is_given_up()).then_some(());
                let mut broken = pin!(self.0.broken.until(over));
                let mut changed = pin!(device.changed());
                let mut carrier = pin!(carrier.changed());
                poll_fn(|cx| {
                    if broken.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(None);
                    }
                    if let Poll::Ready(change) = changed.as_mut().poll(cx) {
                        return Poll::Ready(Some(change));
                    }
                    carrier.as_mut().poll(cx).map(|changed| Some(changed.map(|()| Change::Properties)))
                })
                .await
            };
            match news {
                None if self.0.is_broken() => return Ok(End::Dead(Error::Corrupt)),
                None => return Ok(End::Away),
                Some(change) if change? == Change::Ended => return Ok(End::Away),
                Some(_) => {}
            }
            let state = carrier_of(device).await?;
            // Unless what we read was another's already, or of one that lost us between two of our looks.
            if device.look().await? == Change::Ended || !self.0.is_heard() {
                return Ok(End::Away);
            }
            self.0.set_state(state);
        }
    }
}

type Nodes = Vec<(String, String)>;

/// What the toolstack and the backend say of an interface.
#[derive(PartialEq, Eq)]
struct Said {
    agreed: Agreed,
    mac: EthernetAddress,
    mtu: usize,
}

/// Goes on with a device that was closed since its backend did not connect, though not for ever: both of us would keep
/// each other busy.
async fn refused<P: Platform, S>(
    device: Device<P, S>,
    refusals: &mut u32,
) -> Result<(), fata_xenstore::Error> {
    *refusals += 1;
    if *refusals < REFUSALS_MAX { Ok(()) } else { device.stirred().await }
}

/// What the backend says of its cable. One that says nothing has none that could be out.
async fn carrier_of<P: Platform>(device: &Device<P, Connected>) -> Result<State, fata_xenstore::Error> {
    let [carrier] = device.numbers(&["carrier"]).await?;
    Ok(if carrier == Some(0) { State::NoCarrier } else { State::Ready })
}

/// Takes the link down when nobody serves it any more.
struct Pause<'a, P: Platform>(&'a Nic<P>);

impl<P: Platform> Drop for Pause<'_, P> {
    fn drop(&mut self) {
        if !matches!(self.0.state(), State::Dead(_)) {
            self.0.0.set_state(State::Paused);
        }
        self.0.0.disconnect();
    }
}
