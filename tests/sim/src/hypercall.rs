//! Hypercalls, as far as drivers use them.

use crate::domain::{Domain, End};
use crate::world::World;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use xen_hyp::abi::{self, Op, event, hvm, nr, sched, version};
use xen_hyp::{DomId, Features, Port, XenError};

type Result = core::result::Result<usize, XenError>;

/// What `XENVER_version` says: 4.20.
const VERSION: usize = 4 << 16 | 20;
const FEATURES: Features = Features(
    Features::WRITABLE_PAGE_TABLES.0 | Features::AUTO_TRANSLATED_PHYSMAP.0 | Features::NOT_DIRECT_MAPPED.0,
);

/// Performs a hypercall of `domain`.
///
/// # Safety
///
/// As for `Platform::hypercall`: addresses in `args` are valid for what the call does to them.
pub(crate) unsafe fn dispatch(world: &World, domain: &Domain, nr: usize, args: [usize; 5]) -> isize {
    let [cmd, arg, ..] = args;
    let result = match world.injected(domain.id, nr, cmd) {
        Some(error) => Err(error),
        // SAFETY: the caller's contract is the same for each of these.
        None => unsafe { perform(world, domain, nr, args) },
    };
    world.trace(format_args!("{} hypercall {nr}.{cmd} {arg:#x} -> {result:?}", domain.id));
    match result {
        Ok(value) => value as isize,
        Err(error) => -(error.0 as isize),
    }
}

/// # Safety
///
/// As for [`dispatch`].
unsafe fn perform(world: &World, domain: &Domain, nr: usize, args: [usize; 5]) -> Result {
    let [cmd, arg, address, ..] = args;
    match nr {
        // SAFETY: the caller's contract is the same.
        nr::EVENT_CHANNEL_OP => unsafe { event_channel_op(world, domain, cmd, arg) },
        // SAFETY: as above.
        nr::XEN_VERSION => unsafe { xen_version(cmd, arg) },
        // SAFETY: as above; here `arg` is a length.
        nr::CONSOLE_IO => unsafe { console_io(domain, cmd, arg, address) },
        // SAFETY: as above.
        nr::HVM_OP => unsafe { hvm_op(domain, cmd, arg) },
        // SAFETY: as above.
        nr::SCHED_OP => unsafe { sched_op(world, domain, cmd, arg) },
        nr::MEMORY_OP | nr::VCPU_OP => Ok(0),
        _ => Err(XenError::ENOSYS),
    }
}

/// Applies `change` to the argument structure at `address`.
///
/// # Safety
///
/// `address` must be that of a `T` that is valid for reads and writes.
unsafe fn with<T: Op + Copy>(address: usize, change: impl FnOnce(&mut T) -> Result) -> Result {
    let at = with_exposed_provenance_mut::<T>(address);
    // SAFETY: the caller vouches for it.
    let mut arg = unsafe { at.read() };
    let result = change(&mut arg);
    // SAFETY: as above.
    unsafe { at.write(arg) };
    result
}

/// # Safety
///
/// As for [`dispatch`].
unsafe fn event_channel_op(world: &World, domain: &Domain, cmd: usize, arg: usize) -> Result {
    let resolve = |dom: u16| if dom == abi::DOMID_SELF { domain.id } else { DomId(dom) };
    match cmd {
        // SAFETY: the argument of this command, as is the case in each arm.
        event::BindInterdomain::CMD => unsafe {
            with(arg, |op: &mut event::BindInterdomain| {
                op.local_port = world.bind(domain, resolve(op.remote_dom), Port(op.remote_port))?.0;
                Ok(0)
            })
        },
        // SAFETY: as above.
        event::BindVirq::CMD => unsafe {
            with(arg, |op: &mut event::BindVirq| {
                op.port = domain.open(End::Virq(op.virq), true).0;
                Ok(0)
            })
        },
        // SAFETY: as above.
        event::Close::CMD => unsafe {
            with(arg, |op: &mut event::Close| world.close(domain, Port(op.port)).map(|()| 0))
        },
        // SAFETY: as above.
        event::Send::CMD => unsafe {
            with(arg, |op: &mut event::Send| world.send(domain, Port(op.port)).map(|()| 0))
        },
        // SAFETY: as above.
        event::AllocUnbound::CMD => unsafe {
            with(arg, |op: &mut event::AllocUnbound| {
                op.port = domain.open(End::Unbound(resolve(op.remote_dom)), true).0;
                Ok(0)
            })
        },
        // SAFETY: as above.
        event::Status::CMD => unsafe {
            with(arg, |op: &mut event::Status| {
                if op.port >= event::NR_CHANNELS {
                    return Err(XenError::EINVAL);
                }
                (op.status, op.u0, op.u1) = match domain.end(Port(op.port)) {
                    None => (event::STAT_CLOSED, 0, 0),
                    Some(End::Unbound(dom)) => (event::STAT_UNBOUND, dom.0.into(), 0),
                    Some(End::Interdomain(dom, port)) => (event::STAT_INTERDOMAIN, dom.0.into(), port.0),
                    Some(End::Virq(virq)) => (event::STAT_VIRQ, virq, 0),
                };
                Ok(0)
            })
        },
        _ => Err(XenError::ENOSYS),
    }
}

