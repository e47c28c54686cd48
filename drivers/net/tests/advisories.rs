//! Mistakes that others made, and that became security advisories, shown not to be ours: those of MirageOS
//! (<https://mirage.io/security>) and of Xen's frontends (<https://xenbits.xen.org/xsa/>).

mod common;

use common::packets::{data, raw, tcp, udp};
use common::two::{Two, works};
use common::{Machine, Wakes, receive_all, received, send, sent};
use fata_link::Link;
use fata_net::{Error, Options, State};
use fata_sim::{Frame, MappedPage, NetFeatures, Order, Rng, Way};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, TxToken};
use smoltcp::socket::tcp as stack_tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{IpAddress, IpCidr};
use std::cell::Cell;
use std::collections::BTreeSet;
use xen_hyp::{DomId, PAGE_SIZE, Pages, SharedMem};

const SECRET: u8 = 0x5e;

/// Everything that is lent, as whoever it is lent to sees it.
fn lent(machine: &Machine) -> Vec<MappedPage> {
    let domain = machine.xen.platform().domain();
    let map = |gref| machine.world.map_grant(DomId::DOM0, domain, gref, false).unwrap();
    domain.granted().into_iter().map(map).collect()
}

fn bytes(page: &MappedPage) -> Vec<u8> {
    let mut bytes = vec![0; PAGE_SIZE];
    page.copy_in(0, &mut bytes);
    bytes
}

/// MSA00: pages under way shared an id, so that one was used again, and sent with what was for somebody else, while the
/// backend had not yet taken it. Mirage's receiving side was no better.
#[test]
fn msa00_ids_of_what_is_under_way_are_unique() {
    let machine = Machine::usual();
    machine.back.set_order(Order::Random(Rng::new()));
    let mut phy = machine.nic.phy();
    machine.run(async {
        machine.nic.ready().await.unwrap();
        for n in 0..if cfg!(miri) { 20 } else { 500 } {
            // What is copied late is copied right.
            sent(&mut phy, &raw([3000, 9000, 140][n % 3], n).bytes).await;
            let pending = machine.back.pending_ids();
            assert_eq!(pending.iter().collect::<BTreeSet<_>>().len(), pending.len());
            let ring = machine.back.ring(0, Way::Rx).unwrap();
            let (posted, answered) = (ring.load(0), ring.load(8));
            let slot = |n: u32| 64 + (n % 256) as usize * 8;
            let posted = || (0..posted.wrapping_sub(answered)).map(|n| answered.wrapping_add(n));
            let ids: BTreeSet<_> = posted().map(|n| ring.load(slot(n)) & 0xffff).collect();
            let grefs: BTreeSet<_> = posted().map(|n| ring.load(slot(n) + 4)).collect();
            assert_eq!((ids.len(), grefs.len()), (posted().count(), posted().count()));
        }
        while machine.back.stats().tx_packets < machine.nic.totals().tx_frames {
            machine.world.sleep(1).await;
        }
    });
    for (n, frame) in machine.back.sent().iter().enumerate() {
        assert!(*frame == raw([3000, 9000, 140][n % 3], n));
    }
    machine.finish();
}

/// MSA01: a stack was given pages to write into that still held something else, which went out with whatever it left as
/// it was.
#[test]
fn msa01_what_a_stack_does_not_write_is_not_sent() {
    let machine = Machine::usual();
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    for secret in [60, 1514, 9000, 65_535] {
        assert!(send(&mut phy, &vec![SECRET; secret]));
        phy.flush();
        tasks.run();
        machine.back.sent();
        for size in [14, 60, 128, 1000, 9000] {
            let token = phy.transmit(Instant::ZERO).unwrap();
            // The headers of all layers, in which fields that are nought may be left out.
            token.consume(size, |frame| assert!(frame.iter().take(128).all(|&byte| byte == 0)));
            phy.flush();
            tasks.run();
            let frame = machine.back.sent().remove(0);
            assert!(frame.bytes.iter().take(128).all(|&byte| byte == 0));
        }
    }
    drop(tasks);
    machine.finish_anyhow();
}

