//! Two interfaces of one guest, so that it shows what becomes of the other, and what to do to answers.

use super::packets::{raw, tcp, udp};
use super::{Machine, guest, receive_all, received, send, sent};
use fata_link::Link;
use fata_net::{Error, Nic, Options, State};
use fata_sim::{NetFeatures, Netback, SimCpu, Tasks};
use std::rc::Rc;

/// What is done to the answers of a frame.
pub(crate) type Tamper = fn(&mut Vec<[u8; 8]>);
pub(crate) fn set(answer: &mut [u8; 8], field: usize, value: u16) {
    answer[2 * field..][..2].copy_from_slice(&value.to_ne_bytes());
}

pub(crate) fn or(answer: &mut [u8; 8], flags: u16) {
    answer[4] |= flags as u8;
}

pub(crate) const ID: usize = 0;
pub(crate) const OFFSET: usize = 1;
pub(crate) const FLAGS: usize = 2;
pub(crate) const STATUS: usize = 3;
pub(crate) const MORE: u16 = 4;
pub(crate) const EXTRA: u16 = 8;

/// The interface under test, and another that echoes all along.
pub(crate) struct Two {
    pub(crate) machine: Machine,
    pub(crate) back: Rc<Netback>,
    pub(crate) nic: Nic<SimCpu>,
}

impl Two {
    pub(crate) fn new(options: Options) -> Self {
        let machine = Machine::new(options, NetFeatures::default());
        let (world, server) = (&machine.world, &machine.server);
        let back = Netback::plugged(world, server, guest(&machine.xen), 1, NetFeatures::default());
        let nic = Nic::new(&machine.xen, 1, options);
        Self { machine, back, nic }
    }

    pub(crate) fn tasks(&self) -> Tasks<'_> {
        let mut tasks = self.machine.tasks();
        tasks.spawn(async { panic!("{}", self.nic.serve(&self.machine.store).await) });
        tasks.spawn(async {
            let mut phy = self.nic.phy();
            loop {
                let frame = received(&mut phy).await;
                sent(&mut phy, &frame).await;
            }
        });
        tasks
    }

    /// The other one works.
    pub(crate) fn check(&self, tasks: &mut Tasks<'_>, what: &str) {
        let frame = raw(5000, what.len());
        self.back.inject(&frame);
        tasks.run();
        assert!(self.back.sent() == [frame], "{what}");
        assert_eq!((self.nic.state(), self.nic.totals().connects), (State::Ready, 1), "{what}");
    }

    /// It is dead, nothing is lent to it any more, and exchanged it works again.
    pub(crate) fn dead(&self, tasks: &mut Tasks<'_>, what: &str) {
        let Machine { nic, back, .. } = &self.machine;
        let mut phy = nic.phy();
        assert_eq!(nic.state(), State::Dead(Error::Corrupt), "{what}");
        assert!(!phy.status().up && !send(&mut phy, &[0; 60]) && receive_all(&mut phy).is_empty());
        self.check(tasks, what);
        back.behave();
        back.tamper(|_| {});
        self.machine.replug();
        tasks.run();
        assert_eq!(nic.state(), State::Ready, "{what}");
        works(&self.machine, tasks);
    }

    pub(crate) fn finish(self) {
        let Self { machine, back, nic } = self;
        assert_eq!(back.complaints(), Vec::<String>::new());
        back.pull();
        drop(nic);
        machine.finish_anyhow();
    }
}

/// Frames of all kinds pass in both directions.
pub(crate) fn works(machine: &Machine, tasks: &mut Tasks<'_>) {
    let mut phy = machine.nic.phy();
    tasks.run();
    receive_all(&mut phy);
    machine.back.sent();
    let long = if machine.back.vdev().read("feature-sg") == "1" { 30_000 } else { 4000 };
    for frame in [raw(60, 0), raw(long, 1), tcp(4, [1, 2], b"data"), udp(6, [1, 2], b"data")] {
        assert!(send(&mut phy, &frame.bytes));
        phy.flush();
        machine.back.inject(&frame);
        tasks.run();
        assert!(machine.back.sent_on_the_wire() == [frame.clone()]);
        assert!(receive_all(&mut phy) == [frame.bytes]);
    }
}
