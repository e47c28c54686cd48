//! Writing a medium to a device: only to one that is whole, unused and of a likely size, after showing what is on it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::contents;

/// SD cards and eMMCs are not larger; disks of somebody's files are.
const LARGEST: u64 = 256 << 30;
/// `O_EXCL` of Linux: of a block device, Linux then opens only what nobody else uses, mounts included.
const EXCLUSIVE: i32 = 0o200;
const PIECE: usize = 1 << 20;

/// Where devices are looked at: this machine, or a folder that looks like one.
#[derive(Clone, Debug)]
pub struct System {
    /// What has `sys` and `proc` in it.
    pub root: PathBuf,
    /// The number of a block device; none of other files.
    pub number: fn(&Path) -> io::Result<Option<Number>>,
}

/// The number of a device: major and minor.
pub type Number = (u32, u32);

/// What is known of a device that may be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it is, links followed.
    pub path: PathBuf,
    /// What has to be typed.
    pub name: String,
    /// Its number.
    pub number: Number,
    /// Its size.
    pub bytes: u64,
    /// What its maker calls it.
    pub model: Option<String>,
    /// Whether it can be taken out, as it says itself.
    pub removable: bool,
    /// What is on it, a line each.
    pub contents: Vec<String>,
}

impl System {
    /// This machine.
    #[must_use]
    pub fn this() -> Self {
        Self { root: PathBuf::from("/"), number: block_number }
    }

    /// Looks at a device that is to be overwritten with so many bytes, and refuses it if that looks wrong.
    pub fn target(&self, device: &Path, needed: u64, force: bool) -> Result<Target> {
        let shown = device.display();
        let path = fs::canonicalize(device).with_context(|| format!("there is no {shown}"))?;
        let number = (self.number)(&path).with_context(|| format!("looking at {shown}"))?;
        let Some(number) = number else { bail!("{shown} is not a block device: nothing is written to it") };
        let sys = self.sys(number);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.with_context(|| format!("{shown} has no name"))?;
        ensure!(
            !sys.join("partition").exists(),
            "{shown} is one partition: name the whole device that it is on"
        );
        ensure!(self.word(&sys.join("ro")).as_deref() != Some("1"), "{shown} cannot be written to");
        let users = self.users(&sys, number, &path)?;
        ensure!(users.is_empty(), "{shown} is in use, nothing is written to it: {}", users.join(", "));
        let sectors = self.word(&sys.join("size")).and_then(|size| size.parse::<u64>().ok());
        let bytes = sectors.with_context(|| format!("{shown} does not say its size"))?.saturating_mul(512);
        ensure!(bytes > 0, "there is no medium in {shown}");
        ensure!(
            bytes >= needed,
            "{shown} has {}, and the medium is {}: take a larger one",
            in_words(bytes),
            in_words(needed)
        );
        ensure!(
            bytes <= LARGEST || force,
            "{shown} has {}, which is more than SD cards have: --force if it is the right one all the same",
            in_words(bytes)
        );
        let mut file = File::open(&path).with_context(|| format!("reading {shown}"))?;
        let contents = contents::describe(&mut |at, buffer| {
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(buffer)
        });
        Ok(Target {
            name,
            number,
            bytes,
            model: self.word(&sys.join("device/model")).or_else(|| self.word(&sys.join("device/name"))),
            removable: self.word(&sys.join("removable")).as_deref() == Some("1"),
            contents,
            path,
        })
    }

    fn sys(&self, (major, minor): Number) -> PathBuf {
        self.root.join(format!("sys/dev/block/{major}:{minor}"))
    }

