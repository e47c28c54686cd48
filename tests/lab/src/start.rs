//! How QEMU starts a board's model from its boot medium.

use fata_deploy::Plan;
use fata_facts::{Board, Qemu, Tree};

/// The arguments that make the machine; `-M` is the first.
pub(crate) fn machine(model: &Qemu) -> Vec<String> {
    let mut args = vec!["-M".to_owned(), model.machine.to_owned(), "-smp".to_owned(), model.cpus.to_string()];
    if let Some(memory) = model.memory_mib {
        args.extend(["-m".to_owned(), memory.to_string()]);
    }
    args.extend(model.args.iter().map(|&arg| arg.to_owned()));
    args.extend(["-display", "none", "-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
    args
}

/// The boot medium as a device of the machine.
pub(crate) fn drive(board: &Board, image: &str) -> Vec<String> {
    let image = image.replace(',', ",,");
    match board.uboot.from.starts_with("virtio") {
        true => vec![
            "-drive".to_owned(),
            format!("if=none,id=medium,format=raw,file={image}"),
            "-device".to_owned(),
            "virtio-blk-device,drive=medium".to_owned(),
        ],
        false => vec!["-drive".to_owned(), format!("if=sd,format=raw,file={image}")],
    }
}

/// U-Boot, and what firmware would hand on to it, in files of these names.
pub(crate) fn uboot(board: &Board, uboot: &str, tree: &str) -> Vec<String> {
    let args: &[&str] = match board.tree {
        // It writes one for whoever starts it.
        Tree::Qemu => &["-bios", uboot],
        _ => &["-kernel", uboot, "-dtb", tree],
    };
    args.iter().map(|&arg| arg.to_owned()).collect()
}

/// A script for people: the whole chain from U-Boot on, the same by TFTP, or Xen at once.
pub(crate) fn script(board: &Board, plan: &Plan, has_uboot: bool) -> Option<String> {
    let model = board.qemu()?;
    let words = |args: &[String]| args.iter().map(|arg| quoted(arg)).collect::<Vec<_>>().join(" ");
    let serial: String = (0..model.serial).map(|_| "-serial null ").collect();
    let mut text = format!(
        "#!/bin/sh\n\
         # {}: U-Boot and the boot medium, or as the first argument says:\n\
         #   tftp    U-Boot and what QEMU serves by TFTP (dhcp; source)\n\
         #   direct  no U-Boot: QEMU loads Xen and its modules\n\
         # Ctrl-a x ends it.\n\
         cd \"$(dirname \"$0\")\" || exit\n\
         machine() {{\n    \"${{QEMU:-qemu-system-aarch64}}\" {} {serial}-serial mon:stdio \"$@\"\n}}\n\
         case ${{1-}} in\n",
        board.title,
        words(&machine(model)),
    );
    let place = |name: &str| format!("tftp/{name}");
    let mut direct = vec!["-kernel".to_owned(), place("xen"), "-dtb".to_owned(), place("board.dtb")];
    for file in plan.files.iter().filter(|file| !["xen", "board.dtb"].contains(&file.name.as_str())) {
        let loader = format!("loader,file={},addr={:#x},force-raw=on", place(&file.name), file.address);
        direct.extend(["-device".to_owned(), loader]);
    }
    text += &format!("direct) machine {} ;;\n", words(&direct));
    if has_uboot {
        let start = words(&uboot(board, "u-boot.bin", "tree.dtb"));
        match board.uboot.from.starts_with("virtio") {
            true => {
                text += &format!(
                    "tftp) machine {start} -netdev user,id=net,tftp=tftp,bootfile=boot.scr \
                     -device virtio-net-device,netdev=net ;;\n"
                );
            }
            false => text += "tftp) echo \"$0: the model has no network\" >&2; exit 2 ;;\n",
        }
        text += &format!("*) machine {start} {} ;;\n", words(&drive(board, "sd.img")));
    } else {
        text += "*) echo \"$0: Debian has no U-Boot for this board; try: $0 direct\" >&2; exit 2 ;;\n";
    }
    text += "esac\n";
    Some(text)
}

/// For a shell.
fn quoted(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.,:@+".contains(c);
    match arg.chars().all(plain) {
        true => arg.to_owned(),
        false => format!("'{}'", arg.replace('\'', r"'\''")),
    }
}
