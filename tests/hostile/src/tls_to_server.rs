//! What a client may say to a server of TLS, before, in and after the handshake.

/// One input, as `tls.rs` reads it.
///
/// # Panics
/// If the server does what it must not.
pub fn tls_to_server(input: &[u8]) {
    crate::tls::play(true, input);
}
