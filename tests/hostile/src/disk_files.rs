//! Changed file systems, or any bytes as one: errors or files, after a bounded number of reads.

use crate::image::{Image, images, run};
use fata_disk::{BlockDevice, Kind, MemDisk, Volume, mount};

/// How much one looks at.
const ENTRIES: usize = 25;

thread_local! {
    static IMAGES: Vec<Image> = images![
        "ext4-1k" 512, "ext4-old" 512, "ext2" 512, "ext3-4k" 4096, "ext4-journal" 512, "ext3-revoked" 512,
        "fat12" 512, "fat16" 512, "fat16-4096" 4096,
    ];
}

/// One input.
pub fn disk_files(input: &[u8]) {
    let [image, changes @ ..] = input else { return };
    IMAGES.with(|images| match images.get(usize::from(*image)) {
        Some(image) => image.with_changes(changes, explore),
        None => explore(&MemDisk::from_bytes(changes).unwrap()),
    });
}

fn explore(disk: &MemDisk) {
    let before = disk.counts().reads;
    if let Ok(volume) = run(mount(disk)) {
        run(walk(&volume));
        for path in ["/dir/sub/deep/bottom.txt", "/to-bottom", "/many/../to-sub/deep/../..", "/loop-a"] {
            let _ = run(volume.metadata(path));
        }
        let _ = run(volume.list("/dir"));
    }
    assert!(disk.counts().reads - before < 50_000);
}

async fn walk<D: BlockDevice>(volume: &Volume<D>) {
    let mut paths = vec![String::from("/")];
    let mut left = ENTRIES;
    while let Some(path) = paths.pop() {
        let Ok(mut directory) = volume.open_dir(&path).await else { continue };
        let mut errors = 0;
        while errors < 3 && left > 0 {
            let entry = match directory.next().await {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(_) => {
                    errors += 1;
                    continue;
                }
            };
            left -= 1;
            let below = format!("{}/{}", path.trim_end_matches('/'), entry.name);
            if entry.kind == Kind::Directory && below.matches('/').count() < 5 {
                paths.push(below);
            } else if let Ok(mut file) = volume.open(&below).await {
                let bytes = file.bytes();
                for at in [0, bytes / 2, bytes.saturating_sub(100)] {
                    let mut piece = [0; 5000];
                    let len = file.read_at(at, &mut piece).await.unwrap_or(0);
                    assert!(len as u64 <= bytes.saturating_sub(at));
                }
            }
        }
    }
}
