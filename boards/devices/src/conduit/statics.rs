//! Vchans that were laid out before the domains started.

use super::{Arrivals, Carrier, Error, PARTING, VchanListener, VchanStream, Vchans, either, has_fired};
use alloc::rc::Rc;
use fata_rt::Rt;
use fata_vchan::{StaticPlace, StaticVchan, meet};
use xen_hyp::{Platform, Signal};

impl<P: Platform> Vchans<P> {
    /// Where the one of this name is.
    pub(super) fn statics(&self, name: &str) -> Option<StaticPlace> {
        self.statics.iter().find(|(known, _)| known == name).map(|(_, place)| *place)
    }

    pub(super) async fn connect_static(
        &self,
        name: &str,
        place: StaticPlace,
    ) -> Result<VchanStream<P>, Error> {
        let taken = self.take(name, 1).await;
        let vchan = Rc::new(meet(&self.xen, &place).await?);
        let stream = VchanStream::new(Carrier::Static(vchan.clone()));
        let (rt, dropped) = (self.rt.clone(), stream.dropped.clone());
        drop(self.rt.spawn(async move {
            hold(&rt, vchan, &dropped).await;
            drop(taken);
        }));
        Ok(stream)
    }

    pub(super) fn listen_static(&self, place: StaticPlace) -> VchanListener<P> {
        let arrivals = Rc::new(Arrivals::default());
        let (vchans, ours) = (self.clone(), arrivals.clone());
        drop(self.rt.spawn(async move {
            if let Err(error) = vchans.serve_static(place, &ours).await {
                ours.fail(error);
            }
        }));
        VchanListener { arrivals }
    }

    /// Meets the other end again and again, until nobody waits for it any more.
    async fn serve_static(&self, place: StaticPlace, arrivals: &Arrivals<P>) -> Result<(), Error> {
        while let Some(met) = either(arrivals.unwanted(), meet(&self.xen, &place)).await {
            let vchan = Rc::new(met?);
            let dropped = arrivals.push(Carrier::Static(vchan.clone()));
            hold(&self.rt, vchan, &dropped).await;
        }
        Ok(())
    }
}

/// Waits until a stream is dropped, and gives the other end time to read what is left. Who opens it next begins another life of
/// it, which takes that away.
async fn hold<P: Platform>(rt: &Rt, vchan: Rc<StaticVchan<P>>, dropped: &Signal) {
    has_fired(dropped).await;
    let _ = rt.timeout(PARTING, vchan.part()).await;
}
