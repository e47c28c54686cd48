//! Makes an image of a directory of pages: the image as it was compiled, with a payload behind it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, iter};

use anyhow::{Context, Result, bail, ensure};
use fata_payload::{Member, attach, attached, pack as pack_payload};
use fata_site::pack::{compress, pack, read};
use fata_site::{Encoding, Site};

use crate::cpu::Cpu;
use crate::host::XlDomU;
use crate::image::{BuildRequest, replace};
use crate::lab::Lab;
use crate::optimise::Optimise;
use crate::progress::Progress;
use crate::tools::Tools;

/// The image that serves, without HTTPS and with it.
const IMAGES: [&str; 2] = ["website", "website+tls"];
/// Where the bootloader is taken to load the image, in the entry for Xen's device tree.
const LOAD_ADDRESS: u64 = 0x4a00_0000;
/// What it needs besides itself and its pages: connections, mostly.
const ROOM: u64 = 8 << 20;
const MIB: u64 = 1 << 20;
/// More compressed files than this are not remembered.
const CACHE_MAX: usize = 50_000;

/// A site to be made.
#[derive(Clone, Debug)]
pub struct SiteWish {
    /// Its name, and that of its files and of the domain.
    pub name: String,
    /// The pages.
    pub pages: PathBuf,
    /// Certificate and key, in PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Where the files go.
    pub out: PathBuf,
    /// Whether the pages go to a disk instead of the image.
    pub disk: bool,
    /// Memory of the domain, if that is not to be worked out.
    pub memory_mib: Option<u32>,
    /// Its command line.
    pub args: String,
    /// How the image is compiled, if not as it wishes itself,
    pub optimise: Option<Optimise>,
    /// and for which CPUs.
    pub cpu: Option<Cpu>,
    /// When the pages were last changed, in seconds since 1970, if nobody else is to be asked.
    pub changed: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct MadeSite {
    /// What Xen loads.
    pub image: PathBuf,
    /// The disk with the pages, if there is one.
    pub disk: Option<PathBuf>,
    /// What `xl create` reads.
    pub xl: PathBuf,
    /// What Xen's device tree has to say to start it without `xl`.
    pub dom0less: PathBuf,
    /// Memory of the domain.
    pub memory_mib: u32,
    /// Its parts and their sizes in bytes.
    pub sizes: Vec<(String, u64)>,
    /// How many pages had to be compressed.
    pub compressed: usize,
}

impl Lab {
    /// Makes a site. The image is compiled only if it was not yet.
    pub fn site(&self, wish: &SiteWish, ui: &Progress) -> Result<MadeSite> {
        let letter = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        ensure!(
            !wish.name.is_empty() && !wish.name.starts_with('.') && wish.name.chars().all(letter),
            "{:?} is not the name of a domain and its files",
            wish.name
        );
        let image = IMAGES[usize::from(wish.tls.is_some())];
        // With TLS, speed would come to a megabyte and a half; its ciphers are compiled for it all the same.
        let optimise = wish.optimise.or_else(|| wish.tls.as_ref().map(|_| Optimise::Size));
        let request = BuildRequest { optimise, cpu: wish.cpu, ..BuildRequest::new(image) };
        let built = self.build(&request, ui)?;
        let bare = fs::read(&built.image)?;
        let (blob, compressed) = self.pack_site(wish)?;
        let site = Site::open(&blob).context("what was packed cannot be read")?;

        let tls = wish
            .tls
            .as_ref()
            .map(|(cert, key)| Ok::<_, anyhow::Error>((pem(cert)?, pem(key)?)))
            .transpose()?;
        let member = |name, secret, bytes| Member { name, secret, bytes };
        let mut members = Vec::new();
        if !wish.disk {
            members.push(member("site", false, &blob[..]));
        }
        if let Some((cert, key)) = &tls {
            members.extend([member("tls/cert", false, &cert[..]), member("tls/key", true, &key[..])]);
        }
        let image = match members.is_empty() {
            true => bare.clone(),
            false => attach(&bare, &pack_payload(&members)?)?,
        };

        fs::create_dir_all(&wish.out).with_context(|| format!("cannot create {}", wish.out.display()))?;
        let file = |ending: &str| wish.out.join(format!("{}.{ending}", wish.name));
        let own = attached(&bare)?.image;
        // A disk is read into memory, for which a block of a power of two is taken.
        let pages =
            if wish.disk { (blob.len() as u64 + blob.len() as u64 / 8).next_power_of_two() } else { 0 };
        let needed = (own + image.len() as u64 + pages + ROOM).div_ceil(MIB).next_multiple_of(4).max(16);
        let memory_mib = wish.memory_mib.map_or_else(|| u32::try_from(needed), Ok)?;
        let made = MadeSite {
            image: file("img"),
            disk: wish.disk.then(|| file("disk")),
            xl: file("cfg"),
            dom0less: file("dts"),
            memory_mib,
            sizes: sizes(&site, &bare, own, &image),
            compressed,
        };
        write(&made.image, &image, tls.is_some())?;
        if let Some(disk) = &made.disk {
            let mut bytes = blob.clone();
            // Disks are made of sectors; whole pages are good for loop devices.
            bytes.resize(blob.len().next_multiple_of(4096), 0);
            write(disk, &bytes, false)?;
        }
        write(&made.xl, xl_config(wish, &made)?.as_bytes(), false)?;
        write(&made.dom0less, device_tree(wish, &made, image.len() as u64).as_bytes(), false)?;
        Ok(made)
    }

