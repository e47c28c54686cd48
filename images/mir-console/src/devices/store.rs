//! `store`: the toolstack's tree of values.

use super::escape::{Bare, Quoted};
use super::{Devices, Out, Trouble};
use alloc::format;
use core::convert::Infallible;
use fata_xenstore::{Event, Xenstore};
use xen_hyp::Platform;

impl<P: Platform> Devices<P> {
    pub(super) async fn store(&self, argument: &str, out: &Out) -> Result<(), Trouble> {
        let (verb, rest) = argument.split_once(' ').unwrap_or((argument, ""));
        let rest = rest.trim_ascii();
        if !matches!(verb, "ls" | "read" | "write" | "watch") || (rest.is_empty() && verb != "ls") {
            return Err(Trouble::Usage);
        }
        let store = self.connected(out).await?;
        match verb {
            "ls" if rest.is_empty() => {
                let dom = self.xen.domid().map_err(|error| Trouble::Store(error.into()))?;
                ls(store, &format!("/local/domain/{}", dom.0), out).await
            }
            "ls" => ls(store, rest, out).await,
            "read" => {
                let value = store.read(rest).await?;
                out.say(&|w| writeln!(w, "{}", Quoted(&value)));
                Ok(())
            }
            "write" => {
                let (path, value) = rest.split_once(' ').ok_or(Trouble::Usage)?;
                let value = value.trim_ascii();
                // In quotes if it begins or ends with blanks.
                let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
                Ok(store.write(path, inner.unwrap_or(value)).await?)
            }
            _ => {
                let Err(trouble) = watch(store, rest, out).await;
                Err(trouble)
            }
        }
    }
}

async fn ls<P: Platform>(store: &Xenstore<P>, path: &str, out: &Out) -> Result<(), Trouble> {
    for name in store.directory(path).await? {
        let below = format!("{}/{name}", path.trim_end_matches('/'));
        let slash = match store.directory(&below).await {
            Ok(names) if !names.is_empty() => "/",
            _ => "",
        };
        let value = store.try_read(&below).await;
        let (on, off) = (out.ink.cyan(), out.ink.off());
        out.say(&|w| {
            write!(w, "  {on}{}{slash}{off}", Bare(&name))?;
            match &value {
                Ok(Some(value)) if value.is_empty() && !slash.is_empty() => w.write_char('\n'),
                Ok(Some(value)) => writeln!(w, " = {}", Quoted(value)),
                Ok(None) => w.write_str(" is gone\n"),
                Err(error) => writeln!(w, ": {error}"),
            }
        });
        out.room().await;
    }
    Ok(())
}

/// Tells what happens at a node and below it, until that cannot be had any more.
async fn watch<P: Platform>(store: &Xenstore<P>, path: &str, out: &Out) -> Result<Infallible, Trouble> {
    let mut watch = store.watch(path)?;
    out.say(&|w| w.write_str("Any key ends this.\n"));
    loop {
        let changed = match watch.next().await? {
            Event::Changed(changed) => changed,
            Event::Everything => {
                out.say(&|w| w.write_str("more than was kept:\n"));
                path.into()
            }
        };
        // A special one has no value.
        let value = if changed.starts_with('@') { None } else { Some(store.try_read(&changed).await) };
        out.say(&|w| {
            write!(w, "{}", Bare(&changed))?;
            match &value {
                None => w.write_char('\n'),
                Some(Ok(Some(value))) => writeln!(w, " = {}", Quoted(value)),
                Some(Ok(None)) => w.write_str(" is gone\n"),
                Some(Err(error)) => writeln!(w, ": {error}"),
            }
        });
        out.room().await;
    }
}
