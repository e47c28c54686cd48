//! Any bytes as a board's device tree, edited for a small deployment: an error, or a tree that is read again and says so.

use dtoolkit::model::{DeviceTree, DeviceTreeNode};
use fata_boards::find;
use fata_deploy::{Deployment, HostTree, Plan, Sources};

/// Two domains, a device and a vchan.
const DEPLOYMENT: &str = r#"
domain = [
    { name = "one", image = "i", devices = ["gpio"] },
    { name = "two", image = "i" },
]
vchan = [{ server = "one", client = "two" }]
"#;

/// One input.
pub fn deploy_tree(blob: &[u8]) {
    let board = find("qemu-virt").expect("everybody has it");
    let deployment = Deployment::parse("x.toml", DEPLOYMENT).expect("it is right");
    let image = super::deploy_file::image();
    let images = [image.clone(), image.clone()];
    let sources = Sources { xen: &image, tree: blob, images: &images, dom0: None };
    let Ok(plan) = Plan::make(&deployment, board, &sources) else { return };
    let tree = &plan.file("board.dtb").expect("there is one").contents;
    // All that is new: nodes of domains, events, modules and a reserved region.
    assert!(tree.len() <= blob.len() * 2 + 8192, "{} bytes become {}", blob.len(), tree.len());
    let again = HostTree::parse(tree, &[], board.xen.serial).expect("what was written is read");
    for path in ["/chosen/domU1", "/chosen/domU2", "/reserved-memory"] {
        assert!(again.has(path), "no {path}");
    }
}

/// A tree in the manner of QEMU's `virt`.
pub(crate) fn board() -> Vec<u8> {
    let mut tree = DeviceTree::new();
    for name in ["chosen", "pl011@9000000", "pl061@9030000"] {
        tree.root.add_child(DeviceTreeNode::new(name).expect("a good name"));
    }
    tree.to_dtb()
}
