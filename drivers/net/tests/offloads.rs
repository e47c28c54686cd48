//! Checksums and segments, which either end may leave to the other.

mod common;

use common::packets::{data, payload, raw, spoilt, tcp, udp, whole};
use common::{Machine, receive, receive_all, send, send_cut};
use fata_link::Link;
use fata_net::Options;
use fata_sim::{Csum, ETHERNET, Frame, NetFeatures, Sending};
use smoltcp::phy::Device;

const BLANK: u16 = 1;
const VALIDATED: u16 = 2;

/// All packets that have a checksum, of an even and an odd length.
fn packets() -> Vec<Frame> {
    let lengths = [0, 1, 2, 999, 1400];
    let each = |length: usize| {
        [4, 6].into_iter().flat_map(move |version| {
            [tcp(version, [80, 4321], &data(length)), udp(version, [53, 4321], &data(length))]
        })
    };
    lengths.into_iter().flat_map(each).collect()
}

/// Every combination of what we want and what the backend offers.
fn kinds() -> impl Iterator<Item = (Options, NetFeatures)> {
    (0..16).map(|bits| {
        let is = |bit| bits & 1 << bit != 0;
        let options = Options { checksum: is(0), gso: is(1), ..Options::default() };
        let features = NetFeatures { csum_ipv6: is(2), gso_tcpv6: is(3), ..NetFeatures::default() };
        (options, features)
    })
}

#[test]
fn checksums_of_what_is_sent_are_right_whoever_makes_them() {
    for (options, features) in kinds() {
        let machine = Machine::new(options, features.clone());
        let mut phy = machine.nic.phy();
        let mut tasks = machine.tasks();
        tasks.run();
        assert!(!phy.capabilities().checksum.tcp.tx() && !phy.capabilities().checksum.udp.tx());
        for packet in packets() {
            // Whatever is in the checksum's place.
            for frame in [packet.clone(), spoilt(packet.clone()), packet.clone().with_blank()] {
                assert!(send(&mut phy, &frame.bytes));
                phy.flush();
                tasks.run();
                let frame = machine.back.sent().remove(0);
                let version = frame.headers().unwrap().version;
                let left = options.checksum && (version == 4 || features.csum_ipv6);
                assert_eq!(frame.csum, if left { Csum::Blank } else { Csum::Full });
                assert!(whole(&frame) == packet);
                let flags = machine.back.log().last().unwrap().flags;
                assert_eq!(flags, if left { BLANK | VALIDATED } else { 0 });
            }
        }
        assert_eq!(machine.back.stats().tx_checksums, 0);
        drop(tasks);
        machine.finish();
    }
}

#[test]
fn what_has_no_checksum_is_left_alone() {
    let mut fragment = udp(4, [1, 2], &data(64));
    fragment.bytes[20] = 0x20;
    let mut icmp = tcp(6, [1, 2], &data(64));
    icmp.bytes[20] = 58;
    let mut cut = tcp(4, [1, 2], &data(64));
    cut.bytes.truncate(60);
    let machine = Machine::usual();
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    for frame in [raw(60, 0), fragment, icmp, cut] {
        assert!(send(&mut phy, &frame.bytes));
        phy.flush();
        machine.back.inject(&Frame::new(frame.bytes.clone()));
        tasks.run();
        let sent = machine.back.sent().remove(0);
        assert!(sent.bytes == frame.bytes && sent.csum == Csum::Full);
        assert!(receive(&mut phy).unwrap() == frame.bytes, "what cannot be checked is the stack's matter");
    }
    drop(tasks);
    machine.finish_anyhow();
}

#[test]
fn what_comes_with_a_wrong_checksum_is_dropped_unless_somebody_vouches_for_it() {
    for (options, features) in kinds() {
        let machine = Machine::new(options, features);
        let mut phy = machine.nic.phy();
        let mut tasks = machine.tasks();
        tasks.run();
        assert!(!phy.capabilities().checksum.tcp.rx() && !phy.capabilities().checksum.udp.rx());
        assert_eq!(machine.back.taken().csum, options.checksum);
        assert_eq!(machine.back.taken().csum_ipv6, options.checksum);
        let mut bad = 0;
        for packet in packets() {
            let wrong = spoilt(packet.clone());
            for (frame, csum, passes) in [
                (packet.clone(), Csum::Full, true),
                (packet.clone(), Csum::Validated, true),
                (packet.clone().with_blank(), Csum::Blank, true),
                (wrong.clone(), Csum::Full, false),
                // One who does not want others' word for it looks itself.
                (wrong, Csum::Validated, options.checksum),
            ] {
                machine.back.inject(&Frame { csum, ..frame.clone() });
                tasks.run();
                let got = receive_all(&mut phy);
                if !passes {
                    bad += 1;
                    assert_eq!(got, [[0; 0]; 0]);
                } else if csum == Csum::Blank && !options.checksum {
                    assert!(got == [packet.bytes.clone()], "the backend has put it in");
                } else {
                    assert!(got == [frame.bytes]);
                }
            }
        }
        assert_eq!(machine.nic.totals().rx_bad_sum, bad);
        drop(tasks);
        machine.finish();
    }
}

