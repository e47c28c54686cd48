//! What is done over and over, to find what happens seldom, or adds up.
//!
//! The lab's cases do each of these a few times; `cargo xtask soak` does it as often as wanted.

pub(crate) mod browser;
pub(crate) mod create_destroy;
pub(crate) mod detach;
pub(crate) mod echo_requests;
pub(crate) mod fifty;
pub(crate) mod net_boots;
pub(crate) mod net_rebind;
pub(crate) mod rebind;
mod vchan_kills;
mod vchan_stream;
mod website_requests;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::checker::Checker;
use crate::host::Dom0;
use crate::image::BuildRequest;
use crate::lab::Lab;
use crate::machine::{Config, Folder};
use crate::mutate::seed;
use crate::network::Network;
use crate::progress::Progress;
use crate::vchans::Vchans;

/// What can be done over and over on a dom0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Soak {
    /// Domains are created and destroyed, in the middle of whatever they do.
    CreateDestroy,
    /// Many domains at once, each with a disk.
    Fifty,
    /// A disk is detached and attached again under load.
    Detach,
    /// A backend's driver is unbound and bound again under load.
    Rebind,
    /// Guests boot, and what they send and are sent first must not be lost.
    NetBoots,
    /// A network backend's driver is unbound and bound again under a stream.
    NetRebind,
    /// An echo has many requests on many connections.
    EchoRequests,
    /// The same with a website.
    WebsiteRequests,
    /// Either end of a vchan is killed, whatever it is at.
    VchanKills,
    /// A vchan with small rings is kept busy, both ways.
    VchanStream,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Ends after so many times.
    pub count: Option<u64>,
    /// Ends after so long.
    pub time: Option<Duration>,
}

