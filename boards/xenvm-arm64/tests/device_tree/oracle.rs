//! Our reading beside dtoolkit's.

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node as _, Property as _};
use fata_xenvm_arm64::dt::blob::{MAX_DEPTH, Token, Tree};

/// What a tree consists of, in order.
#[derive(Debug, PartialEq)]
enum Piece {
    Reserved(u64, u64),
    Begin(Vec<u8>),
    Property(Vec<u8>, Vec<u8>),
    End,
}

fn ours(tree: &Tree<'_>) -> Vec<Piece> {
    let mut pieces: Vec<_> =
        tree.reservations().map(|(address, size)| Piece::Reserved(address, size)).collect();
    let mut tokens = tree.tokens();
    loop {
        pieces.push(match tokens.read().unwrap() {
            Token::Begin(name) => Piece::Begin(name.to_vec()),
            Token::Prop(property) => Piece::Property(property.name().to_vec(), property.value.to_vec()),
            Token::EndNode => Piece::End,
            Token::End => return pieces,
        });
    }
}

fn theirs(fdt: &Fdt<'_>) -> Vec<Piece> {
    fn add(node: &FdtNode<'_>, pieces: &mut Vec<Piece>) {
        pieces.push(Piece::Begin(node.name().into()));
        pieces.extend(node.properties().map(|p| Piece::Property(p.name().into(), p.value().into())));
        node.children().for_each(|child| add(&child, pieces));
        pieces.push(Piece::End);
    }
    let mut pieces: Vec<_> =
        fdt.memory_reservations().map(|r| Piece::Reserved(r.address(), r.size())).collect();
    add(&fdt.root(), &mut pieces);
    pieces
}

fn depth(node: &FdtNode<'_>) -> usize {
    1 + node.children().map(|child| depth(&child)).max().unwrap_or(0)
}

fn cell(blob: &[u8], at: usize) -> Option<usize> {
    blob.get(at..at + 4).map(|cell| u32::from_be_bytes(cell.try_into().unwrap()) as usize)
}

/// Checks that we take what dtoolkit takes, and read the same. Returns whether it took `blob`.
pub(super) fn agrees(blob: &[u8]) -> bool {
    let Some(exact) = cell(blob, 4).and_then(|size| blob.get(..size)) else { return false };
    // dtoolkit reads on behind the structure block, so let that end where it cannot read on.
    let mut blob = exact.to_vec();
    if let (Some(structure), Some(strings), Some(_)) = (cell(&blob, 8), cell(&blob, 12), cell(&blob, 36)) {
        blob[36..40].copy_from_slice(&(strings.saturating_sub(structure) as u32).to_be_bytes());
    }
    let Ok(fdt) = Fdt::new(&blob) else { return false };
    if depth(&fdt.root()) > MAX_DEPTH {
        return false;
    }
    match Tree::check(&blob) {
        Ok(tree) => assert_eq!(ours(&tree), theirs(&fdt)),
        Err(error) => panic!("dtoolkit takes this tree and we do not: {error}"),
    }
    true
}

#[test]
fn sound_trees_are_read_alike() {
    for (name, blob) in super::trees() {
        assert_eq!(agrees(&blob), name != "board", "{name}");
    }
}
