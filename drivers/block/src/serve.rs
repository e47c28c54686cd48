//! A disk's life: waiting for a backend, connecting, working, and starting over.

use crate::connection::Connection;
use crate::disk::{Disk, Link};
use crate::features::{Agreed, OFFER, PROPERTIES, geometry};
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use fata_disk::Error;
use fata_xenbus::{Change, Connected, Device, Initialising, State};
use fata_xenstore::Xenstore;
use xen_hyp::{After, Channel, Platform};

/// Why a session ended.
enum End {
    /// The backend went away, or is about to.
    Away,
    /// The disk cannot be used before it has been exchanged.
    Dead(Error),
}

impl<P: Platform> Disk<P> {
    /// Connects the disk to its backend, and again whenever that was away; never ends but for an error of the
    /// store. To be spawned once.
    pub async fn serve(&self, store: &Xenstore<P>) -> fata_xenstore::Error {
        loop {
            let error = match Device::plug(store, "vbd", self.0.id).await {
                Ok(device) => match self.session(device).await {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            self.die(Error::Gone);
            return error;
        }
    }

    /// From now on all requests fail, beginning with those that wait.
    fn die(&self, error: Error) {
        self.0.set_link(Link::Dead(error));
        self.0.disconnect();
        self.0.fail_all(error);
    }

    /// One connection, from negotiating to letting go. If it ends so that the disk cannot be used any more, it lasts
    /// until the disk is pulled.
    async fn session(&self, device: Device<P, Initialising>) -> Result<(), fata_xenstore::Error> {
        let agreed = Agreed::on(device.numbers(&OFFER).await?, &self.0.options);
        let (mut connection, nodes) = match Connection::new(&self.0.xen, device.peer(), self.0.id, agreed) {
            Ok(new) => new,
            Err(error) => {
                self.die(error);
                return self.buried(device).await;
            }
        };
        let Some(mut device) = device.initialise(&nodes, State::Initialised).await?.connect().await? else {
            return Ok(());
        };
        let channels = connection.channels.clone();
        // Before the first look at the rings.
        let mut events: Vec<After<'_>> = channels.iter().map(|c| c.after(c.seen())).collect();
        let end = match self.properties(&device, &agreed).await? {
            Ok((geometry, secure)) => {
                connection.secure = secure;
                device.announce().await?;
                self.0.connect(connection, geometry);
                self.work(&mut device, &agreed, &channels, &mut events).await?
            }
            Err(error) => End::Dead(error),
        };
        match end {
            End::Away => {
                self.0.set_link(Link::Paused);
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

    /// Waits until a device that cannot be used has been pulled.
    async fn buried<S>(&self, mut device: Device<P, S>) -> Result<(), fata_xenstore::Error> {
        device.close().await?;
        device.pulled().await?;
        self.0.set_link(Link::Paused);
        Ok(())
    }

    /// Moves answers to their users, until the backend is no more or breaks the protocol.
    async fn work<'a>(
        &self,
        device: &mut Device<P, Connected>,
        agreed: &Agreed,
        channels: &'a [Channel<P>],
        events: &mut [After<'a>],
    ) -> Result<End, fata_xenstore::Error> {
        loop {
            let change = {
                let mut changed = pin!(device.changed());
                loop {
                    if self.0.service().is_err() {
                        return Ok(End::Dead(Error::Corrupt));
                    }
                    if let Some(change) = event_or(events, channels, changed.as_mut()).await {
                        break change?;
                    }
                }
            };
            if change == Change::Ended {
                return Ok(End::Away);
            }
            match self.properties(device, agreed).await? {
                Ok((geometry, secure)) => {
                    self.0.with_connection(|connection| connection.secure = secure);
                    self.0.set_geometry(geometry);
                }
                Err(error) => return Ok(End::Dead(error)),
            }
        }
    }

    async fn properties(
        &self,
        device: &Device<P, Connected>,
        agreed: &Agreed,
    ) -> Result<Result<(fata_disk::Geometry, bool), Error>, fata_xenstore::Error> {
        let numbers = device.numbers(&PROPERTIES).await?;
        let mode = device.text("mode").await?;
        Ok(geometry(numbers, mode.is_none_or(|mode| mode != "r"), agreed))
    }
}

/// Waits for an event of any channel, which is `None`, or for the other thing.
async fn event_or<'a, P: Platform, T>(
    events: &mut [After<'a>],
    channels: &'a [Channel<P>],
    mut other: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    poll_fn(|cx| {
        let mut any = false;
        for (event, channel) in events.iter_mut().zip(channels) {
            if let Poll::Ready(seen) = Pin::new(&mut *event).poll(cx) {
                *event = channel.after(seen);
                any = true;
            }
        }
        if any { Poll::Ready(None) } else { other.as_mut().poll(cx).map(Some) }
    })
    .await
}
