//! Changed partition tables: an error, or partitions that lie on the disk and apart, after a bounded number of reads.

use crate::image::{Image, images, run};
use fata_disk::{BlockDevice, MAX_PARTS, MemDisk, Partition, partitions};

thread_local! {
    static IMAGES: Vec<Image> =
        images!["gpt-512" 512, "gpt-4096" 4096, "gpt-sgdisk" 512, "mbr-512" 512, "mbr-4096" 4096, "fat12" 512];
}

/// One input.
pub fn disk_tables(input: &[u8]) {
    // Which image, and how much shorter the disk is.
    let [image, shorter, changes @ ..] = input else { return };
    IMAGES.with(|images| {
        let image = &images[usize::from(*image) % images.len()];
        image.with_changes(changes, |disk| {
            let sectors = disk.geometry().sectors;
            let cut = sectors - u64::from(*shorter) / 64 * 8;
            if cut < sectors {
                check(&Partition::new(disk, 0..cut).unwrap(), disk)
            } else {
                check(disk, disk)
            }
        });
    });
}

fn check<D: BlockDevice>(disk: &D, counts: &MemDisk) {
    let sectors = disk.geometry().sectors;
    let before = counts.counts().reads;
    let table = run(partitions(disk));
    assert!(counts.counts().reads - before < 3 * 256 + 10);
    let Ok(table) = table else { return };
    assert!(table.parts.len() <= MAX_PARTS && table.flaws.len() <= MAX_PARTS);
    for (index, part) in table.parts.iter().enumerate() {
        assert!(part.sectors.start < part.sectors.end && part.sectors.end <= sectors);
        assert!(Partition::new(disk, part.sectors.clone()).is_ok());
        for other in &table.parts[..index] {
            assert!(other.sectors.end <= part.sectors.start || part.sectors.end <= other.sectors.start);
        }
    }
    for flaw in &table.flaws {
        assert!(flaw.to_string().len() < 100);
    }
}
