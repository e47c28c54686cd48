//! What U-Boot is told: a script that loads all files to their places, and starts Xen.

use fata_facts::Board;

use crate::plan::{Loaded, Plan};

/// Where U-Boot gets files from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The partition that it found the script on.
    Medium,
    /// The server that it had the script from.
    Tftp,
}

/// The script's text.
#[must_use]
pub fn text(name: &str, board: &Board, plan: &Plan, from: From) -> String {
    let mut text = "# Made by cargo xtask image.\n".to_owned();
    let (device, partition) = board.uboot.from.split_once(' ').unwrap_or((board.uboot.from, "0:1"));
    let (number, partition) = partition.split_once(':').unwrap_or((partition, "1"));
    if from == From::Medium {
        // They are set where U-Boot looked for the script by itself.
        for (variable, value) in [("devtype", device), ("devnum", number), ("distro_bootpart", partition)] {
            text += &format!("if test -z \"${{{variable}}}\"; then setenv {variable} {value}; fi\n");
        }
    }
    // U-Boot minds a single quote even between double ones.
    text += &format!("echo {name} on {}\n", board.title.replace('\'', ""));
    for file in &plan.files {
        text += &load(file, from);
    }
    let address = |name: &str| plan.file(name).map_or(0, |file| file.address);
    // The tree is used where it is. What would be put into it for Linux is left out.
    text += &format!(
        "setenv fdt_high 0xffffffffffffffff\nsetenv bootargs\nbooti {:#x} - {:#x}\n",
        address("xen"),
        address("board.dtb")
    );
    text
}

/// Loads a file, and stops where that is not the one that the device tree speaks of.
fn load(file: &Loaded, from: From) -> String {
    let Loaded { name, address, contents } = file;
    let command = match from {
        From::Medium => {
            format!("load ${{devtype}} ${{devnum}}:${{distro_bootpart}} {address:#x} ${{prefix}}{name}")
        }
        From::Tftp => format!("tftpboot {address:#x} {name}"),
    };
    let bytes = contents.len();
    format!(
        "if {command}; then true; else echo {name} cannot be loaded; exit 1; fi\n\
         if itest 0x${{filesize}} != {bytes:#x}; then echo {name} is not the one that boot.scr was made for; \
         exit 1; fi\n"
    )
}

/// U-Boot's container for scripts (`struct legacy_img_hdr`, include/image.h): a header, the length of the text, and the text.
#[must_use]
pub fn image(name: &str, text: &str) -> Vec<u8> {
    const MAGIC: u32 = 0x2705_1956;
    /// `IH_OS_LINUX`, `IH_ARCH_ARM64`, `IH_TYPE_SCRIPT`, `IH_COMP_NONE`
    const WHAT: [u8; 4] = [5, 22, 6, 0];
    let mut data = Vec::new();
    data.extend((text.len() as u32).to_be_bytes());
    data.extend([0; 4]);
    data.extend(text.as_bytes());
    let mut header = Vec::new();
    // No time of making, so that the same text makes the same bytes.
    for word in [MAGIC, 0, 0, data.len() as u32, 0, 0, crc32fast::hash(&data)] {
        header.extend(word.to_be_bytes());
    }
    header.extend(WHAT);
    let mut title = name.as_bytes().to_vec();
    title.resize(32, 0);
    // It ends with a zero.
    title[31] = 0;
    header.extend(title);
    let sum = crc32fast::hash(&header);
    header[4..8].copy_from_slice(&sum.to_be_bytes());
    header.extend(data);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_both_its_sums() {
        let image = image("hello", "echo hello\n");
        assert_eq!(image.len(), 64 + 8 + 11);
        let word = |at: usize| u32::from_be_bytes(*image[at..].first_chunk().unwrap());
        assert_eq!(word(12) as usize, image.len() - 64);
        assert_eq!(word(24), crc32fast::hash(&image[64..]));
        let mut header = image[..64].to_vec();
        header[4..8].fill(0);
        assert_eq!(word(4), crc32fast::hash(&header));
        assert_eq!(&image[72..], b"echo hello\n");
        assert_eq!(&image[32..38], b"hello\0");
    }
}
