//! HVM parameters: where the toolstack put console and Xenstore.

use crate::abi::{DOMID_SELF, hvm};
use crate::error::XenError;
use crate::platform::Platform;
use crate::xen::Xen;

/// Parameters that mean something to a guest on ARM (`xen/include/public/hvm/params.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum HvmParam {
    /// How events of vCPU 0 are delivered.
    CallbackIrq = 0,
    /// Frame of the Xenstore ring.
    StorePfn = 1,
    /// Our port of the Xenstore ring.
    StoreEvtchn = 2,
    /// Frame of the console ring.
    ConsolePfn = 17,
    /// Our port of the console ring.
    ConsoleEvtchn = 18,
}

/// A parameter that may not be there, or not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// Zero: this domain has none.
    Absent,
    /// All ones: to be set later, as in a dom0less domain until `init-dom0less` ran.
    Late,
    /// Its value.
    Is(u64),
}

impl<P: Platform> Xen<P> {
    /// Reads a parameter of this domain (`HVMOP_get_param`).
    pub fn hvm_param(&self, param: HvmParam) -> Result<u64, XenError> {
        let mut op =
            hvm::GetParam(hvm::Param { domid: DOMID_SELF, index: param as u32, ..Default::default() });
        self.op(&mut op)?;
        Ok(op.0.value)
    }

    /// Reads a parameter whose value may be missing.
    pub fn reserved(&self, param: HvmParam) -> Result<Reserved, XenError> {
        Ok(match self.hvm_param(param)? {
            0 => Reserved::Absent,
            u64::MAX => Reserved::Late,
            value => Reserved::Is(value),
        })
    }

    /// Sets a parameter of this domain (`HVMOP_set_param`).
    pub fn set_hvm_param(&self, param: HvmParam, value: u64) -> Result<(), XenError> {
        let param = hvm::Param { domid: DOMID_SELF, index: param as u32, value, ..Default::default() };
        self.op(&mut hvm::SetParam(param)).map(|_| ())
    }
}
