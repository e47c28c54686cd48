//! The image's work, over a wire.

use fata_kit::Terminal;
use fata_link::wire::{self, Cable};
use fata_netstack::{Config, Random, Stack};
use fata_rt::Rt;
use fata_sim::{Paper, alone};
use ping::{Options, work};
use std::time::Duration;

/// What the image says and how it ends, while `meanwhile` happens.
fn say<F: Future<Output = ()> + 'static>(
    cmdline: &str,
    meanwhile: impl FnOnce(Rt, Cable) -> F,
) -> (String, Option<Result<(), String>>) {
    alone(async |rt| {
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
        let console = Paper::default();
        let mut terminal = Terminal::new(console.clone());
        drop(rt.spawn(meanwhile(rt.clone(), cable)));
        let limit = Duration::from_secs(60);
        let end = rt.timeout(limit, work(&rt, &stack, &options.wish, &mut terminal)).await;
        let said = console.take();
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