/// # Safety
///
/// As for [`dispatch`].
unsafe fn xen_version(cmd: usize, arg: usize) -> Result {
    let (text, len) = match cmd {
        version::VERSION => return Ok(VERSION),
        // SAFETY: the argument of this command.
        version::GET_FEATURES => unsafe {
            return with(arg, |op: &mut version::FeatureInfo| {
                op.submap = if op.submap_idx == 0 { FEATURES.0 } else { return Err(XenError::EINVAL) };
                Ok(0)
            });
        },
        version::EXTRAVERSION => (".0-sim", version::EXTRAVERSION_LEN),
        version::CAPABILITIES => ("xen-3.0-aarch64 xen-3.0-armv7l ", version::CAPABILITIES_LEN),
        version::CHANGESET => ("none", version::CHANGESET_LEN),
        _ => return Err(XenError::ENOSYS),
    };
    let mut bytes = vec![0; len];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    // SAFETY: these commands write an array of this length at `arg`.
    unsafe { with_exposed_provenance_mut::<u8>(arg).copy_from_nonoverlapping(bytes.as_ptr(), len) };
    Ok(0)
}

/// # Safety
///
/// As for [`dispatch`].
unsafe fn console_io(domain: &Domain, cmd: usize, count: usize, address: usize) -> Result {
    if !domain.setup.console_io {
        return Err(XenError::EPERM);
    }
    match cmd {
        abi::CONSOLEIO_WRITE => {
            let from = with_exposed_provenance::<u8>(address);
            // SAFETY: CONSOLEIO_write reads `count` bytes there.
            domain
                .console_output
                .borrow_mut()
                .extend((0..count).map(|i| unsafe { from.wrapping_add(i).read() }));
            Ok(0)
        }
        abi::CONSOLEIO_READ => {
            let to = with_exposed_provenance_mut::<u8>(address);
            let mut input = domain.console_input.borrow_mut();
            let len = count.min(input.len());
            for (i, byte) in input.drain(..len).enumerate() {
                // SAFETY: CONSOLEIO_read writes up to `count` bytes there.
                unsafe { to.wrapping_add(i).write(byte) };
            }
            Ok(len)
        }
        _ => Err(XenError::ENOSYS),
    }
}

/// # Safety
///
/// As for [`dispatch`].
unsafe fn hvm_op(domain: &Domain, cmd: usize, arg: usize) -> Result {
    match cmd {
        // SAFETY: the argument of this command.
        hvm::GetParam::CMD => unsafe {
            with(arg, |op: &mut hvm::GetParam| {
                op.0.value = domain.params.borrow().get(&op.0.index).copied().unwrap_or(0);
                Ok(0)
            })
        },
        // SAFETY: as above.
        hvm::SetParam::CMD => unsafe {
            with(arg, |op: &mut hvm::SetParam| {
                domain.params.borrow_mut().insert(op.0.index, op.0.value);
                Ok(0)
            })
        },
        _ => Err(XenError::ENOSYS),
    }
}

/// # Safety
///
/// As for [`dispatch`].
unsafe fn sched_op(world: &World, domain: &Domain, cmd: usize, arg: usize) -> Result {
    match cmd {
        sched::YIELD => {
            world.run_backends();
            Ok(0)
        }
        // SAFETY: the argument of this command.
        sched::Shutdown::CMD => unsafe {
            with(arg, |op: &mut sched::Shutdown| {
                domain.shutdowns.borrow_mut().push(op.reason);
                Ok(0)
            })
        },
        _ => Err(XenError::ENOSYS),
    }
}
