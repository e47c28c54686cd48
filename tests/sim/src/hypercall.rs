//! Hypercalls, as far as drivers use them.

use crate::domain::{Domain, End};
use crate::world::World;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use xen_hyp::abi::{self, GrantOp, Op, event, grant, hvm, nr, sched, version};
use xen_hyp::{DomId, Features, GrantRef, PAGE_SIZE, Port, XenError};

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
        // SAFETY: as above; here `address` is how many arguments there are at `arg`.
        nr::GRANT_TABLE_OP => unsafe { grant_table_op(world, domain, cmd, arg, address) },
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
unsafe fn with<T: Copy>(address: usize, change: impl FnOnce(&mut T) -> Result) -> Result {
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
unsafe fn grant_table_op(world: &World, domain: &Domain, cmd: usize, arg: usize, count: usize) -> Result {
    let code = |result: core::result::Result<(), i16>| result.err().unwrap_or(0);
    for n in 0..count {
        match cmd {
            // SAFETY: an array of this command's argument, as is the case in each arm.
            grant::MapGrantRef::CMD => unsafe {
                with(arg + n * size_of::<grant::MapGrantRef>(), |op: &mut grant::MapGrantRef| {
                    let mapped = world.map_for(domain, DomId(op.dom), GrantRef(op.gref), op.host_addr);
                    op.handle = mapped.unwrap_or(u32::MAX);
                    op.status = code(mapped.map(|_| ()));
                    Ok(0)
                })
            },
            // SAFETY: as above.
            grant::UnmapGrantRef::CMD => unsafe {
                with(arg + n * size_of::<grant::UnmapGrantRef>(), |op: &mut grant::UnmapGrantRef| {
                    op.status = code(world.unmap_for(domain, op.handle, op.host_addr));
                    Ok(0)
                })
            },
            grant::Copy::CMD => {
                let copy = |op: &mut grant::Copy| {
                    // SAFETY: the caller's contract: its end of the copy is its own memory.
                    op.status = code(unsafe { grant_copy(world, domain, op) });
                    Ok(0)
                };
                // SAFETY: as above.
                unsafe { with(arg + n * size_of::<grant::Copy>(), copy) }
            }
            // SAFETY: as above.
            grant::QuerySize::CMD => unsafe {
                with(arg + n * size_of::<grant::QuerySize>(), |op: &mut grant::QuerySize| {
                    op.max_nr_frames = domain.setup.grant_frames as u32;
                    op.status = 0;
                    Ok(0)
                })
            },
            _ => return Err(XenError::ENOSYS),
        }?;
    }
    Ok(0)
}

/// # Safety
///
/// The end of the copy that is no grant is memory of `domain`, valid for what the copy does to it.
unsafe fn grant_copy(world: &World, domain: &Domain, op: &grant::Copy) -> core::result::Result<(), i16> {
    let out = op.flags == grant::COPY_SOURCE_GREF;
    let (theirs, ours) = if out { (op.source, op.dest) } else { (op.dest, op.source) };
    let page = domain.address_of(ours.at);
    let whole = usize::from(ours.offset) + usize::from(op.len) <= PAGE_SIZE;
    if page == 0 || !whole || ours.domid != abi::DOMID_SELF {
        return Err(-9);
    }
    let address = with_exposed_provenance_mut(page + usize::from(ours.offset));
    let peer = (DomId(theirs.domid), GrantRef(theirs.at as u32), usize::from(theirs.offset));
    // SAFETY: the caller vouches for it.
    unsafe { world.copy_grant(domain, peer, address, op.len.into(), out) }
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