/// The same for the stack there is: it writes all that it sends.
#[test]
fn msa01_a_real_stack_shows_nothing_of_what_was_sent_before() {
    let machine = Machine::usual();
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    let config = Config::new(machine.nic.mac().into());
    let mut interface = Interface::new(config, &mut phy, Instant::ZERO);
    let address = |text: &str| text.parse::<IpAddress>().unwrap();
    interface.update_ip_addrs(|addresses| {
        addresses.push(IpCidr::new(address("10.0.0.2"), 24)).unwrap();
        addresses.push(IpCidr::new(address("fd00::2"), 64)).unwrap();
    });
    let buffer = || stack_tcp::SocketBuffer::new(vec![0; 100_000]);
    let mut sockets = SocketSet::new(vec![]);
    let handles: Vec<_> = (0..2).map(|_| sockets.add(stack_tcp::Socket::new(buffer(), buffer()))).collect();
    for (n, handle) in handles.iter().enumerate() {
        let there = [address("10.0.0.1"), address("fd00::1")][n];
        let socket = sockets.get_mut::<stack_tcp::Socket<'_>>(*handle);
        socket.connect(interface.context(), (there, 80), 4000 + n as u16).unwrap();
    }
    let (mut frames, mut now) = (0, 0);
    for round in 0..200 {
        // Whatever the stack asks, somebody else's answer is not needed: it asks again.
        assert!(send(&mut phy, &vec![SECRET; 2000]));
        interface.poll(Instant::from_millis(now), &mut phy, &mut sockets);
        if round % 4 == 0 {
            machine.back.inject(&tcp(4, [80, 9], b"nobody listens"));
            machine.back.inject(&tcp(6, [80, 9], b"nobody listens"));
            machine.back.inject(&udp(4, [53, 9], &data(200)));
        }
        phy.flush();
        tasks.run();
        for frame in machine.back.sent() {
            if frame.bytes.iter().all(|&byte| byte == SECRET) {
                continue;
            }
            frames += 1;
            assert!(!frame.bytes.contains(&SECRET), "{frame:?}");
        }
        now += 250;
    }
    assert!(frames > 20, "{frames} of the stack");
    drop(tasks);
    machine.finish_anyhow();
}

/// MSA02 and XSA-396: pages were used again, or the guest stopped, though the backend still had them mapped.
#[test]
fn msa02_xsa396_pages_that_a_backend_still_has_are_never_used_again() {
    let machine = Machine::usual();
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    let mut kept = Vec::new();
    for round in 0..4 {
        for n in 0..10 {
            assert!(send(&mut phy, &raw(6000, n).bytes));
            machine.back.inject(&raw(6000, n));
        }
        phy.flush();
        tasks.run();
        assert_eq!(receive_all(&mut phy).len(), 10);
        let known: Vec<_> = kept.iter().map(|(_, page): &(_, MappedPage)| page.gref()).collect();
        let new = lent(&machine).into_iter().filter(|page| !known.contains(&page.gref()));
        kept.extend(new.map(|page| (bytes(&page), page)));
        let count = kept.len();
        // It says that it has let go, or is no more.
        if round % 2 == 0 {
            machine.back.unbind()
        } else {
            machine.back.crash(false)
        }
        tasks.run();
        machine.replug();
        tasks.run();
        assert_eq!((machine.nic.state(), machine.xen.grant_totals().kept), (State::Ready, count));
        // Whoever needs memory gets other memory.
        let mut others: Vec<_> = (0..200).map(|_| Pages::new(1).unwrap()).collect();
        others.iter_mut().for_each(|page| page.fill(SECRET));
        assert!(kept.iter().all(|(was, page)| bytes(page) == *was), "used again");
    }
    works(&machine, &mut tasks);
    drop(kept);
    assert_eq!(machine.xen.reclaim_grants(), 0);
    drop(tasks);
    machine.finish();
}

/// A backend that answers and keeps what it was asked to copy from or into has nothing more by that.
#[test]
fn xsa396_a_backend_that_keeps_what_it_has_answered_stops_nobody() {
    let two = Two::new(Options::default());
    let machine = &two.machine;
    machine.back.set_keeps(true);
    let mut tasks = two.tasks();
    tasks.run();
    let mut connects = 0;
    while machine.nic.state() == State::Ready {
        works(machine, &mut tasks);
        machine.back.crash(true);
        machine.replug();
        tasks.run();
        two.check(&mut tasks, "kept");
        connects += 1;
    }
    // There is a limit to what one that keeps everything gets.
    assert_eq!(machine.nic.state(), State::Dead(Error::NoMemory));
    let kept = machine.xen.grant_totals().kept;
    assert!(connects > 3 && (1024..1024 + 514).contains(&kept), "{connects}, {kept}");
    machine.back.let_go();
    assert_eq!(machine.xen.reclaim_grants(), 0);
    machine.back.behave();
    machine.replug();
    tasks.run();
    works(machine, &mut tasks);
    drop(tasks);
    two.finish();
}

