//! Puts files behind a finished image, where what boots finds them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use fata_payload::{Member, Payload, attach, attached, pack};

use crate::site::write;

/// The end of the names of members that are nobody's business.
const SECRET: &str = "/key";

/// What is behind an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The member's name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Whether it is to be kept from others.
    pub secret: bool,
}

/// Writes the image with these members, instead of those that it may have, to `out`. Each is a name and a file; it is a secret
/// if its name ends with `/key`, and then nobody else may read what is written.
pub fn put_behind(image: &Path, members: &[(String, PathBuf)], out: &Path) -> Result<Vec<Behind>> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let bare = read(image)?;
    let contents = members.iter().map(|(_, file)| read(file)).collect::<Result<Vec<_>>>()?;
    let members: Vec<_> = members
        .iter()
        .zip(&contents)
        .map(|((name, _), bytes)| Member { name, secret: name.ends_with(SECRET), bytes })
        .collect();
    let whole = attach(&bare, &pack(&members)?).with_context(|| format!("in {}", image.display()))?;
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    write(out, &whole, members.iter().any(|member| member.secret))?;
    behind(&whole)
}

/// What is behind the image in this file.
pub fn behind_image(image: &Path) -> Result<Vec<Behind>> {
    let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    behind(&bytes).with_context(|| format!("in {}", image.display()))
}

fn behind(image: &[u8]) -> Result<Vec<Behind>> {
    let lies = attached(image)?;
    if lies.payload == 0 {
        return Ok(Vec::new());
    }
    let from = usize::try_from(lies.image)?;
    ensure!(image.len() > from, "the file ends before its payload");
    let payload = Payload::open(&image[from..])?;
    let member =
        |it: Member<'_>| Behind { name: it.name.into(), bytes: it.bytes.len() as u64, secret: it.secret };
    Ok(payload.members().map(member).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// As much of an image as says what it is.
    fn image() -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        bytes[16..24].copy_from_slice(&4096_u64.to_le_bytes());
        bytes[56..60].copy_from_slice(b"ARM\x64");
        bytes[64..72].copy_from_slice(b"FATAHEAD");
        bytes
    }

    #[test]
    fn what_is_put_behind_is_found_and_kept_from_others() {
        let folder = std::env::temp_dir().join(format!("fata-payload-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let bare = file("Image", &image());
        assert_eq!(behind_image(&bare).unwrap(), []);
        let members =
            [("tls/key".to_owned(), file("k", b"secret")), ("tls/cert".to_owned(), file("c", b"cert"))];
        let out = folder.join("deep/whole");
        let there = put_behind(&bare, &members, &out).unwrap();
        let shown: Vec<_> = there.iter().map(|it| (it.name.as_str(), it.bytes, it.secret)).collect();
        assert_eq!(shown, [("tls/cert", 4, false), ("tls/key", 6, true)]);
        assert_eq!(behind_image(&out).unwrap(), there);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&out), 0o600);
        // What was there before is gone.
        let other = folder.join("other");
        put_behind(&out, &members[1..], &other).unwrap();
        assert_eq!(behind_image(&other).unwrap().len(), 1);
        assert!(!fs::read(&other).unwrap().windows(6).any(|it| it == b"secret"));
        let twice = [members[0].clone(), members[0].clone()];
        assert!(put_behind(&bare, &twice, &other).is_err());
        assert!(put_behind(&members[0].1, &members, &other).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