    /// The pages as a blob, and how many were compressed anew.
    pub(crate) fn pack_site(&self, wish: &SiteWish) -> Result<(Vec<u8>, usize)> {
        let mut files = read(&wish.pages)?;
        ensure!(!files.is_empty(), "there are no pages in {}", wish.pages.display());
        let cache = self.dir().join("pages");
        if fs::read_dir(&cache).is_ok_and(|entries| entries.count() > CACHE_MAX) {
            fs::remove_dir_all(&cache)?;
        }
        fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
        let compressed = compress(&mut files, Some(&cache));
        let changed = wish.changed.map_or_else(|| last_change(&wish.pages), Ok)?;
        Ok((pack(files, changed)?, compressed))
    }
}

/// When the pages were last changed: `SOURCE_DATE_EPOCH`, else the newest commit of the repository they are in. The times of
/// files are those of a checkout, and would make other bytes each time; without a better one, nothing is said of it.
fn last_change(pages: &Path) -> Result<u64> {
    if let Some(epoch) = std::env::var_os("SOURCE_DATE_EPOCH") {
        let epoch = epoch.to_str().and_then(|text| text.parse().ok());
        return epoch.context("SOURCE_DATE_EPOCH is no number of seconds");
    }
    let git = Command::new("git").arg("-C").arg(pages).args(["log", "-1", "--format=%ct"]).output();
    let said = git.ok().filter(|git| git.status.success()).map(|git| git.stdout).unwrap_or_default();
    Ok(String::from_utf8_lossy(&said).trim().parse().unwrap_or(0))
}

/// A file in PEM (RFC 7468).
fn pem(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(bytes.windows(11).any(|it| it == b"-----BEGIN "), "{} is not PEM", path.display());
    Ok(bytes)
}

/// Writes a file; a secret one such that nobody else can read it.
pub(crate) fn write(path: &Path, bytes: &[u8], secret: bool) -> Result<()> {
    if secret {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let failed = || format!("cannot write {}", path.display());
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).open(path).with_context(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).with_context(failed)?;
        return fs::write(path, bytes).with_context(failed);
    }
    replace(path, bytes)
}

fn sizes(site: &Site<'_>, bare: &[u8], own: u64, image: &[u8]) -> Vec<(String, u64)> {
    let forms = |encoding| {
        let forms = site.files().filter_map(|file| file.variant(encoding));
        let (count, bytes) = forms.fold((0, 0), |(count, bytes), form| (count + 1, bytes + form.bytes.len()));
        (format!("{count} files, {}", encoding.name()), bytes as u64)
    };
    let forms = [Encoding::Identity, Encoding::Gzip, Encoding::Brotli].map(forms);
    iter::once(("website, compiled".to_owned(), bare.len() as u64))
        .chain(iter::once(("the same in memory".to_owned(), own)))
        .chain(forms)
        .chain(iter::once(("pages, packed".to_owned(), site.bytes() as u64)))
        .chain(iter::once(("image".to_owned(), image.len() as u64)))
        .collect()
}

