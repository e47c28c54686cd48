//! Xen's own console on the simulated hypervisor.

use fata_console::{Console, Error, Kind, XenIo};
use fata_sim::{Setup, Tasks, World};
use std::cell::Cell;
use xen_hyp::XenError;
use xen_hyp::abi::{CONSOLEIO_WRITE, nr};

fn dom0less() -> Setup {
    Setup { console: false, console_io: true, ..Setup::default() }
}

#[test]
fn a_domain_made_by_the_toolstack_has_none() {
    let world = World::new();
    assert!(XenIo::open(&world.guest()).unwrap().is_none());
    let xen = world.guest_with(dom0less());
    world.fail(xen.domid().unwrap(), nr::CONSOLE_IO, CONSOLEIO_WRITE, XenError::EFAULT);
    assert_eq!(XenIo::open(&xen).unwrap_err(), Error::Xen(XenError::EFAULT));
}

#[test]
fn output_goes_out_and_an_open_line_is_ended_when_draining() {
    let world = World::new();
    let xen = world.guest_with(dom0less());
    let console = Console::XenIo(XenIo::open(&xen).unwrap().unwrap());
    assert_eq!(console.kind(), Kind::XenIo);
    for text in ["a line\n", "half a line"] {
        assert_eq!(console.write_blocking(text.as_bytes()), Ok(text.len()));
    }
    assert!(console.drain_blocking(0));
    assert!(console.drain_blocking(0));
    assert_eq!(xen.platform().domain().console_output(), b"a line\nhalf a line\n");
}

#[test]
fn input_arrives_at_the_next_tick_and_wakes_its_reader() {
    let world = World::new();
    let xen = world.guest_with(dom0less());
    let console = Console::XenIo(XenIo::open(&xen).unwrap().unwrap());
    let typed = b"more than one tick takes in";
    let got = Cell::new(Vec::new());
    let mut tasks = Tasks::new(&world);
    tasks.spawn(async {
        let mut all = Vec::new();
        let mut buffer = [0; 5];
        while all.len() < typed.len() {
            let read = console.read(&mut buffer).await.unwrap();
            all.extend_from_slice(&buffer[..read]);
        }
        got.set(all);
    });
    xen.platform().domain().type_on_console(typed);
    assert_eq!(tasks.run(), 1);
    tasks.spawn(async {
        let interval = console.tick_interval().expect("it is polled").as_nanos() as u64;
        for _ in 0..3 {
            world.sleep(interval).await;
            console.tick();
        }
    });
    assert_eq!(tasks.run(), 0);
    drop(tasks);
    assert_eq!(got.into_inner(), typed);
}
