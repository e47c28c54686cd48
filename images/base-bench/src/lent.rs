//! Pages that somebody in another domain lends to us: mapped here, and copied by Xen (`tests/peer/src/lend.rs` is the
//! other side).

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use fata_xenstore::Xenstore;
use xen_hyp::{DomId, GrantError, GrantRef, PAGE_SIZE, Platform, SharedMem, Xen};

/// Where the numbers of the grants are: those of pages to write to, then one for reading only.
const NODE: &str = "data/lent";
/// Of what each page is divided into: what we write through a mapping, what Xen copies for us, and what stays.
const PART: usize = PAGE_SIZE / 4;
/// What the last word of the first page becomes when we are done.
const DONE: u32 = 0xd07e;
/// Who wrote a word: the other domain, we, or Xen for us.
const THEIRS: u32 = 1;
const MAPPED: u32 = 2;
const COPIED: u32 = 3;
/// No grant of anybody's.
const NOBODYS: GrantRef = GrantRef(0x00ff_ffff);
/// `GNTST_bad_gntref`
const BAD_REF: GrantError = GrantError::Status(-3);

/// Does with the pages what can be done, and gives how many there are.
pub(crate) async fn check<P: Platform>(
    xen: &Rc<Xen<P>>,
    store: &Xenstore<P>,
    peer: DomId,
) -> Result<usize, String> {
    let grefs = named(store).await.map_err(|error| format!("{NODE}: {error}"))?;
    let [grefs @ .., read_only] = &grefs[..] else { return Err(format!("{NODE} names no page")) };
    let lent = Lent { xen, peer, grefs };
    lent.map()?;
    lent.copy()?;
    lent.refused(*read_only)?;
    lent.finish().map_err(|error| format!("the last word: {error}"))?;
    Ok(grefs.len())
}

/// Waits for the grants' numbers.
async fn named<P: Platform>(store: &Xenstore<P>) -> Result<Vec<GrantRef>, fata_xenstore::Error> {
    let mut watch = store.watch(NODE)?;
    loop {
        watch.next().await?;
        if let Ok(text) = store.read_string(NODE).await {
            return Ok(text.split(' ').filter_map(|n| n.parse().ok()).map(GrantRef).collect());
        }
    }
}

struct Lent<'a, P: Platform> {
    xen: &'a Rc<Xen<P>>,
    peer: DomId,
    /// Those that may be written to.
    grefs: &'a [GrantRef],
}

impl<P: Platform> Lent<'_, P> {
    /// Reads and writes all pages through a mapping; then another one shows what the first has written.
    fn map(&self) -> Result<(), String> {
        let mapped = self.mapped()?;
        let mut bytes = vec![0; self.grefs.len() * PAGE_SIZE];
        mapped.copy_in(0, &mut bytes);
        compare("mapped", &bytes, 0, |_| THEIRS)?;
        for page in (0..bytes.len()).step_by(PAGE_SIZE) {
            // But for one, which is written as a word.
            mapped.copy_out(page + 4, &words(MAPPED, page + 4..page + PART));
            mapped.store(page, word(MAPPED, page / 4));
        }
        drop(mapped);
        let again = self.mapped()?;
        again.copy_in(0, &mut bytes);
        compare("mapped again", &bytes, 0, |part| if part == 0 { MAPPED } else { THEIRS })?;
        match again.load(0) == word(MAPPED, 0) {
            true => Ok(()),
            false => Err("a word is not what its bytes are".into()),
        }
    }

    fn mapped(&self) -> Result<impl SharedMem + use<P>, String> {
        self.xen.map(self.peer, self.grefs).map_err(|error| format!("mapping: {error}"))
    }

    /// Has Xen copy, from and to memory of ours that lies across pages.
    fn copy(&self) -> Result<(), String> {
        for (n, &gref) in self.grefs.iter().enumerate() {
            let page = n * PAGE_SIZE;
            let mut bytes = vec![0; 2 * PAGE_SIZE];
            for (skip, offset, len) in [(0, 0, PAGE_SIZE), (PAGE_SIZE - 101, 8, 4000), (1, PAGE_SIZE - 4, 4)]
            {
                let into = &mut bytes[skip..skip + len];
                self.xen
                    .copy_from(self.peer, gref, offset, into)
                    .map_err(|error| format!("a copy from {offset}: {error}"))?;
                compare("copied", into, page + offset, |part| if part == 0 { MAPPED } else { THEIRS })?;
            }
            let from = words(COPIED, page + PART..page + 2 * PART);
            // Not where a word would be.
            bytes[3..3 + PART].copy_from_slice(&from);
            self.xen
                .copy_to(self.peer, gref, PART, &bytes[3..3 + PART])
                .map_err(|error| format!("a copy to {PART}: {error}"))?;
        }
        Ok(())
    }

    /// What may not be done is not, and leaves nothing behind.
    fn refused(&self, read_only: GrantRef) -> Result<(), String> {
        let mut bytes = vec![0; PAGE_SIZE];
        self.xen
            .copy_from(self.peer, read_only, 0, &mut bytes)
            .map_err(|error| format!("a copy of what may be read: {error}"))?;
        compare("read-only", &bytes, self.grefs.len() * PAGE_SIZE, |_| THEIRS)?;
        if !matches!(self.xen.copy_to(self.peer, read_only, 0, &[0; 64]), Err(GrantError::Status(_))) {
            return Err("what is for reading only can be written to".into());
        }
        // The first one has been mapped by the time the second fails.
        for bad in [read_only, NOBODYS] {
            match self.xen.map(self.peer, &[self.grefs[0], bad]) {
                Err(GrantError::Status(_)) => {}
                Err(error) => return Err(format!("mapping {bad:?}: {error}")),
                Ok(_) => return Err(format!("{bad:?} can be mapped for writing")),
            }
        }
        match self.xen.copy_from(self.peer, NOBODYS, 0, &mut bytes) {
            Err(BAD_REF) => Ok(()),
            other => Err(format!("a copy of nobody's page: {other:?}")),
        }
    }

    fn finish(&self) -> Result<(), GrantError> {
        self.xen.copy_to(self.peer, self.grefs[0], PAGE_SIZE - 4, &DONE.to_le_bytes())
    }
}

/// Fails unless bytes from this place on are what the writer of each part of a page wrote.
fn compare(what: &str, bytes: &[u8], from: usize, writer: impl Fn(usize) -> u32) -> Result<(), String> {
    for (n, found) in bytes.chunks(4).enumerate() {
        let at = from + 4 * n;
        if *found != word(writer(at % PAGE_SIZE / PART), at / 4).to_le_bytes() {
            return Err(format!("{what}: byte {at} is not what was written"));
        }
    }
    Ok(())
}

fn words(writer: u32, range: Range<usize>) -> Vec<u8> {
    range.step_by(4).flat_map(|at| word(writer, at / 4).to_le_bytes()).collect()
}

/// What is to be in the `n`th word if this one wrote it.
fn word(writer: u32, n: usize) -> u32 {
    (writer << 24 | n as u32).wrapping_mul(0x9e37_79b1)
}
