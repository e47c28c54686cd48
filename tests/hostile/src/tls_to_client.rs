//! What a server may say to a client of TLS, before, in and after the handshake.

/// One input, as `tls.rs` reads it.
///
/// # Panics
/// If the client does what it must not.
pub fn tls_to_client(input: &[u8]) {
    crate::tls::play(false, input);
}