/// What came of it: names with numbers.
pub type Figures = Vec<(&'static str, u64)>;

/// How it went.
#[derive(Debug)]
pub struct Soaked {
    /// What was counted, or why it failed.
    pub result: Result<Figures>,
    /// The folder with QEMU's command line, Xen's and the guests' output.
    pub folder: PathBuf,
    /// Of what is done at random.
    pub seed: u64,
}

/// No single step takes as long, on however slow a host.
const PATIENCE: Duration = Duration::from_secs(180);

impl Soak {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::CreateDestroy,
        Self::Fifty,
        Self::Detach,
        Self::Rebind,
        Self::NetBoots,
        Self::NetRebind,
        Self::EchoRequests,
        Self::WebsiteRequests,
        Self::VchanKills,
        Self::VchanStream,
    ];

    /// `create-destroy`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateDestroy => "create-destroy",
            Self::Fifty => "fifty",
            Self::Detach => "detach",
            Self::Rebind => "rebind",
            Self::NetBoots => "net-boots",
            Self::NetRebind => "net-rebind",
            Self::EchoRequests => "echo-requests",
            Self::WebsiteRequests => "website-requests",
            Self::VchanKills => "vchan-kills",
            Self::VchanStream => "vchan-stream",
        }
    }

    /// Times that are enough, unless somebody wants another number: domains, cycles, requests, deaths, or MiB.
    #[must_use]
    pub fn usual(self) -> u64 {
        match self {
            Self::CreateDestroy | Self::VchanKills => 1000,
            Self::Fifty => 50,
            Self::Detach => 20,
            Self::Rebind => 200,
            Self::NetBoots | Self::NetRebind => 100,
            Self::EchoRequests | Self::WebsiteRequests => 1_000_000,
            Self::VchanStream => 1024,
        }
    }

    /// The image below images/.
    fn image(self) -> &'static str {
        match self {
            Self::CreateDestroy | Self::Fifty | Self::Detach | Self::Rebind => "block-check",
            Self::NetBoots => "ping",
            Self::NetRebind => "net-bench",
            Self::EchoRequests => "echo",
            Self::WebsiteRequests => "website",
            Self::VchanKills | Self::VchanStream => "vchan-echo",
        }
    }

    /// Does it on a machine of its own; `tell` gets how often it was done so far.
    pub fn run(self, lab: &Lab, effort: Effort, tell: &dyn Fn(u64), ui: &Progress) -> Result<Soaked> {
        let name = format!("soak/{}", self.name());
        let built = lab.build(&BuildRequest::new(self.image()), ui)?;
        // Whoever builds meanwhile does not change what is running.
        let images = Folder::take(lab, &format!("{name}-image"))?;
        let image = images.file("Image");
        let made = match self {
            Self::WebsiteRequests => website_requests::image(lab, ui)?,
            _ => built.image,
        };
        std::fs::copy(&made, &image).with_context(|| format!("copying {}", made.display()))?;
        let pairs = matches!(self, Self::VchanKills | Self::VchanStream);
        let config = Config {
            name,
            // Or two guests might not share anything.
            xen_args: if pairs { vec!["xsm=dummy".to_owned()] } else { Vec::new() },
            dom0_memory_mib: Some(768),
            timeout: effort.time.unwrap_or_default() + Duration::from_secs(24 * 3600),
            ..Config::default()
        };
        let xen = config.xen;
        let dom0 = Dom0::start(lab, &config, ui)?;
        let seed = seed();
        let meter = |tell| Meter { effort, began: Instant::now(), tell };
        let with_disks = |run: &dyn Fn(&Checker<'_>, &Meter<'_>) -> Result<Figures>| {
            run(&Checker::new(&dom0, image.clone(), &|| PATIENCE)?, &meter(tell))
        };
        let with_network = |run: &dyn Fn(&Network<'_>, &Meter<'_>) -> Result<Figures>| {
            let (parts, peer) = (lab.xen(xen, ui)?, lab.build_peer(ui)?);
            run(&Network::new(&dom0, lab, &parts, image.clone(), &peer, &|| PATIENCE)?, &meter(tell))
        };
        let with_vchans = |run: &dyn Fn(&Vchans<'_>, &Meter<'_>) -> Result<Figures>| {
            let peer = lab.build_vchan_peer(&lab.xen(xen, ui)?, ui)?;
            run(&Vchans::new(&dom0, image.clone(), &peer)?, &meter(tell))
        };
        let result = match self {
            Self::CreateDestroy => with_disks(&|c, m| create_destroy::run(c, m, seed)),
            Self::Fifty => with_disks(&fifty::run),
            Self::Detach => with_disks(&|c, m| detach::run(c, m, 256, seed)),
            Self::Rebind => with_disks(&|c, m| rebind::run(c, m, 256, seed)),
            Self::NetBoots => with_network(&net_boots::run),
            Self::NetRebind => with_network(&|n, m| net_rebind::run(n, m, seed)),
            Self::EchoRequests => with_network(&echo_requests::run),
            Self::WebsiteRequests => with_network(&website_requests::run),
            Self::VchanKills => with_vchans(&|v, m| vchan_kills::run(v, m, seed)),
            Self::VchanStream => with_vchans(&|v, m| vchan_stream::run(v, m, seed)),
        };
        Ok(Soaked { result, folder: dom0.folder.path.clone(), seed })
    }
}

/// Counts, and says when it is enough.
pub(crate) struct Meter<'a> {
    effort: Effort,
    began: Instant,
    tell: &'a dyn Fn(u64),
}

impl Meter<'_> {
    /// For a lab case, which does it so many times.
    pub(crate) fn of(count: u64) -> Meter<'static> {
        Meter { effort: Effort { count: Some(count), time: None }, began: Instant::now(), tell: &|_| {} }
    }

    /// The count that was asked for.
    fn count(&self) -> Option<u64> {
        self.effort.count
    }

    /// Whether to do it again after so many times.
    fn again(&self, done: u64) -> bool {
        (self.tell)(done);
        let late = self.effort.time.is_some_and(|time| self.began.elapsed() >= time);
        !late && self.effort.count.is_none_or(|count| done < count)
    }

    /// Whether there is a time, and some of it left.
    fn has_time(&self) -> bool {
        self.effort.time.is_some_and(|time| self.began.elapsed() < time)
    }

    fn seconds(&self) -> u64 {
        self.began.elapsed().as_secs()
    }
}

/// `name value, name value`.
#[must_use]
pub fn in_words(figures: &Figures) -> String {
    let mut text = String::new();
    for (name, value) in figures {
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}{name} {value}");
    }
    text
}