/// MSA03: a multicast packet was reported at such length that a loop never ended. Whatever comes, nothing is reported, and
/// the next one is looked at.
#[test]
fn msa03_a_multicast_packet_is_a_packet_like_any_other() {
    for multicast in [false, true] {
        let machine = Machine::new(Options { multicast, ..Options::default() }, NetFeatures::default());
        let mut phy = machine.nic.phy();
        let mut tasks = machine.tasks();
        tasks.run();
        for (n, last) in (224..240).enumerate() {
            for length in [0, 1, 100, 1400, 9000, 60_000] {
                let mut frame = udp(4, [5353, 5353], &data(length));
                frame.bytes[30] = last;
                frame.bytes[..6].copy_from_slice(&[1, 0, 0x5e, n as u8, 0, 1]);
                let frame = Frame::new(frame.bytes).with_blank().on_the_wire().unwrap().remove(0);
                machine.back.inject(&frame);
                tasks.run();
                let passes = if multicast { vec![] } else { vec![frame.bytes] };
                assert!(receive_all(&mut phy) == passes);
            }
        }
        assert_eq!(machine.xen.platform().domain().console_output(), []);
        works(&machine, &mut tasks);
        drop(tasks);
        machine.finish();
    }
}

/// XSA-391: a backend sent events as fast as it could, and the guest did nothing but serve them.
#[test]
fn xsa391_a_storm_of_events_wakes_nobody_who_did_not_ask() {
    let two = Two::new(Options { split: true, ..Options::default() });
    let machine = &two.machine;
    let (mut phy, looks, done) = (machine.nic.phy(), Cell::new(0), Cell::new(0));
    let mut tasks = two.tasks();
    let turns = Cell::new(0);
    tasks.each_turn(|| {
        turns.set(turns.get() + 1);
        // With each of its turns, and more.
        machine.back.set_storm(turns.get() < 1000);
        if turns.get() < 1000 {
            (0..50)
                .for_each(|_| machine.back.notify(0, if turns.get() % 2 == 0 { Way::Tx } else { Way::Rx }));
        }
    });
    tasks.spawn(async {
        loop {
            let frame = received(&mut phy).await;
            looks.set(looks.get() + 1);
            sent(&mut phy, &frame).await;
        }
    });
    // Somebody else, who has nothing to do with it.
    tasks.spawn(async {
        for n in 0..100 {
            machine.world.sleep(10).await;
            done.set(n + 1);
        }
    });
    tasks.run();
    assert_eq!((looks.get(), done.get(), machine.nic.totals().rx_frames), (0, 100, 0));
    two.check(&mut tasks, "storm");
    machine.back.inject(&raw(60, 1));
    tasks.run();
    assert!(machine.back.sent() == [raw(60, 1)]);
    drop(tasks);
    // A thousand events are one wake-up, and none before somebody asks again.
    let (wakes, waker) = Wakes::new();
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    for asked in [true, false, true] {
        wakes.take();
        if asked {
            phy.register(&waker);
        }
        for _ in 0..1000 {
            machine.back.notify(0, Way::Rx);
            machine.xen.demux();
        }
        assert_eq!(wakes.take(), usize::from(asked));
    }
    drop(tasks);
    two.finish();
}

/// XSA-403: what was lent held what had been in those pages before, or what else lay in them.
#[test]
fn xsa403_nothing_is_shown_but_rings_and_frames() {
    for trusted in [None, Some(false), Some(true)] {
        let machine = Machine::new(
            Options { queues: 2, split: true, ..Options::default() },
            NetFeatures { trusted, ..NetFeatures::default() },
        );
        // Memory that is free has somebody's secrets in it.
        let mut secrets: Vec<_> = (0..300).map(|n| vec![SECRET; 100 + n * 40]).collect();
        let mut pages: Vec<_> = (0..200).map(|_| Pages::new(1).unwrap()).collect();
        pages.iter_mut().for_each(|page| page.fill(SECRET));
        drop((secrets.pop(), pages));
        drop(secrets);
        let mut phy = machine.nic.phy();
        let mut tasks = machine.tasks();
        tasks.run();
        // Four rings, each with indices and requests; the rest is empty.
        let full = lent(&machine).iter().filter(|page| bytes(page).iter().any(|&byte| byte != 0)).count();
        assert_eq!(full, 4);
        // One alone may be a number in a ring.
        let is_secret = |page: &MappedPage| bytes(page).chunks(16).any(|bytes| *bytes == [SECRET; 16]);
        let no_secret = |machine: &Machine| !lent(machine).iter().any(is_secret);
        let mut frame = raw(9000, 0);
        frame.bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(u8::from(*byte == SECRET)));
        for length in [14, 60, 4095, 9000, 100] {
            assert!(send(&mut phy, &frame.bytes[..length]));
            machine.back.inject(&Frame::new(&frame.bytes[..length]));
            phy.flush();
            tasks.run();
            receive_all(&mut phy);
            assert!(no_secret(&machine), "{length}");
        }
        // What one backend was sent the next does not see.
        assert!(send(&mut phy, &[SECRET; 60_000]));
        phy.flush();
        tasks.run();
        assert!(!no_secret(&machine));
        machine.back.unplug();
        tasks.run();
        machine.replug();
        tasks.run();
        assert!(machine.nic.state() == State::Ready && no_secret(&machine));
        drop(tasks);
        machine.finish();
    }
}
