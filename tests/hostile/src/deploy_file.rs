//! Any text as a deployment file: errors that name a line and a cure, or a plan in which nothing lies over something else.

use fata_boards::find;
use fata_deploy::{Deployment, Dom0, HostTree, Plan, Refusals, Sources, script, xl};

/// One input.
pub fn deploy_file(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let lines = text.split('\n').count();
    let told = |refusals: &Refusals| {
        assert!(!refusals.0.is_empty());
        for refusal in &refusals.0 {
            assert!((1..=lines).contains(&refusal.line), "{refusal} of {lines} lines");
            assert!(!refusal.what.is_empty() && !refusal.cure.is_empty());
        }
    };
    let deployment = match Deployment::parse("x.toml", text) {
        Ok(deployment) => deployment,
        Err(refusals) => return told(&refusals),
    };
    for domain in &deployment.domains {
        let config = xl::config(domain, "/deploy/");
        // What is said of a domain stays in its line.
        assert!(config.lines().count() <= 11 && config.chars().all(|c| c == '\n' || !c.is_control()));
    }
    if deployment.dom0.value != Dom0::None {
        return;
    }
    let board = find("qemu-virt").expect("everybody has it");
    let (image, tree) = (image(), super::deploy_tree::board());
    let images = vec![image.clone(); deployment.domains.len()];
    let sources = Sources { xen: &image, tree: &tree, images: &images, dom0: None };
    let plan = match Plan::make(&deployment, board, &sources) {
        Ok(plan) => plan,
        Err(error) => return told(error.downcast_ref().expect("the file alone can be wrong")),
    };
    for (n, part) in plan.map.parts.iter().enumerate() {
        assert!(
            plan.map.ram.iter().any(|bank| bank.base <= part.region.base && part.region.end() <= bank.end())
        );
        for other in &plan.map.parts[..n] {
            assert!(other.region.end() <= part.region.base);
        }
    }
    let tree = plan.file("board.dtb").expect("there is one");
    HostTree::parse(&tree.contents, &[], board.xen.serial).expect("what was written is read");
    for from in [script::From::Medium, script::From::Tftp] {
        let text = script::text("x", board, &plan, from);
        assert!(text.lines().count() < 400 && !text.contains(['\'', '`', '\\']));
    }
    let _ = (plan.map.table(), plan.map.json(), plan.map.svg());
}

/// The smallest arm64 Image.
pub(crate) fn image() -> Vec<u8> {
    let mut image = vec![0; 64];
    image[16..24].copy_from_slice(&64u64.to_le_bytes());
    image[56..60].copy_from_slice(b"ARM\x64");
    image
}
