//! Payloads that are sound, and those that are not.

use fata_payload::{Attached, Error, Member, Payload, Unfit, Unpackable, attach, attached, pack};

fn member<'a>(name: &'a str, bytes: &'a [u8]) -> Member<'a> {
    Member { name, secret: name.ends_with("key"), bytes }
}

fn three() -> Vec<u8> {
    pack(&[member("tls/key", b"secret"), member("site", &[7; 100]), member("tls/cert", b"")]).unwrap()
}

/// An image of two pages of memory, of which the file has a bit.
fn image() -> Vec<u8> {
    let mut image = vec![0; 100];
    image[16..24].copy_from_slice(&8192u64.to_le_bytes());
    image[56..60].copy_from_slice(b"ARM\x64");
    image[64..72].copy_from_slice(b"FATAHEAD");
    image
}

#[test]
fn members_are_found_by_name() {
    let packed = three();
    let payload = Payload::open(&packed).unwrap();
    let names: Vec<_> = payload.members().map(|member| member.name).collect();
    assert_eq!(names, ["site", "tls/cert", "tls/key"]);
    assert_eq!(payload.member("site"), Some(member("site", &[7; 100])));
    assert_eq!(payload.member("tls/cert").unwrap().bytes, b"");
    assert_eq!(payload.member("tls"), None);
    let key = payload.member("tls/key").unwrap();
    assert!(key.secret);
    assert_eq!(format!("{key:?}"), "tls/key: 6 bytes, secret");
}

#[test]
fn order_makes_no_difference() {
    let (a, b) = (member("a", b"1"), member("b", b"2"));
    assert_eq!(pack(&[a, b]), pack(&[b, a]));
    assert_eq!(pack(&[]).map(|packed| Payload::open(&packed).unwrap().members().count()), Ok(0));
}

#[test]
fn what_follows_is_not_looked_at() {
    let mut packed = three();
    packed.extend_from_slice(&[0xff; 5000]);
    assert_eq!(Payload::open(&packed).unwrap().members().count(), 3);
}

#[test]
fn names_have_to_make_sense() {
    let long = "x".repeat(41);
    for name in ["", "a b", "ä", &long] {
        assert_eq!(pack(&[member(name, b"")]), Err(Unpackable::Name(name.into())));
    }
    assert_eq!(pack(&[member("a", b""), member("a", b"1")]), Err(Unpackable::Twice("a".into())));
    assert_eq!(pack(&[member("a", b""); 65]), Err(Unpackable::TooMany));
    assert!(pack(&[member(&"x".repeat(40), b"")]).is_ok());
}

#[test]
fn every_cut_is_an_error() {
    let packed = three();
    for length in 0..packed.len() {
        assert!(Payload::open(&packed[..length]).is_err(), "cut to {length}");
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let changed = |at: usize, to: &[u8]| {
        let mut packed = three();
        packed[at..at + to.len()].copy_from_slice(to);
        Payload::open(&packed).map(|_| ()).unwrap_err()
    };
    assert_eq!(changed(0, b"x"), Error::Magic);
    assert_eq!(changed(8, &[2]), Error::Version(2));
    assert_eq!(changed(12, &[65]), Error::Length);
    assert_eq!(changed(16, &[0xff; 8]), Error::Length);
    assert_eq!(changed(32, b"tls/cert"), Error::Name(1));
    assert_eq!(changed(32 + 64, &[0]), Error::Name(1));
    assert_eq!(changed(32 + 64 + 39, b"x"), Error::Name(1));
    assert_eq!(changed(32 + 40, &[2]), Error::Member(0));
    assert_eq!(changed(32 + 48, &[1]), Error::Member(0));
    assert_eq!(changed(32 + 48, &[0; 8]), Error::Member(0));
    assert_eq!(changed(32 + 56, &[0xff; 8]), Error::Member(0));
}

#[test]
fn a_payload_lies_behind_all_of_the_image() {
    let payload = three();
    let whole = attach(&image(), &payload).unwrap();
    assert_eq!(whole[8192..], payload);
    assert_eq!(whole[88..100], image()[88..]);
    assert!(whole[100..8192].iter().all(|byte| *byte == 0));
    assert_eq!(attached(&whole), Ok(Attached { image: 8192, payload: payload.len() as u64 }));
    // The memory it takes now is in whole pages.
    assert_eq!(whole[16..24], (8192u64 + 4096).to_le_bytes());
}

#[test]
fn another_payload_takes_the_place_of_the_first() {
    let long = attach(&image(), &[1; 9000]).unwrap();
    let short = attach(&long, b"short").unwrap();
    assert_eq!(short, attach(&image(), b"short").unwrap());
    assert_eq!(attached(&image()), Ok(Attached { image: 8192, payload: 0 }));
    assert_eq!(attached(&attach(&long, b"").unwrap()), Ok(Attached { image: 8192, payload: 0 }));
}

#[test]
fn other_files_take_none() {
    let changed = |at: usize, to: &[u8]| {
        let mut image = image();
        image[at..at + to.len()].copy_from_slice(to);
        attach(&image, b"x").unwrap_err()
    };
    assert_eq!(attach(b"", b"x"), Err(Unfit::NoImage));
    assert_eq!(changed(56, b"x"), Unfit::NoImage);
    assert_eq!(changed(64, b"x"), Unfit::NoRoom);
    assert_eq!(changed(16, &[1]), Unfit::Damaged);
    assert_eq!(changed(16, &[0; 8]), Unfit::Damaged);
    assert_eq!(changed(16, &[0xff; 8]), Unfit::Damaged);
    assert_eq!(changed(80, &[1]), Unfit::Damaged);
    assert_eq!(changed(72, &[0xff; 16]), Unfit::Damaged);
    assert_eq!(attach(&image()[..80], b"x"), Err(Unfit::NoRoom));
    let whole = attach(&image(), b"x").unwrap();
    assert_eq!(attach(&whole[..whole.len() - 1], b"x"), Err(Unfit::Damaged));
}
