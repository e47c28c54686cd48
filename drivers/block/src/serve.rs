//! A disk's life: waiting for a backend, connecting, working, and starting over.

use crate::connection::Connection;
use crate::disk::{Disk, Link};
use crate::features::{Agreed, OFFER, PROPERTIES, properties};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use fata_disk::{Error, Geometry};
use fata_xenbus::{Change, Connected, Device, Initialising, State};
use fata_xenstore::Xenstore;
use xen_hyp::Platform;

/// How often a backend may refuse to connect before we wait until it stirs of its own accord.
const REFUSALS_MAX: u32 = 3;

/// Why a session ended.
enum End {
    /// The backend went away, or is about to.
    Away,
    /// The disk cannot be used before it has been exchanged.
    Dead(Error),
}

impl<P: Platform> Disk<P> {
    /// Connects the disk to its backend, and again whenever that was away; never ends but for an error of the
    /// store. To be spawned once. If it is dropped the disk pauses until it is served again.
    pub async fn serve(&self, store: &Xenstore<P>) -> fata_xenstore::Error {
        let _pause = Pause(self);
        self.0.set_link(Link::Paused);
        let mut refusals = 0;
        loop {
            let error = match Device::plug(store, "vbd", self.0.id).await {
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

    /// From now on all requests fail, beginning with those that wait.
    fn die(&self, error: Error) {
        self.0.set_link(Link::Dead(error));
        self.0.disconnect();
        self.0.fail_all(error);
    }

    /// One connection, from negotiating to letting go. If it ends so that the disk cannot be used any more, it lasts
    /// until the disk is pulled.
    async fn session(
        &self,
        device: Device<P, Initialising>,
        refusals: &mut u32,
    ) -> Result<(), fata_xenstore::Error> {
        let agreed = Agreed::on(device.numbers(&OFFER).await?, &self.0.options);
        let (mut connection, nodes) = match Connection::new(&self.0.xen, device.peer(), self.0.id, agreed) {
            Ok(new) => new,
            Err(error) => {
                self.die(error);
                return self.buried(device).await;
            }
        };
        let mut device = match device.initialise(&nodes, State::Initialised).await?.connect().await? {
            Ok(device) => device,
            Err(closed) => {
                *refusals += 1;
                // Both of us would keep each other busy for ever.
                return if *refusals < REFUSALS_MAX { Ok(()) } else { closed.stirred().await };
            }
        };
        *refusals = 0;
        let end = match self.properties(&device, &agreed).await? {
            Ok((geometry, mut agreed)) => {
                // Pages that stay lent show nothing but what was on the disk.
                agreed.trusted = agreed.persistent || device.own_number("trusted").await? != Some(0);
                connection.agreed = agreed;
                device.announce().await?;
                self.0.connect(connection, geometry);
                self.work(&mut device, &agreed).await?
            }
            Err(end) => end,
        };
        let end = match end {
            End::Away => {
                self.0.pause();
                // What can be answered is, so that nothing need be done twice.
                first(self.0.drained(), device.stopped()).await.unwrap_or(Ok(()))?;
                if self.0.is_broken() { End::Dead(Error::Corrupt) } else { End::Away }
            }
            dead => dead,
        };
        match end {
            End::Away => {
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

    /// Sees to what changes, until the backend is no more or breaks the protocol. Answers are moved to their users by
    /// [`Inner::service`] meanwhile.
    async fn work(
        &self,
        device: &mut Device<P, Connected>,
        agreed: &Agreed,
    ) -> Result<End, fata_xenstore::Error> {
        loop {
            let broken = self.0.broken.until(|| self.0.is_broken().then_some(()));
            match first(broken, device.changed()).await {
                None => return Ok(End::Dead(Error::Corrupt)),
                Some(change) if change? == Change::Ended => return Ok(End::Away),
                Some(_) => {}
            }
            match self.properties(device, agreed).await? {
                Ok((geometry, _)) => self.0.set_geometry(geometry),
                Err(end) => return Ok(end),
            }
        }
    }

    async fn properties(
        &self,
        device: &Device<P, Connected>,
        agreed: &Agreed,
    ) -> Result<Result<(Geometry, Agreed), End>, fata_xenstore::Error> {
        let numbers = device.numbers(&PROPERTIES).await?;
        let mode = device.text("mode").await?;
        match properties(numbers, mode.is_none_or(|mode| mode != "r"), agreed) {
            // Unless what we read were another's already.
            Err(_) if device.look().await? == Change::Ended => Ok(Err(End::Away)),
            found => Ok(found.map_err(End::Dead)),
        }
    }
}

/// Has the requests of a disk wait when nobody serves it any more.
struct Pause<'a, P: Platform>(&'a Disk<P>);

impl<P: Platform> Drop for Pause<'_, P> {
    fn drop(&mut self) {
        if self.0.link() == Link::Ready {
            self.0.0.set_link(Link::Paused);
        }
        self.0.0.disconnect();
    }
}

/// Waits for the first of two: `None` if it is the former.
async fn first<T>(a: impl Future<Output = ()>, b: impl Future<Output = T>) -> Option<T> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| match a.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => b.as_mut().poll(cx).map(Some),
    })
    .await
}
