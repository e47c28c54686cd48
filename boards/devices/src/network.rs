//! A network, from the card to a stack with addresses, for images that have one.

use crate::{addresses, entropy, nic};
use alloc::rc::Rc;
use alloc::vec::Vec;
use fata_addresses::{Origin, Source};
use fata_boot::info::BootInfo;
use fata_boot::words::words;
use fata_link::Parked;
use fata_net::{Nic, Options};
use fata_netstack::Stack;
use fata_random::Random;
use fata_rt::Rt;
use fata_xenstore::Xenstore;
use xen_hyp::{Platform, Xen};

/// All of it.
pub struct Network<P: Platform> {
    /// The card.
    pub nic: Nic<P>,
    /// What speaks over it.
    pub stack: Stack,
    /// What draws numbers that nobody can foresee.
    pub random: Random,
}

/// Brings the first card up, whether it is there already or not, and a stack on it. Its addresses are chosen from all that
/// [`addresses`] asks; `more` is what another device says about them. With the feature `metadata` the word `metadata` has the
/// server at 169.254.169.254 asked as well, once there is an address. Waits until there is enough [`entropy`], and not for
/// the link or an address.
pub async fn network<P: Platform>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    store: &Xenstore<P>,
    info: &BootInfo<'_>,
    options: Options,
    more: Option<Source>,
) -> Network<P> {
    let entropy = entropy(rt, xen, Some(store), info.rng_seed, info.cmdline);
    let nic = nic(rt, xen, store, 0, options);
    let told = [(Origin::CommandLine, info.cmdline), (Origin::DeviceTree, info.net)];
    let told = told.map(|(origin, text)| Source::words(origin, words(text)));
    let told: Vec<_> = told.into_iter().chain(more).collect();
    // While the card connects.
    #[cfg_attr(not(feature = "metadata"), allow(unused_mut, reason = "nobody adds to it"))]
    let mut addresses = addresses(store, 0, told).await;
    let random = entropy.seeded().await;
    let stack = Stack::start(rt, Parked::new(nic.phy()), addresses.config(), &random);
    #[cfg(feature = "metadata")]
    if words(info.cmdline).any(|word| word == ("metadata", "")) {
        let (rt2, stack) = (rt.clone(), stack.clone());
        drop(rt.spawn(async move {
            stack.up().await;
            addresses.ask_metadata(&rt2, &stack).await;
            addresses.follow(&rt2, &stack);
        }));
    } else {
        addresses.follow(rt, &stack);
    }
    #[cfg(not(feature = "metadata"))]
    addresses.follow(rt, &stack);
    if options.multicast {
        let (stack, nic) = (stack.clone(), nic.clone());
        drop(rt.spawn(async move {
            stack.tell_groups(|group, wanted| if wanted { nic.join(group) } else { nic.leave(group) }).await;
        }));
    }
    Network { nic, stack, random }
}
