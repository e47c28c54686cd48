//! cloud-init's NoCloud: a disk with the label `cidata`, as ISO 9660 or FAT, with the files `meta-data` and
//! `network-config` in its root directory (`docs/rtd/reference/datasources/nocloud.rst` of cloud-init).

use crate::source::{Origin, Source};
use crate::{cloud, iso9660, yaml};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use fata_disk::{BlockDevice, FileError};

const FILES: [&str; 2] = ["meta-data", "network-config"];

/// What the disk says; `None` if it is not labelled so. `mac` is our Ethernet address, if it is known.
pub async fn read<D: BlockDevice>(disk: &D, mac: Option<[u8; 6]>) -> Option<Source> {
    let files = match files(disk).await? {
        Ok(files) => files,
        Err(why) => return Some(Source::unreadable(Origin::Disk, "the disk", why)),
    };
    let [meta, network] = &files;
    Some(cloud::read(Origin::Disk, meta.as_deref(), network.as_deref(), mac))
}

type Files = [Option<Vec<u8>>; FILES.len()];

async fn files<D: BlockDevice>(disk: &D) -> Option<Result<Files, String>> {
    let is_label = |label: &str| label.eq_ignore_ascii_case("cidata");
    if let Ok(Some(volume)) = iso9660::mount(disk).await {
        if !is_label(&volume.label) {
            return None;
        }
        let mut files = Files::default();
        for (name, file) in FILES.iter().zip(&mut files) {
            match volume.read(name).await {
                Ok(bytes) => *file = bytes,
                Err(error) => return Some(Err(format!("{name}: {error:?}"))),
            }
        }
        return Some(Ok(files));
    }
    let volume = fata_disk::mount(disk).await.ok()?;
    if !is_label(&volume.label()) {
        return None;
    }
    let mut files = Files::default();
    for (name, file) in FILES.iter().zip(&mut files) {
        // One byte more than is read, so that a longer one is refused.
        let mut bytes = vec![0; yaml::LONGEST + 1];
        match volume.read(&format!("/{name}"), 0, &mut bytes).await {
            Ok(len) => {
                bytes.truncate(len);
                *file = Some(bytes);
            }
            Err(FileError::NotFound) => {}
            Err(error) => return Some(Err(format!("{name}: {}", error))),
        }
    }
    Some(Ok(files))
}
