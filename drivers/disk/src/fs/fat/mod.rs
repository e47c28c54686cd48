//! FAT, after Microsoft's "FAT: General Overview of On-Disk Format" (1.03), and where that leaves room, after what
//! Linux does (`fs/fat`).

mod dir;

pub(super) use dir::Cursor;

use super::{FileError, Kind, Metadata, Run};
use crate::bytes::{le16, le32};
use crate::cache::Cache;
use crate::device::BlockDevice;
use alloc::string::String;

/// The most clusters whose places are found out at once.
const MAX_RUN: u32 = 1024;

/// What a volume's first sector says.
pub(super) struct Fat {
    bits: Bits,
    cluster_bytes: u32,
    /// How many clusters there are; the first has number 2.
    clusters: u32,
    /// Where things are, in bytes.
    table: u64,
    data: u64,
    root: Root,
    label: [u8; 11],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bits {
    Twelve,
    Sixteen,
    ThirtyTwo,
}

#[derive(Clone, Copy)]
enum Root {
    /// A place of its own: where, and how many entries.
    Fixed(u64, u32),
    /// A directory like others, from this cluster on.
    Cluster(u32),
}

/// A file or a directory.
#[derive(Clone, Copy)]
pub(super) struct Node {
    is_dir: bool,
    bytes: u32,
    place: Root,
}

impl Node {
    pub(super) fn metadata(&self) -> Metadata {
        let kind = if self.is_dir { Kind::Directory } else { Kind::File };
        Metadata { kind, bytes: u64::from(self.bytes) }
    }
}

impl Fat {
    /// `None` if the disk does not begin like a FAT volume.
    pub(super) async fn detect<D: BlockDevice>(cache: &Cache<D>) -> Result<Option<Self>, FileError> {
        if cache.bytes() < 512 {
            return Ok(None);
        }
        let mut sector = [0; 512];
        cache.read(0, &mut sector).await?;
        Self::parse(&sector, cache.bytes())
    }

    fn parse(sector: &[u8; 512], disk_bytes: u64) -> Result<Option<Self>, FileError> {
        let sector_bytes = u64::from(le16(sector, 11));
        let per_cluster = u64::from(sector[13]);
        let reserved = u64::from(le16(sector, 14));
        let copies = u64::from(sector[16]);
        let root_entries = u32::from(le16(sector, 17));
        let is_fat = le16(sector, 510) == 0xaa55
            && sector_bytes.is_power_of_two()
            && (512..=4096).contains(&sector_bytes)
            && per_cluster.is_power_of_two()
            && reserved != 0
            && copies != 0
            && matches!(sector[21], 0xf0 | 0xf8..);
        if !is_fat {
            return Ok(None);
        }
        // As Linux decides it: only volumes with 32 bits leave the short length empty.
        let is_32 = le16(sector, 22) == 0;
        let (table_sectors, label, cluster) = if is_32 {
            if le16(sector, 42) != 0 {
                return Err(FileError::Unsupported("a FAT32 of a later version"));
            }
            (u64::from(le32(sector, 36)), 71, le32(sector, 44))
        } else {
            (u64::from(le16(sector, 22)), 43, 0)
        };
        let total = match u64::from(le16(sector, 19)) {
            0 => u64::from(le32(sector, 32)),
            total => total,
        };
        let root = (reserved + copies * table_sectors) * sector_bytes;
        let data = root + (u64::from(root_entries) * 32).next_multiple_of(sector_bytes);
        let end = total * sector_bytes;
        if end > disk_bytes {
            return Err(FileError::Corrupt("the volume is longer than its disk"));
        }
        let cluster_bytes = per_cluster * sector_bytes;
        if data > end {
            return Err(FileError::Corrupt("the volume ends before its first cluster"));
        }
        let clusters = (end - data) / cluster_bytes;
        let bits = match clusters {
            _ if is_32 => Bits::ThirtyTwo,
            ..4085 => Bits::Twelve,
            _ => Bits::Sixteen,
        };
        // A volume has no more clusters than its table has room for, the two without a cluster not counted.
        let room = match bits {
            Bits::Twelve => table_sectors * sector_bytes * 2 / 3,
            Bits::Sixteen => table_sectors * sector_bytes / 2,
            Bits::ThirtyTwo => (table_sectors * sector_bytes / 4).min(0x0fff_fff7),
        };
        let clusters = clusters.min(room.saturating_sub(2)) as u32;
        // With this flag only one of the tables counts.
        let flags = if is_32 { le16(sector, 40) } else { 0 };
        let active = if flags & 0x80 == 0 { 0 } else { u64::from(flags & 15) };
        if active >= copies {
            return Err(FileError::Corrupt("which table counts"));
        }
        let fat = Self {
            bits,
            cluster_bytes: cluster_bytes as u32,
            clusters,
            table: (reserved + active * table_sectors) * sector_bytes,
            data,
            root: if is_32 { Root::Cluster(cluster) } else { Root::Fixed(root, root_entries) },
            label: *sector[label..].first_chunk().unwrap_or(&[b' '; 11]),
        };
        Ok(Some(fat))
    }

