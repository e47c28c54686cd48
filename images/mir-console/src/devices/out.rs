//! What a command says while it is at work.

use crate::ink::Ink;
use alloc::string::String;
use core::cell::RefCell;
use core::fmt::{self, Write};
use xen_hyp::Signal;

/// As much may wait for the console before the command has to wait for it, too.
const ENOUGH: usize = 2048;

/// Text on its way to the console. The command puts it in; whoever attends to the command takes it out, and to the
/// user meanwhile.
pub struct Out {
    /// Whether to use colours.
    pub ink: Ink,
    text: RefCell<String>,
    taken: Signal,
}

impl Out {
    /// Nothing yet.
    pub const fn new(ink: Ink) -> Self {
        Self { ink, text: RefCell::new(String::new()), taken: Signal::new() }
    }

    /// Says what `text` writes. Whoever says more than a few lines waits for [`room`](Self::room) between them.
    pub fn say(&self, text: &dyn Fn(&mut dyn Write) -> fmt::Result) {
        // A string takes everything.
        let _ = text(&mut *self.text.borrow_mut());
    }

    /// Waits until most of what was said has been taken.
    pub async fn room(&self) {
        self.taken.until(|| (self.text.borrow().len() < ENOUGH).then_some(())).await;
    }

    /// What has been said and not been taken.
    pub fn take(&self) -> Option<String> {
        let text = self.text.take();
        self.taken.fire();
        (!text.is_empty()).then_some(text)
    }

    /// Whether that is nothing.
    pub fn is_empty(&self) -> bool {
        self.text.borrow().is_empty()
    }
}