/// In IPv4 a datagram need have no checksum, in IPv6 it must.
#[test]
fn a_datagram_without_a_checksum_comes_in_version_4_only() {
    let machine = Machine::usual();
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    for version in [4, 6] {
        let mut frame = udp(version, [1, 2], &data(100));
        let at = frame.headers().unwrap().csum;
        frame.bytes[at..at + 2].fill(0);
        machine.back.inject(&frame);
        tasks.run();
        assert_eq!(receive_all(&mut phy).len(), if version == 4 { 1 } else { 0 });
    }
    assert_eq!(machine.nic.totals().rx_bad_sum, 1);
    drop(tasks);
    machine.finish();
}

/// Checks that packets are a stream cut at `mss`, as on a wire.
fn check_segments(frames: &[Frame], version: u8, mss: usize, expected: &[u8]) {
    assert_eq!(frames.len(), expected.len().div_ceil(mss));
    let mut at = 0;
    for frame in frames {
        assert_eq!((frame.check(), frame.csum, frame.gso), (Ok(()), Csum::Full, None));
        let headers = frame.headers().unwrap();
        assert_eq!((headers.version, headers.end), (version, frame.bytes.len()));
        let sequence = &frame.bytes[headers.transport + 4..headers.transport + 8];
        assert_eq!(sequence, &(100 + at as u32).to_be_bytes()[..]);
        let end = expected.len().min(at + mss);
        assert!(*payload(frame) == expected[at..end]);
        at = end;
    }
}

#[test]
fn long_packets_are_cut_by_the_backend() {
    for version in [4, 6] {
        for (mtu, mss) in [(1500, 1460), (1500, 536), (1280, 1220), (9000, 8940), (1500, 99)] {
            let machine =
                Machine::new(Options::default(), NetFeatures { mtu: Some(mtu), ..NetFeatures::default() });
            let mut phy = machine.nic.phy();
            let mut tasks = machine.tasks();
            tasks.run();
            let headers = tcp(version, [1, 2], &[]).bytes.len();
            assert_eq!(phy.capabilities().segmentation.tcpv4.unwrap().get(), 65_535);
            let lengths = [mtu as usize, 2 * usize::from(mss), 10_001, 65_535 - headers];
            for length in lengths.into_iter().filter(|length| headers + length > mtu as usize + ETHERNET) {
                let data = data(length);
                assert!(send_cut(&mut phy, &tcp(version, [1, 2], &data).bytes, mss));
                phy.flush();
                tasks.run();
                let frames = machine.back.sent();
                assert_eq!((frames.len(), frames[0].gso, frames[0].csum), (1, Some(mss), Csum::Blank));
                check_segments(&frames[0].on_the_wire().unwrap(), version, mss.into(), &data);
                let Sending { extras, .. } = machine.back.log().pop().unwrap();
                assert_eq!(extras, 1);
            }
            // What need not be cut is sent as it is, whatever the stack says.
            let short = tcp(version, [1, 2], &data(40));
            assert!(send_cut(&mut phy, &short.bytes, mss));
            phy.flush();
            tasks.run();
            assert!(machine.back.sent_on_the_wire() == [short]);
            assert_eq!(machine.back.log().last().unwrap().extras, 0);
            let totals = machine.nic.totals();
            assert_eq!((totals.tx_large, totals.tx_blank), (totals.tx_frames - 1, totals.tx_frames));
            assert!(
                totals.tx_large >= 3
                    && totals.to_string().contains(&format!("tx_large {} ", totals.tx_large))
            );
            drop(tasks);
            machine.finish();
        }
    }
}

