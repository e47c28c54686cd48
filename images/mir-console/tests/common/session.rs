//! A session with the application on the simulator, its console and Xenstore.

use super::guest::{guest, info, machine};
use fata_console::{Console, PvConsole};
use fata_kit::Gone;
use fata_rt::{Executor, JoinHandle};
use fata_sim::{SimCpu, Store, World, Xenconsoled, Xenstored};
use mir_console::{Exit, app};
use std::rc::Rc;
use xen_hyp::{DomId, Xen};

/// The only guest.
pub(crate) const GUEST: DomId = DomId(1);
pub(crate) const HOME: &str = "/local/domain/1";
/// A second.
pub(crate) const S: u64 = 1_000_000_000;

/// A session that goes on as far as it can between what the test does.
pub(crate) struct Session {
    pub(crate) world: World,
    pub(crate) server: Rc<Xenstored>,
    pub(crate) daemon: Rc<Xenconsoled>,
    executor: Executor,
    pub(crate) ended: JoinHandle<Result<Exit, Gone>>,
    /// What the application runs on.
    xen: Rc<Xen<SimCpu>>,
}

impl Session {
    pub(crate) fn start(store: Store) -> Self {
        Self::with(store, "quiet colours=off", |_, _| {})
    }

    /// `before` the guest runs.
    pub(crate) fn with(
        store: Store,
        cmdline: &'static str,
        before: impl FnOnce(&World, &Rc<Xenstored>),
    ) -> Self {
        let world = World::new();
        let server = Xenstored::start(&world);
        let xen = guest(&world, store);
        before(&world, &server);
        let daemon = Xenconsoled::start(&world, xen.platform().domain());
        let console = Rc::new(Console::Pv(PvConsole::open(&xen).unwrap().unwrap()));
        let executor = Executor::new(xen.clone());
        let rt = executor.rt();
        let served = console.clone();
        rt.on_turn(move || served.service());
        let ended = rt.spawn({
            let (rt, xen) = (rt.clone(), xen.clone());
            async move {
                let info = info(cmdline);
                app(rt, xen, &*console, machine(&info)).await
            }
        });
        let session = Self { world, server, daemon, executor, ended, xen };
        session.rest();
        session
    }

    /// Until nothing more happens by itself, time standing still.
    pub(crate) fn rest(&self) {
        while self.executor.turn() | self.world.run_backends() {}
    }

    /// The same after so much time.
    pub(crate) fn pass(&self, ns: u64) {
        self.world.pass(ns);
        self.rest();
    }

    /// What was written since the last look.
    pub(crate) fn seen(&self) -> String {
        self.rest();
        String::from_utf8(self.daemon.take_output()).unwrap().replace("\r\n", "\n")
    }

    /// Types a line, and gives what was written then, without the line itself and the next prompt.
    pub(crate) fn ask(&self, line: &str) -> String {
        self.seen();
        self.daemon.input(format!("{line}\r").as_bytes());
        let seen = self.seen();
        let answer = seen.strip_prefix(line).and_then(|seen| seen.strip_prefix('\n'));
        let answer = answer.unwrap_or_else(|| panic!("{line:?} is not what is shown: {seen:?}"));
        answer.strip_suffix("fata> ").map(str::to_owned).unwrap_or_else(|| format!("{answer}..."))
    }

    pub(crate) fn key(&self, key: &str) -> String {
        self.daemon.input(key.as_bytes());
        self.seen()
    }

    /// How it ended, which it must have.
    pub(crate) fn end(self) -> Exit {
        self.rest();
        assert!(self.ended.is_finished(), "it goes on");
        let Self { world, server, executor, ended, xen, .. } = self;
        let ended = fata_rt::run(&world.guest(), async |_| ended.await);
        drop(executor);
        xen.reclaim_grants();
        // What a domain that has ended had asked for is forgotten.
        server.release(GUEST);
        world.assert_cleaned_up();
        ended.unwrap().unwrap()
    }
}
