//! Xen in a process, for host tests.