    pub(super) fn name(&self) -> &'static str {
        match self.bits {
            Bits::Twelve => "FAT12",
            Bits::Sixteen => "FAT16",
            Bits::ThirtyTwo => "FAT32",
        }
    }

    pub(super) fn label(&self) -> String {
        String::from(String::from_utf8_lossy(&self.label).trim_end())
    }

    pub(super) fn root(&self) -> Node {
        Node { is_dir: true, bytes: 0, place: self.root }
    }

    /// The cluster after this one, or `None` if it is the last.
    async fn next<D: BlockDevice>(&self, cache: &Cache<D>, cluster: u32) -> Result<Option<u32>, FileError> {
        self.check(cluster)?;
        let (at, len) = match self.bits {
            Bits::Twelve => (cluster + cluster / 2, 2),
            Bits::Sixteen => (cluster * 2, 2),
            Bits::ThirtyTwo => (cluster * 4, 4),
        };
        let mut raw = [0; 4];
        cache.read(self.table + u64::from(at), &mut raw[..len]).await?;
        let raw = u32::from_le_bytes(raw);
        let (next, last) = match self.bits {
            Bits::Twelve if cluster.is_multiple_of(2) => (raw & 0xfff, 0xff8),
            Bits::Twelve => (raw >> 4, 0xff8),
            Bits::Sixteen => (raw, 0xfff8),
            Bits::ThirtyTwo => (raw & 0x0fff_ffff, 0x0fff_fff8),
        };
        if next >= last {
            return Ok(None);
        }
        self.check(next)?;
        Ok(Some(next))
    }

    fn check(&self, cluster: u32) -> Result<(), FileError> {
        if cluster < 2 || cluster - 2 >= self.clusters {
            return Err(FileError::Corrupt("a file's chain of clusters"));
        }
        Ok(())
    }

    /// Where a cluster is that was checked.
    fn place(&self, cluster: u32) -> u64 {
        self.data + u64::from(cluster.saturating_sub(2)) * u64::from(self.cluster_bytes)
    }

    /// See [`Volume::map`](super::Volume::map). The hint is a cluster, and its number in the file.
    pub(super) async fn map<D: BlockDevice>(
        &self,
        cache: &Cache<D>,
        node: &Node,
        offset: u64,
        hint: (u32, u32),
    ) -> Result<Run, FileError> {
        let Root::Cluster(first) = node.place else { return Err(FileError::NotAFile) };
        let wanted = (offset / u64::from(self.cluster_bytes)) as u32;
        let (mut cluster, mut index) = if hint.0 >= 2 && hint.1 <= wanted { hint } else { (first, 0) };
        self.check(cluster)?;
        // As long as the file at most.
        while index < wanted {
            cluster = self.next(cache, cluster).await?.ok_or(FileError::Corrupt("a file ends too early"))?;
            index += 1;
        }
        let (start, from) = (self.place(cluster), u64::from(index) * u64::from(self.cluster_bytes));
        let last = node.bytes.div_ceil(self.cluster_bytes).min(index.saturating_add(MAX_RUN));
        // What is wrong further on matters when one gets there.
        while index + 1 < last && self.next(cache, cluster).await == Ok(Some(cluster + 1)) {
            cluster += 1;
            index += 1;
        }
        let end = (u64::from(index) + 1) * u64::from(self.cluster_bytes);
        let skip = offset - from;
        Ok(Run { from: offset, bytes: end - offset, at: Some(start + skip), hint: (cluster, index) })
    }
}
