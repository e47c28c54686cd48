//! Changed disks labelled `cidata`, or any bytes as one: addresses that make sense, or none.

use crate::image::{Image, run};
use fata_addresses::{choose, cidata};
use fata_disk::MemDisk;

thread_local! {
    static IMAGES: [Image; 3] = [
        Image::new(include_bytes!("../../../netstack/addresses/tests/data/joliet.xz"), 512),
        Image::new(include_bytes!("../../../netstack/addresses/tests/data/rock.xz"), 512),
        Image::new(include_bytes!("../../../netstack/addresses/tests/data/fat.xz"), 512),
    ];
}

/// One input.
pub fn cloud_disks(input: &[u8]) {
    let [image, changes @ ..] = input else { return };
    IMAGES.with(|images| match images.get(usize::from(*image)) {
        Some(image) => image.with_changes(changes, read),
        None => read(&MemDisk::from_bytes(changes).unwrap()),
    });
}

fn read(disk: &MemDisk) {
    let before = disk.counts();
    if let Some(source) = run(cidata::read(disk, None)) {
        choose(vec![source]).config.check().unwrap();
    }
    let after = disk.counts();
    assert!(after.reads - before.reads < 2000 && after.sectors_read - before.sectors_read < 20_000);
}
