//! What a hostile xenstored may do: its end of the page, step by step, while tasks use the store.

use fata_sim::{Domain, Page, Setup, SimCpu, Tasks, World, Xenstored};
use fata_xenstore::{Error, Perms, Xenstore};
use std::rc::Rc;
use xen_hyp::{DomId, HvmParam, Port, SharedMem};

type Store = Xenstore<SimCpu>;

const REPLIES: usize = 1024;
const RSP_PROD: usize = 2060;
/// Of the first index.
const REQ_CONS: usize = 2048;
const REQ_PROD: usize = 2052;
/// Indices, features, connection and error.
const WORDS: usize = 7;

/// The server's input, taken from its front.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn word(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*word))
    }

    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}

/// Puts bytes into the reply ring, whether there is room or not.
fn put(page: &Page, bytes: &[u8]) {
    let prod = page.load(RSP_PROD);
    for (i, byte) in bytes.iter().enumerate() {
        page.write(REPLIES + prod.wrapping_add(i as u32) as usize % 1024, byte);
    }
    page.store(RSP_PROD, prod.wrapping_add(bytes.len() as u32));
}

/// One step. `None` at the end of the script.
fn step(script: &mut Script<'_>, page: &Page, domain: &Domain, store: &Store) -> Option<bool> {
    match script.byte()? % 8 {
        // A message: its ids are small numbers, so that some are right.
        0..3 => {
            let [kind, id, tx, len] = [script.byte()?, script.byte()?, script.byte()?, script.byte()?];
            let payload = script.bytes(len.into());
            let header = [kind.into(), id.into(), tx.into(), payload.len() as u32].map(u32::to_le_bytes);
            put(page, &[header.as_flattened(), payload].concat());
        }
        // Any bytes.
        3 => {
            let len = script.byte()?;
            put(page, script.bytes(len.into()));
        }
        // Any word.
        4 => {
            let which = usize::from(script.byte()?) % WORDS;
            page.store(REQ_CONS + 4 * which, script.word()?);
        }
        // All requests are taken.
        5 => page.store(REQ_CONS, page.load(REQ_PROD)),
        6 => store.reconnect(),
        _ => {
            domain.raise(Port(domain.param(HvmParam::StoreEvtchn) as u32));
            return Some(true);
        }
    }
    Some(false)
}

async fn use_it(store: &Store, which: usize) -> Result<(), Error> {
    match which {
        0 => {
            let mut watch = store.watch("data").unwrap();
            loop {
                watch.next().await?;
                store.directory("data").await?;
            }
        }
        1 => loop {
            store.transaction(async |tx| tx.write("data/x", tx.read("data/y").await?).await).await?;
        },
        2 => loop {
            let perms = store.perms("data").await?;
            store.set_perms("data", &perms).await?;
            store.try_read_number::<u64>("data/x").await?;
        },
        3 => loop {
            let mut watch = store.watch_depth("@releaseDomain", 1).unwrap();
            watch.changed().await?;
            store.feature(None).await?;
        },
        4 => loop {
            store.reset_watches().await?;
            store.quotas().await?;
            store.quota(None, "nodes").await?;
            store.is_domain_introduced(DomId(1)).await?;
        },
        _ => loop {
            store.domain_path(DomId(1)).await?;
            store.set_perms("data", &Perms::private(DomId(1))).await?;
        },
    }
}

/// One input.
pub fn xenstore_replies(bytes: &[u8]) {
    let world = World::new();
    let xen = world.guest_with(Setup { console: false, grant_frames: 1, ..Setup::default() });
    let domain = xen.platform().domain().clone();
    let page = domain.store_page();
    let mut script = Script(bytes);
    let store = loop {
        match Xenstore::open(&xen) {
            Ok(store) => break store.expect("a store"),
            Err(_) => page.copy_out(0, &[0; 4096]),
        }
    };
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    for which in 0..6 {
        let store = &store;
        tasks.spawn(async move {
            let _ = use_it(store, which).await;
        });
    }
    tasks.run();
    while let Some(event) = step(&mut script, &page, &domain, &store) {
        if event {
            tasks.run();
        }
    }
    drop(tasks);
    // Now and then, for it takes longer than the rest: an honest server comes.
    if bytes.len().is_multiple_of(8) {
        serve_honestly(&world, &domain, &store);
    }
    drop(store);
    world.assert_cleaned_up();
}

fn serve_honestly(world: &World, domain: &Rc<Domain>, store: &Store) {
    let page = domain.store_page();
    page.copy_out(0, &[0; 4096]);
    let server = Xenstored::start(world);
    store.reconnect();
    let mut tasks = Tasks::new(world);
    tasks.spawn(store.serve());
    tasks.spawn(async {
        store.connected().await.unwrap();
        assert_eq!(store.read("domid").await.unwrap(), b"1");
        let mut watch = store.watch("data").unwrap();
        watch.changed().await.unwrap();
    });
    assert_eq!(tasks.run(), 1);
    assert_eq!(server.watches(domain.id()), 0);
}