    fn word(&self, file: &Path) -> Option<String> {
        let text = fs::read_to_string(file).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// Who uses a device or part of it.
    fn users(&self, sys: &Path, number: Number, path: &Path) -> Result<Vec<String>> {
        let mut parts = vec![(number, path.to_owned(), sys.to_owned())];
        let entries = fs::read_dir(sys).with_context(|| format!("reading {}", sys.display()))?;
        for entry in entries {
            let entry = entry?;
            let Some(text) = self.word(&entry.path().join("dev")) else { continue };
            if !entry.path().join("partition").exists() {
                continue;
            }
            let number = parse_number(&text).with_context(|| format!("{text} is no device's number"))?;
            parts.push((number, path.with_file_name(entry.file_name()), entry.path()));
        }
        let read = |file: &str| {
            let file = self.root.join(file);
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))
        };
        let (mounts, swaps) = (read("proc/self/mountinfo")?, read("proc/swaps")?);
        let mut users = Vec::new();
        for (number, path, sys) in &parts {
            let ours = |source: &str| Path::new(source) == path || same_file(Path::new(source), path);
            for mount in mounts.lines().filter_map(parse_mount) {
                if mount.number == Some(*number) || ours(mount.source) {
                    users.push(format!("{} is mounted at {}", path.display(), mount.place));
                }
            }
            let swapped = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next());
            if swapped.into_iter().any(ours) {
                users.push(format!("{} is swap space", path.display()));
            }
            for holder in fs::read_dir(sys.join("holders")).into_iter().flatten().flatten() {
                users.push(format!("{} is part of {}", path.display(), holder.file_name().display()));
            }
        }
        Ok(users)
    }
}

impl Target {
    /// Shows what would be overwritten, and has its name typed. Says whether it was.
    pub fn confirm(&self, answers: &mut dyn BufRead, questions: &mut dyn Write) -> Result<bool> {
        let Self { path, name, bytes, model, removable, contents, .. } = self;
        let model = model.as_deref().unwrap_or("which does not say what it is");
        let kind = if *removable { "removable" } else { "not removable" };
        writeln!(questions, "{}: {}, {model}, {kind}", path.display(), in_words(*bytes))?;
        for line in contents {
            writeln!(questions, "  {line}")?;
        }
        write!(questions, "All of it will be overwritten. Type {name} to go on: ")?;
        questions.flush()?;
        let mut answer = String::new();
        // Names are short; whatever else comes is no answer.
        answers.take(256).read_line(&mut answer)?;
        Ok(answer.trim() == name)
    }

    /// Writes the medium. The device is still the one that was looked at, and nobody else uses it.
    pub fn write(&self, system: &System, medium: &mut dyn Read, progress: &mut dyn FnMut(u64)) -> Result<()> {
        let shown = self.path.display();
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .custom_flags(EXCLUSIVE)
            .open(&self.path)
            .with_context(|| format!("opening {shown}, which nobody else may use"))?;
        let number = (system.number)(&self.path)?;
        ensure!(number == Some(self.number), "{shown} has become another device: nothing was written");
        let mut piece = vec![0; PIECE];
        let mut written = 0;
        loop {
            let count = medium.read(&mut piece).context("reading the medium")?;
            if count == 0 {
                break;
            }
            ensure!(written + count as u64 <= self.bytes, "the medium does not fit {shown} any more");
            file.write_all(&piece[..count]).with_context(|| format!("writing {shown}"))?;
            written += count as u64;
            progress(written);
        }
        file.sync_all().with_context(|| format!("writing {shown}"))
    }
}

fn block_number(path: &Path) -> io::Result<Option<Number>> {
    let metadata = fs::metadata(path)?;
    // makedev(3) of Linux.
    let device = metadata.rdev();
    let major = (device >> 32 & 0xffff_f000) | (device >> 8 & 0xfff);
    let minor = (device >> 12 & 0xffff_ff00) | (device & 0xff);
    Ok(metadata.file_type().is_block_device().then_some((major as u32, minor as u32)))
}

fn same_file(one: &Path, two: &Path) -> bool {
    one.starts_with("/dev") && fs::canonicalize(one).is_ok_and(|one| one == two)
}

struct Mount<'a> {
    number: Option<Number>,
    place: &'a str,
    source: &'a str,
}

/// A line of mountinfo (proc_pid_mountinfo(5)).
fn parse_mount(line: &str) -> Option<Mount<'_>> {
    let (own, filesystem) = line.split_once(" - ")?;
    let mut words = own.split(' ');
    let number = words.nth(2).and_then(parse_number);
    Some(Mount { number, place: words.nth(1)?, source: filesystem.split(' ').nth(1)? })
}

fn parse_number(text: &str) -> Option<Number> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn in_words(bytes: u64) -> String {
    if bytes < 10 << 30 { format!("{} MiB", bytes >> 20) } else { format!("{} GiB", bytes >> 30) }
}
