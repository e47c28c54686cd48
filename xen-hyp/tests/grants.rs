//! Pages lent, mapped, copied and taken back, with the simulator as the peer.

use fata_sim::{Rng, Setup, World};
use std::rc::Rc;
use xen_hyp::abi::nr;
use xen_hyp::{
    Access, DomId, GrantError, GrantRef, Granted, PAGE_SIZE, Pages, Platform, SharedMem, StillMapped, Xen,
    XenError,
};

fn refs<P: Platform>(granted: &Granted<P>) -> Vec<GrantRef> {
    let mut refs = Vec::new();
    granted.each_ref(0..granted.count(), |gref| refs.push(gref));
    refs
}

fn lend<P: Platform>(xen: &Rc<Xen<P>>, pages: usize) -> Granted<P> {
    Pages::new(pages).unwrap().grant(xen, DomId::DOM0, Access::Write).unwrap()
}

#[test]
fn what_a_peer_writes_is_there_when_the_page_is_back() {
    let world = World::new();
    let xen = world.guest();
    let mut pages = Pages::new(3).unwrap();
    pages[5] = 1;
    let granted = pages.grant(&xen, DomId::DOM0, Access::Write).unwrap();
    let domain = xen.platform().domain();
    assert_eq!(refs(&granted).len(), 3);
    assert_eq!(xen.grant_totals().lent, 3);
    for (n, gref) in refs(&granted).into_iter().enumerate() {
        let page = world.map_grant(DomId::DOM0, domain, gref, true).unwrap();
        assert_eq!(page.read::<u8>(5), u8::from(n == 0));
        page.write(0, &(n as u64 + 7));
    }
    assert_eq!(granted.read::<u64>(PAGE_SIZE), 8);
    let pages = granted.revoke().unwrap();
    assert_eq!([pages[0], pages[PAGE_SIZE], pages[2 * PAGE_SIZE]], [7, 8, 9]);
    assert_eq!(xen.grant_totals().lent, 0);
    world.assert_cleaned_up();
}

#[test]
fn a_page_is_lent_by_the_reference_that_was_agreed_on() {
    let world = World::new();
    let xen = world.guest();
    let at = |gref: u32| Pages::new(1).unwrap().grant_at(&xen, DomId::DOM0, Access::Write, GrantRef(gref));
    // The table's last entry is used first otherwise; from its ends, from the middle, and beyond what it has yet.
    let held: Vec<_> = [8, 9, 511, 100, 101, 99, 600].map(|gref| (gref, at(gref).unwrap())).into();
    assert!(held.iter().all(|(gref, granted)| granted.gref() == GrantRef(*gref)));
    for taken in [0, 1, 7, 100, 600] {
        let refused = at(taken).unwrap_err();
        assert_eq!(refused.error, GrantError::Taken(GrantRef(taken)));
        assert_eq!(refused.pages.count(), 1);
    }
    assert_eq!(at(u32::MAX).unwrap_err().error, GrantError::Taken(GrantRef(u32::MAX)));
    let others: Vec<_> = (0..500).map(|_| lend(&xen, 1)).collect();
    let mut all: Vec<u32> = others.iter().map(|granted| granted.gref().0).collect();
    all.extend(held.iter().map(|(gref, _)| *gref));
    all.sort();
    let count = all.len();
    all.dedup();
    assert_eq!(all.len(), count, "one entry for two pages");
    drop((others, held));
    assert_eq!(xen.grant_totals().lent, 0);
    assert!(at(100).is_ok());
    world.assert_cleaned_up();
}

#[test]
fn a_page_granted_for_reading_is_not_written_and_only_its_peer_gets_it() {
    let world = World::new();
    let (xen, other) = (world.guest(), world.guest());
    let granted = Pages::new(1).unwrap().grant(&xen, DomId::DOM0, Access::Read).unwrap();
    let domain = xen.platform().domain();
    assert!(world.map_grant(DomId::DOM0, domain, granted.gref(), true).is_err());
    assert!(world.map_grant(other.platform().domain().id(), domain, granted.gref(), false).is_err());
    assert!(world.map_grant(DomId::DOM0, domain, granted.gref(), false).is_ok());
    let gref = granted.gref();
    drop(granted);
    assert!(world.map_grant(DomId::DOM0, domain, gref, false).is_err());
    world.assert_cleaned_up();
}

