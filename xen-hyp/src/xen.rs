//! One domain's view of its hypervisor.

use crate::abi::{GrantOp, Op, nr};
use crate::error::XenError;
use crate::event::Events;
use crate::grant::Grants;
use crate::mem::SharedPage;
use crate::platform::{Gfn, Platform};
use alloc::rc::Rc;
use core::fmt;
use core::mem::size_of;

/// A domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomId(pub u16);

impl DomId {
    /// The first domain, in which the usual backends run.
    pub const DOM0: Self = Self(0);
}

impl fmt::Display for DomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}", self.0)
    }
}

/// A local event channel port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(pub u32);

/// The hypervisor, as the one vCPU of this domain sees it.
///
/// Not `Sync`: no work is done in interrupt context, so there is nothing to lock against.
pub struct Xen<P> {
    platform: P,
    pub(crate) events: Events,
    pub(crate) grants: Grants,
}

impl<P: Platform> Xen<P> {
    /// Takes charge of the machine's event channels and grant table.
    pub fn new(platform: P) -> Rc<Self> {
        Rc::new(Self { platform, events: Events::default(), grants: Grants::default() })
    }

    /// The machine underneath.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// Makes a page accessible that Xen or the toolstack set aside for this domain.
    /// `None` if there is none at this frame.
    pub fn map_frame(self: &Rc<Self>, frame: Gfn) -> Option<SharedPage<P>> {
        SharedPage::map(self, frame)
    }

    /// Performs the operation that `arg` is the argument of.
    pub(crate) fn op<T: Op>(&self, arg: &mut T) -> Result<usize, XenError> {
        const { assert!(size_of::<T>() > 0) };
        // SAFETY: `T: Op` says that this call takes the address of a `T`; `arg` is one and outlives the call.
        unsafe { self.call(T::NR, [T::CMD, (&raw mut *arg).expose_provenance(), 0, 0, 0]) }
    }

    /// Performs a grant-table command for each of `args`; what became of each is in its status.
    ///
    /// # Safety
    ///
    /// Frames and addresses in `args` must be such that Rust does not mind what the command does to them.
    pub(crate) unsafe fn grant_op<T: GrantOp>(&self, args: &mut [T]) -> Result<(), XenError> {
        let address = args.as_mut_ptr().expose_provenance();
        // SAFETY: `T: GrantOp` says that the command takes an array of `T`; the caller vouches for the rest.
        unsafe { self.call(nr::GRANT_TABLE_OP, [T::CMD, address, args.len(), 0, 0]) }.map(|_| ())
    }

    /// Traps to the hypervisor.
    ///
    /// # Safety
    ///
    /// As for [`Platform::hypercall`].
    pub(crate) unsafe fn call(&self, nr: usize, args: [usize; 5]) -> Result<usize, XenError> {
        // SAFETY: the caller's contract is the same.
        XenError::check(unsafe { self.platform.hypercall(nr, args) })
    }
}

impl<P> fmt::Debug for Xen<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Xen").finish_non_exhaustive()
    }
}