/// A stack may still cut for the backend before this one.
#[test]
fn what_nobody_would_cut_is_not_sent() {
    for (options, features) in [
        (Options { gso: false, ..Options::default() }, NetFeatures::default()),
        (Options { checksum: false, ..Options::default() }, NetFeatures::default()),
        (Options { sg: false, ..Options::default() }, NetFeatures::default()),
        (Options::default(), NetFeatures { sg: false, ..NetFeatures::default() }),
        (Options::default(), NetFeatures { gso_tcpv4: false, gso_tcpv6: false, ..NetFeatures::default() }),
    ] {
        let machine = Machine::new(options, features);
        let mut phy = machine.nic.phy();
        let mut tasks = machine.tasks();
        tasks.run();
        let segmentation = phy.capabilities().segmentation;
        assert_eq!((segmentation.tcpv4, segmentation.tcpv6, phy.cuts_v6()), (None, None, None));
        for version in [4, 6] {
            assert!(send_cut(&mut phy, &tcp(version, [1, 2], &data(3000)).bytes, 1400));
        }
        phy.flush();
        tasks.run();
        assert_eq!((machine.back.sent(), machine.nic.totals().tx_unfit), (vec![], 2));
        drop(tasks);
        machine.finish();
    }
    // Nor what is no TCP.
    let machine = Machine::usual();
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    for frame in [raw(3000, 0), udp(4, [1, 2], &data(3000)), udp(6, [1, 2], &data(3000))] {
        assert!(send_cut(&mut phy, &frame.bytes, 1400));
    }
    phy.flush();
    tasks.run();
    assert_eq!((machine.back.sent(), machine.nic.totals().tx_unfit), (vec![], 3));
    drop(tasks);
    machine.finish();
}

/// Segments of version 6 need a backend that completes their checksums.
#[test]
fn only_what_the_backend_offers_is_left_to_it() {
    for (gso_tcpv4, gso_tcpv6, csum_ipv6) in
        [(true, false, true), (false, true, true), (true, true, false), (false, false, false)]
    {
        let features = NetFeatures { gso_tcpv4, gso_tcpv6, csum_ipv6, ..NetFeatures::default() };
        let machine = Machine::new(Options::default(), features);
        let mut phy = machine.nic.phy();
        let mut tasks = machine.tasks();
        tasks.run();
        let segmentation = phy.capabilities().segmentation;
        assert_eq!(segmentation.tcpv4.is_some(), gso_tcpv4);
        // The stack would not know what to do with it.
        assert_eq!((segmentation.tcpv6, phy.cuts_v6().is_some()), (None, gso_tcpv6 && csum_ipv6));
        for (version, cut) in [(4, gso_tcpv4), (6, gso_tcpv6 && csum_ipv6)] {
            let data = data(5000);
            assert!(send_cut(&mut phy, &tcp(version, [1, 2], &data).bytes, 1400));
            phy.flush();
            tasks.run();
            let frames = machine.back.sent_on_the_wire();
            if cut {
                check_segments(&frames, version, 1400, &data);
            } else {
                assert_eq!(frames, []);
            }
        }
        drop(tasks);
        machine.finish();
    }
}

#[test]
fn what_comes_uncut_is_one_frame_and_else_it_is_segments() {
    for (gso, checksum) in [(true, true), (false, true), (true, false), (false, false)] {
        let machine = Machine::new(Options { gso, checksum, ..Options::default() }, NetFeatures::default());
        let mut phy = machine.nic.phy();
        let mut tasks = machine.tasks();
        tasks.run();
        let takes = gso && checksum;
        assert_eq!((machine.back.taken().gso_tcpv4, machine.back.taken().gso_tcpv6), (takes, takes));
        for version in [4, 6] {
            let headers = tcp(version, [1, 2], &[]).bytes.len();
            // The longest that an IP packet can be, which with a header is more than 65,535 bytes.
            let longest = 65_535 + ETHERNET - headers + if version == 6 { 20 } else { 0 };
            let lengths = [1449, 4000, 30_000, 65_000, longest.min(65_535 - 20)];
            for length in lengths {
                let data = data(length);
                let frame = Frame { gso: Some(1448), ..tcp(version, [1, 2], &data).with_blank() };
                machine.back.inject(&frame);
                let mut got = Vec::new();
                while got.iter().map(|frame: &Frame| payload(frame).len()).sum::<usize>() < length {
                    tasks.run();
                    let csum = if checksum { Csum::Blank } else { Csum::Full };
                    let frames = receive_all(&mut phy).into_iter();
                    got.extend(frames.map(|bytes| Frame { csum, ..Frame::new(bytes) }));
                }
                if takes {
                    assert!(got.len() == 1 && got[0].bytes == frame.bytes);
                } else {
                    let got: Vec<_> = got.iter().map(whole).collect();
                    check_segments(&got, version, 1448, &data);
                }
            }
        }
        let totals = machine.nic.totals();
        assert_eq!(totals.rx_bad_sum, 0);
        // As large ones, or with a sum of their own.
        assert_eq!(totals.rx_large, if takes { 10 } else { 0 });
        assert_eq!(totals.rx_blank, if checksum { totals.rx_frames } else { 0 });
        drop(tasks);
        machine.finish();
    }
}