#[test]
fn a_page_the_peer_keeps_is_not_reused_until_it_lets_go() {
    let world = World::new();
    let xen = world.guest();
    let domain = xen.platform().domain();
    let granted = lend(&xen, 2);
    let second = refs(&granted)[1];
    let held = world.map_grant(DomId::DOM0, domain, second, true).unwrap();
    let StillMapped(granted) = granted.revoke().unwrap_err();
    // The first page's grant has ended, though.
    assert_eq!(domain.granted(), [second]);
    drop(granted);
    assert_eq!((xen.grant_totals().lent, xen.grant_totals().kept), (2, 2));
    assert_eq!(xen.reclaim_grants(), 2);
    // Whoever holds it still writes to memory that is nobody else's.
    let others: Vec<_> = (0..100).map(|_| Pages::new(1).unwrap()).collect();
    held.write(0, &[0xffu8; PAGE_SIZE]);
    assert!(others.iter().all(|pages| pages.iter().all(|&byte| byte == 0)));
    drop(held);
    assert_eq!(xen.reclaim_grants(), 0);
    assert_eq!(xen.grant_totals().lent, 0);
    world.assert_cleaned_up();
}

#[test]
fn a_peer_that_keeps_too_much_gets_no_more_but_others_do() {
    let world = World::new();
    let (xen, other) = (world.guest(), world.guest());
    let domain = xen.platform().domain();
    let mut held = Vec::new();
    let refused = loop {
        match Pages::new(64).unwrap().grant(&xen, DomId::DOM0, Access::Write) {
            Ok(granted) => {
                held.push(world.map_grant(DomId::DOM0, domain, granted.gref(), true).unwrap());
            }
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.error, GrantError::Withheld(DomId::DOM0));
    assert_eq!(refused.pages.count(), 64);
    assert_eq!((held.len(), xen.grant_totals().kept), (16, 1024));
    let to_other = refused.pages.grant(&xen, other.platform().domain().id(), Access::Write).unwrap();
    drop(to_other);
    held.clear();
    drop(lend(&xen, 64));
    assert_eq!(xen.grant_totals().kept, 0);
    world.assert_cleaned_up();
}

#[test]
fn the_table_grows_to_xens_limit_and_no_further() {
    let world = World::new();
    let xen = world.guest_with(Setup { grant_frames: 3, ..Setup::default() });
    assert_eq!(xen.grant_totals().entries, 0);
    let small = lend(&xen, 1);
    assert_eq!(xen.grant_totals().entries, 512);
    let large = lend(&xen, 1024 - 9);
    assert_eq!(xen.grant_totals().entries, 1024);
    let rest = lend(&xen, 512);
    assert_eq!((xen.grant_totals().entries, xen.grant_totals().lent), (1536, 1528));
    let refused = Pages::new(1).unwrap().grant(&xen, DomId::DOM0, Access::Write).unwrap_err();
    assert_eq!(refused.error, GrantError::TableFull);
    drop(large);
    let again = lend(&xen, 1000);
    assert!(refs(&again).iter().all(|gref| gref.0 >= 8), "reserved entries are not ours");
    drop((small, rest, again));
    world.assert_cleaned_up();
}

#[test]
fn memory_that_an_entry_cannot_name_is_refused_without_a_trace() {
    let world = World::new();
    let xen = world.guest_with(Setup { high_memory: true, ..Setup::default() });
    let refused = Pages::new(2).unwrap().grant(&xen, DomId::DOM0, Access::Write).unwrap_err();
    assert_eq!((refused.error, refused.pages.count()), (GrantError::TooHigh, 2));
    let nothing = Pages::none().grant(&xen, DomId::DOM0, Access::Write).unwrap_err();
    assert_eq!(nothing.error, GrantError::Nothing);
    assert_eq!(xen.grant_totals().lent, 0);
    world.assert_cleaned_up();
}

#[test]
fn pages_of_another_domain_are_mapped_as_one_and_unmapped() {
    let world = World::new();
    let (front, back) = (world.guest(), world.guest());
    let [front_id, back_id] = [&front, &back].map(|xen| xen.platform().domain().id());
    let granted = Pages::new(3).unwrap().grant(&front, back_id, Access::Write).unwrap();
    let mapped = back.map(front_id, &refs(&granted)).unwrap();
    assert_eq!(mapped.size(), 3 * PAGE_SIZE);
    let bytes: Vec<u8> = (0..2 * PAGE_SIZE).map(|n| (n % 251) as u8).collect();
    mapped.copy_out(PAGE_SIZE - 100, &bytes);
    mapped.store(8, 77);
    let mut seen = vec![0; bytes.len()];
    granted.copy_in(PAGE_SIZE - 100, &mut seen);
    assert_eq!(seen, bytes);
    granted.store(2 * PAGE_SIZE + 4, 99);
    assert_eq!((granted.load(8), mapped.load(2 * PAGE_SIZE + 4)), (77, 99));
    mapped.copy_in(PAGE_SIZE - 100, &mut seen[..100]);
    let StillMapped(granted) = granted.revoke().unwrap_err();
    drop(mapped);
    granted.revoke().unwrap();
    world.assert_cleaned_up();
}

#[test]
fn a_mapping_that_fails_half_way_leaves_nothing() {
    let world = World::new();
    let (front, back) = (world.guest(), world.guest());
    let [front_id, back_id] = [&front, &back].map(|xen| xen.platform().domain().id());
    let granted = Pages::new(2).unwrap().grant(&front, back_id, Access::Write).unwrap();
    let mut grefs = refs(&granted);
    grefs.insert(1, GrantRef(4000));
    assert_eq!(back.map(front_id, &grefs).unwrap_err(), GrantError::Status(-3));
    assert_eq!(back.map(DomId(77), &grefs).unwrap_err(), GrantError::Status(-2));
    assert_eq!(back.map(front_id, &[]).unwrap_err(), GrantError::NoWindow);
    world.fail(back_id, nr::GRANT_TABLE_OP, 0, XenError::ENOSYS);
    assert_eq!(back.map(front_id, &refs(&granted)).unwrap_err(), GrantError::Xen(XenError::ENOSYS));
    let nowhere = world.guest_with(Setup { windows: false, ..Setup::default() });
    assert_eq!(nowhere.map(front_id, &grefs).unwrap_err(), GrantError::NoWindow);
    granted.revoke().unwrap();
    world.assert_cleaned_up();
}

#[test]
fn xen_copies_between_any_bytes_of_ours_and_a_granted_page() {
    let world = World::new();
    let (front, back) = (world.guest(), world.guest());
    let [front_id, back_id] = [&front, &back].map(|xen| xen.platform().domain().id());
    let granted = Pages::new(1).unwrap().grant(&front, back_id, Access::Write).unwrap();
    let gref = granted.gref();
    let mut rng = Rng::new();
    for _ in 0..if cfg!(miri) { 10 } else { 200 } {
        let offset = rng.within(0..PAGE_SIZE);
        let len = rng.within(0..PAGE_SIZE - offset + 1);
        // Anywhere, and so across the ends of our own pages too.
        let skip = rng.within(0..5000);
        let bytes = rng.bytes(skip + len);
        back.copy_to(front_id, gref, offset, &bytes[skip..]).unwrap();
        let mut seen = vec![0; skip + len];
        back.copy_from(front_id, gref, offset, &mut seen[skip..]).unwrap();
        assert_eq!(seen[skip..], bytes[skip..]);
        let mut theirs = vec![0; len];
        granted.copy_in(offset, &mut theirs);
        assert_eq!(theirs, bytes[skip..]);
    }
    assert_eq!(back.copy_to(front_id, gref, 1, &[0; PAGE_SIZE]), Err(GrantError::Status(-10)));
    granted.revoke().unwrap();
    assert_eq!(back.copy_to(front_id, gref, 0, &[0; 4]), Err(GrantError::Status(-3)));
    world.assert_cleaned_up();
}

#[test]
fn any_order_of_lending_and_taking_back_keeps_the_table_whole() {
    let world = World::new();
    let xen = world.guest_with(Setup { grant_frames: 1, ..Setup::default() });
    let mut rng = Rng::new();
    let mut out: Vec<Granted<_>> = Vec::new();
    let mut lent = 0;
    for _ in 0..if cfg!(miri) { 100 } else { 5000 } {
        if rng.number().is_multiple_of(2) {
            let count = rng.within(1..20);
            match Pages::new(count).unwrap().grant(&xen, DomId::DOM0, Access::Write) {
                Ok(granted) => {
                    lent += count;
                    out.push(granted);
                }
                Err(refused) => {
                    assert_eq!(refused.error, GrantError::TableFull);
                    assert!(lent + count > 504);
                }
            }
        } else if !out.is_empty() {
            let pages = out.swap_remove(rng.within(0..out.len())).revoke().unwrap();
            lent -= pages.count();
        }
        assert_eq!(xen.grant_totals().lent, lent);
        let mut all: Vec<_> = out.iter().flat_map(refs).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), lent, "no entry has two owners");
        assert_eq!(xen.platform().domain().granted(), all);
    }
    drop(out);
    world.assert_cleaned_up();
}