/// For `xl create`, in the directory of the files.
fn xl_config(wish: &SiteWish, made: &MadeSite) -> Result<String> {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let image = name(&made.image).context("the image has no name")?;
    let mut domu = XlDomU::new(&wish.name, made.image.clone(), made.memory_mib);
    domu.args.clone_from(&wish.args);
    domu.vifs.push("bridge=xenbr0".to_owned());
    if let Some(disk) = made.disk.as_deref().and_then(name) {
        domu.disks.push(format!("format=raw,vdev=xvda,access=ro,target={disk}"));
    }
    Ok(format!(
        "# Start it in this directory: xl create {}.cfg\n# Without a DHCP server: cmdline = \"ip=192.0.2.80/24 gw=192.0.2.1\"\n{}",
        wish.name,
        domu.config(&image, None)
    ))
}

/// For Xen to start it without `xl`, in the form of the device tree's source.
fn device_tree(wish: &SiteWish, made: &MadeSite, bytes: u64) -> String {
    let cells = |number: u64| format!("{:#x} {:#x}", number >> 32, number & 0xffff_ffff);
    let quoted = wish.args.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "/* For /chosen of the host's device tree (docs/misc/arm/device-tree/booting.txt of Xen): the bootloader loads\n   \
         {name}.img to {LOAD_ADDRESS:#x}, or elsewhere, if both addresses below say so. Its network card comes from dom0:\n   \
         xl network-attach {name}. */\n\
         {name} {{\n    \
             compatible = \"xen,domain\";\n    \
             #address-cells = <2>;\n    \
             #size-cells = <2>;\n    \
             memory = <{memory}>;\n    \
             cpus = <1>;\n    \
             vpl011;\n    \
             xen,enhanced = \"enabled\";\n    \
             module@{LOAD_ADDRESS:x} {{\n        \
                 compatible = \"multiboot,kernel\", \"multiboot,module\";\n        \
                 reg = <{at} {size}>;\n        \
                 bootargs = \"{quoted}\";\n    \
             }};\n\
         }};\n",
        name = wish.name,
        memory = cells(u64::from(made.memory_mib) << 10),
        at = cells(LOAD_ADDRESS),
        size = cells(bytes),
    )
}

impl SiteWish {
    /// The pages of this directory, in an image below `target/site`.
    pub fn new(lab: &Lab, name: &str, pages: &Path) -> Result<Self> {
        if !pages.is_dir() {
            bail!("{} is not a directory", pages.display());
        }
        Ok(Self {
            name: name.to_owned(),
            pages: pages.to_owned(),
            tls: None,
            out: lab.workspace().join("target/site").join(name),
            disk: false,
            memory_mib: None,
            args: String::new(),
            optimise: None,
            cpu: None,
            changed: None,
        })
    }
}

/// A certificate that vouches for itself, and its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// In PEM.
    pub cert: PathBuf,
    /// In PEM.
    pub key: PathBuf,
}

impl Certificate {
    /// Has OpenSSL make one for this host.
    pub fn make(tools: &Tools, folder: &Path, host: &str) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (config, cert) = (folder.join("openssl.cnf"), folder.join("cert.pem"));
        let key = folder.join("key.pem");
        fs::write(&config, "[req]\ndistinguished_name = name\n[name]\n")?;
        let mut openssl = tools.command("openssl")?;
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl.args(["-subj", &format!("/CN={host}"), "-addext", &format!("subjectAltName=DNS:{host}")]);
        // Whatever time it is in the machine.
        openssl.args(["-not_before", "19700101000000Z", "-not_after", "20491231000000Z"]);
        let output =
            openssl.arg("-config").arg(&config).arg("-out").arg(&cert).arg("-keyout").arg(&key).output()?;
        ensure!(output.status.success(), "openssl says {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { cert, key })
    }

    /// The SHA-256 of its public key, in base64.
    pub(crate) fn key_hash(&self, tools: &Tools) -> Result<String> {
        let public = self.key.with_extension("der");
        let mut openssl = tools.command("openssl")?;
        openssl.args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(&self.key).arg("-out").arg(&public);
        let output = openssl.output()?;
        ensure!(output.status.success(), "openssl says {}", String::from_utf8_lossy(&output.stderr));
        let hash = public.with_extension("hash");
        let mut openssl = tools.command("openssl")?;
        openssl.args(["dgst", "-sha256", "-binary", "-out"]).arg(&hash).arg(&public);
        ensure!(openssl.status()?.success(), "openssl makes no hash");
        let mut openssl = tools.command("openssl")?;
        let output = openssl.args(["base64", "-A", "-in"]).arg(&hash).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}
