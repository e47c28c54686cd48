//! Real Xen in QEMU: packages, machines, snapshots, test cases.
