//! The image's work, over a wire.

use embedded_io_async::{ErrorType, Read, Write};
use fata_kit::Terminal;
use fata_link::wire::{self, Cable};
use fata_netstack::{Config, Random, Stack};
use fata_rt::{Machine, Rt};
use ping::{Options, work};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

struct Clock(Cell<u64>);

impl Machine for Clock {
    fn demux(&self) {}
    fn idle(&self, deadline_ns: Option<u64>) {
        self.0.set(deadline_ns.expect("everybody waits and nothing will happen").max(self.0.get()));
    }
    fn now_ns(&self) -> u64 {
        self.0.get()
    }
}

#[derive(Clone, Default)]
struct Console(Rc<RefCell<Vec<u8>>>);

impl ErrorType for Console {
    type Error = Infallible;
}

impl Read for Console {
    async fn read(&mut self, _into: &mut [u8]) -> Result<usize, Infallible> {
        pending().await
    }
}

impl Write for Console {
    async fn write(&mut self, from: &[u8]) -> Result<usize, Infallible> {
        self.0.borrow_mut().extend_from_slice(from);
        Ok(from.len())
    }
    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// What the image says and how it ends, while `meanwhile` happens.
fn say<F: Future<Output = ()> + 'static>(
    cmdline: &str,
    meanwhile: impl FnOnce(Rt, Cable) -> F,
) -> (String, Option<Result<(), String>>) {
    fata_rt::run(&Rc::new(Clock(Cell::new(1))), async |rt| {
        let (a, b, cable) = wire::pair(wire::Options::default());
        let mut there = Config::default();
        there.word("ip", "10.0.0.1/24").unwrap();
        let _there = Stack::start(&rt, b, there, &Random::known(2));
        let options = Options::parse(cmdline).unwrap();
        let mut config = Config::default();
        for (name, value) in fata_kit::words(cmdline) {
            config.word(name, value).unwrap();
        }
        let stack = Stack::start(&rt, a, config, &Random::known(1));
        let console = Console::default();
        let mut terminal = Terminal::new(console.clone());
        drop(rt.spawn(meanwhile(rt.clone(), cable)));
        let limit = Duration::from_secs(60);
        let end = rt.timeout(limit, work(&rt, &stack, &options.wish, &mut terminal)).await;
        let said = String::from_utf8(console.0.take()).unwrap().replace('\r', "");
        (said, end.ok().map(|end| end.unwrap()))
    })
}

#[test]
fn it_pings_and_sums_up() {
    let (said, end) = say("ip=10.0.0.2/24 ip6=off ping=10.0.0.1 count=3 size=2000", |_, _| async {});
    let expected = "link up, 02:00:00:00:00:01\n\
         address 10.0.0.2/24\n\
         2000 bytes from 10.0.0.1, number 1: 0.000 ms\n\
         2000 bytes from 10.0.0.1, number 2: 0.000 ms\n\
         2000 bytes from 10.0.0.1, number 3: 0.000 ms\n\
         3 sent, 3 answered; least 0 us, mean 0, most 0\n";
    assert_eq!((said.as_str(), end), (expected, Some(Ok(()))));
}

#[test]
fn it_says_what_becomes_of_the_link_meanwhile() {
    let trouble = |rt: Rt, cable: Cable| async move {
        rt.sleep(Duration::from_millis(1500)).await;
        cable.unplug();
        rt.sleep(Duration::from_millis(2000)).await;
        cable.plug(cable.options());
    };
    let (said, end) = say("ip=10.0.0.2/24 ip6=off ping=10.0.0.1 count=5", trouble);
    for line in ["\nlink down\n", "\nno answer from 10.0.0.1, number 3\n", "\n5 sent, 4 answered; "] {
        assert!(said.contains(line), "{line:?} in {said}");
    }
    assert_eq!(said.matches("link up").count(), 2, "{said}");
    assert_eq!(end, Some(Err("1 of 5 were not answered".into())));
}

#[test]
fn without_anybody_to_ping_it_answers_for_ever() {
    let (said, end) = say("ip=10.0.0.2/24", |_, _| async {});
    assert_eq!((said.lines().count(), end), (3, None), "{said}");
}
