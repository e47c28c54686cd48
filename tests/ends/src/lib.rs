//! Both ends of a connection, for host tests: two stacks with a wire between them, and TLS of which one end believes the other.
#![forbid(unsafe_code)]

use fata_link::wire;
use fata_netstack::{Config, Stack};
use fata_random::Random;
use fata_rt::Rt;
use fata_time::Clock;
use fata_tls::{Client, ClientOptions, Identity, Server, ServerOptions, Trust};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::time::Duration;

/// What clocks tell here: 2026-11-25.
pub const NOW: Duration = Duration::from_secs(1_795_600_000);

/// A client and a server that are each other's only neighbours, with these words of their command lines.
pub fn stacks(rt: &Rt, client: &str, server: &str) -> [Stack; 2] {
    let (a, b, _) = wire::pair(wire::Options::default());
    let start = |link, words: &str, seed| {
        let mut config = Config::default();
        for word in words.split(' ') {
            let (name, value) = word.split_once('=').expect("words have values");
            config.word(name, value).expect("words make sense");
        }
        Stack::start(rt, link, config, &Random::known(seed))
    };
    [start(a, client, 1), start(b, server, 2)]
}

/// A server with a certificate for these names and addresses, and a client that believes whoever made it.
pub fn tls(rt: &Rt, names: &[&str]) -> (Client, Server) {
    let key = || KeyPair::generate().expect("there are keys");
    let (authority_key, key) = (key(), key());
    let mut authority = CertificateParams::new([]).expect("nobody is a name");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).expect("it is signed");
    let issuer = Issuer::new(authority, &authority_key);
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let shown = CertificateParams::new(names).expect("they are names");
    let shown = shown.signed_by(&key, &issuer).expect("it is signed");
    let identity = Identity::from_pem_pair(shown.pem().as_bytes(), key.serialize_pem().as_bytes());
    let trust = Trust::pem(root.pem().as_bytes()).expect("it is a certificate");
    let (clock, random) = (Clock::new(rt, || Some(NOW)), Random::known(4));
    let server = ServerOptions::new(identity.expect("they belong together"));
    (Client::new(ClientOptions::new(trust), &random, &clock), Server::new(server, &random, &clock))
}
