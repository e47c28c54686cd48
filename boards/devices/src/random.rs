//! Random numbers, from whatever there is on this machine that nobody can foresee.

use alloc::rc::Rc;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use fata_boot::words;
use fata_random::{Entropy, Jitter, Random, Source};
use fata_rt::{Rt, yield_now};
use fata_xenstore::{Error, Xenstore};
use xen_hyp::{CpuRandom, Platform, Xen};

/// How long entropy may take before the log says that we wait for it.
const PATIENCE: Duration = Duration::from_millis(500);
/// Where a toolstack may leave a secret in hexadecimal digits, below the domain's own node.
const SEED: &str = "data/seed";
/// Numbers that are asked of the CPU.
const NUMBERS: usize = 4;

/// What draws numbers, once there is enough to draw from: see [`entropy`].
pub async fn random<P: Platform>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    store: Option<&Xenstore<P>>,
    rng_seed: &[u8],
    cmdline: &str,
) -> Random {
    entropy(rt, xen, store, rng_seed, cmdline).seeded().await
}

/// Asks all sources: the CPU's generator, the device tree's `rng-seed`, the word `seed=HEX` of the command line,
/// `data/seed` in Xenstore, and how long work takes. The first three answer at once. Xenstore's secret is taken whenever
/// there is one, and removed. Work is measured until there is enough; a little of it always, so that nobody knows all
/// that went in who knows what is in the device tree.
///
/// The log says once who gave how much, and if that took long, what was waited for.
pub fn entropy<P: Platform>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    store: Option<&Xenstore<P>>,
    rng_seed: &[u8],
    cmdline: &str,
) -> Entropy {
    let entropy = Entropy::new();
    ask_circumstances(xen, &entropy);
    ask_cpu(xen, &entropy);
    match rng_seed {
        [] => entropy.remark(Source::DeviceTree, Some("absent")),
        seed => entropy.add_secret(Source::DeviceTree, seed),
    }
    match words::seed(cmdline) {
        None => entropy.remark(Source::CommandLine, Some("absent")),
        Some(digits) => entropy.add_digits(Source::CommandLine, digits.as_bytes()),
    }
    match store.cloned() {
        None => entropy.remark(Source::Xenstore, Some("absent")),
        Some(store) => {
            let entropy = entropy.clone();
            drop(rt.spawn(async move {
                if let Err(error) = ask_store(&store, &entropy).await {
                    entropy.remark(Source::Xenstore, Some("not to be read"));
                    fata_log::warn!("entropy: {}: {}", SEED, error);
                }
            }));
        }
    }
    let mut jitter = Jitter::new();
    match &mut jitter {
        None => entropy.remark(Source::Jitter, Some("not enough memory")),
        // It is too soon for it to fail.
        Some(jitter) => _ = jitter.gather(&entropy, &mut || xen.platform().ticks()),
    }
    if entropy.is_seeded() {
        fata_log::info!("entropy: {}", entropy);
        return entropy;
    }
    if let Some(jitter) = jitter {
        let (xen, entropy) = (xen.clone(), entropy.clone());
        drop(rt.spawn(async move { measure(&xen, &entropy, jitter).await }));
    }
    let (rt2, told) = (rt.clone(), entropy.clone());
    drop(rt.spawn(async move { tell_of_waiting(&rt2, &told).await }));
    entropy
}

/// What is different at each start, if not secret: with the same seed as last time, what follows is not the same.
fn ask_circumstances<P: Platform>(xen: &Xen<P>, entropy: &Entropy) {
    let wall = xen.wall_clock().unwrap_or_default();
    let domain = xen.domid().map_or(0, |id| id.0);
    let mut bytes = [0; 28];
    let (times, rest) = bytes.split_at_mut(24);
    let words = [xen.platform().ticks(), wall.as_secs(), u64::from(wall.subsec_nanos())];
    for (place, word) in times.as_chunks_mut().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
    rest[..2].copy_from_slice(&domain.to_le_bytes());
    entropy.add(Source::Circumstance, &bytes, 0);
}

fn ask_cpu<P: Platform>(xen: &Xen<P>, entropy: &Entropy) {
    let platform = xen.platform();
    let source = match platform.cpu_random() {
        Some(CpuRandom::Rndr) => Source::Rndr,
        Some(CpuRandom::Rdrand) => Source::Rdrand,
        None => return entropy.remark(Source::Rndr, Some("absent")),
    };
    let mut numbers = [0; NUMBERS];
    for number in &mut numbers {
        match platform.draw_cpu_random() {
            Some(drawn) => *number = drawn,
            None => return entropy.remark(source, Some("gives nothing")),
        }
    }
    let bytes = numbers.map(u64::to_le_bytes);
    // Broken ones have been known to give the same number for ever.
    if numbers.iter().skip(1).any(|number| *number == numbers[0]) {
        entropy.add(source, bytes.as_flattened(), 0);
        entropy.remark(source, Some("repeats itself"));
    } else {
        entropy.add(source, bytes.as_flattened(), 64 * NUMBERS as u32);
    }
}

/// Takes the store's secret; without one waits for it, as long as one is wanted.
async fn ask_store<P: Platform>(store: &Xenstore<P>, entropy: &Entropy) -> Result<(), Error> {
    store.connected().await?;
    take_secret(store, entropy).await?;
    if entropy.is_seeded() {
        return Ok(());
    }
    let mut watch = store.watch(SEED)?;
    let mut seeded = pin!(entropy.seeded());
    loop {
        let mut changed = pin!(watch.changed());
        let more = poll_fn(|cx| match seeded.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => changed.as_mut().poll(cx).map(Some),
        });
        match more.await {
            None => return Ok(()),
            Some(changed) => changed?,
        }
        take_secret(store, entropy).await?;
    }
}

async fn take_secret<P: Platform>(store: &Xenstore<P>, entropy: &Entropy) -> Result<(), Error> {
    let Some(digits) = store.try_read(SEED).await? else {
        if !entropy.sources().iter().any(|given| given.source == Source::Xenstore) {
            entropy.remark(Source::Xenstore, Some("absent"));
        }
        return Ok(());
    };
    // Before it is used: what stays there may be used again.
    if let Err(error) = store.rm(SEED).await {
        fata_log::warn!("entropy: {} stays, and may be read again: {}", SEED, error);
    }
    entropy.add_digits(Source::Xenstore, &digits);
    Ok(())
}

/// Measures work until there is enough, a millisecond at a time. With noise that is soon, and without noise it fails
/// soon.
async fn measure<P: Platform>(xen: &Xen<P>, entropy: &Entropy, mut jitter: Jitter) {
    while !entropy.is_seeded() {
        if let Err(unhealthy) = jitter.gather(entropy, &mut || xen.platform().ticks()) {
            entropy.remark(Source::Jitter, Some(unhealthy.reason()));
            fata_log::warn!("entropy: {}", unhealthy);
            return;
        }
        yield_now().await;
    }
}

async fn tell_of_waiting(rt: &Rt, entropy: &Entropy) {
    if rt.timeout(PATIENCE, entropy.seeded()).await.is_err() {
        fata_log::warn!("waiting for entropy: what there is, {}, is not enough", entropy);
        fata_log::warn!(
            "a secret helps, of 32 hexadecimal digits or more: seed=HEX on the command line, or {}",
            SEED
        );
        entropy.seeded().await;
    }
    fata_log::info!("entropy: {}", entropy);
}
