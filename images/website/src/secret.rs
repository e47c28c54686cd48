//! Certificate and key from behind the image.

use alloc::format;
use alloc::string::String;
use fata_payload::Payload;
use fata_random::Random;
use fata_time::Clock;
use fata_tls::{Identities, Identity, Server, ServerOptions};

/// The members of a payload that have them.
const CERTIFICATE: &str = "tls/cert";
const KEY: &str = "tls/key";

/// Who we are. `None` if nobody has said.
pub(crate) fn identity(payload: &'static [u8]) -> Result<Option<Identity>, String> {
    if payload.is_empty() {
        return Ok(None);
    }
    let payload = Payload::open(payload).map_err(|error| format!("{error}"))?;
    let member = |name| payload.member(name).map(|member| member.bytes);
    match (member(CERTIFICATE), member(KEY)) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => match Identity::from_pem_pair(certificate, key) {
            Ok(identity) => Ok(Some(identity)),
            Err(error) => Err(format!("certificate and key behind the image: {error}")),
        },
        _ => Err("there is one of certificate and key behind the image, but not both".into()),
    }
}

/// A server for HTTP/1.1 that shows this.
pub(crate) fn server(identity: &Identity, random: &Random, clock: &Clock) -> Server {
    let mut options = ServerOptions::new(Identities::new([identity.clone()]));
    options.protocols.push(b"http/1.1".to_vec());
    Server::new(options, random, clock)
}
