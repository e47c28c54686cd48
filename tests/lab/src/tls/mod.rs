//! TLS with openssl at the other end, on this machine.

mod pki;
mod programs;
mod wire;

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use fata_random::Random;
use fata_tls::{
    Alert, BadCertificate, Client, ClientOptions, Clients, Error, Failure, Server, ServerOptions, Trust,
    Version, Versions, Why,
};

use crate::machine::Folder;
use crate::mutate::seed;
use crate::tools::Tools;
use pki::{Kind, Pki};
use programs::{Listener, Program};
use wire::{clock, read_line, say};

/// One way to talk: version, suite, group.
struct Way {
    version: Version,
    /// As openssl calls the suite.
    suite: &'static str,
    /// As we do.
    name: &'static str,
    group: &'static str,
}

/// Each version, suite and group.
fn ways() -> impl Iterator<Item = Way> {
    const SUITES: [(Version, &str, &str); 6] = [
        (Version::Tls13, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        (Version::Tls13, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
        (Version::Tls13, "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
        (Version::Tls12, "AES128-GCM-SHA256", "AES_128_GCM_SHA256"),
        (Version::Tls12, "AES256-GCM-SHA384", "AES_256_GCM_SHA384"),
        (Version::Tls12, "CHACHA20-POLY1305", "CHACHA20_POLY1305_SHA256"),
    ];
    SUITES.into_iter().flat_map(|(version, suite, name)| {
        ["x25519", "secp256r1", "secp384r1"].map(|group| Way { version, suite, name, group })
    })
}

impl Way {
    /// What openssl is told.
    fn words(&self, rsa: bool) -> Vec<String> {
        let mut words = match self.version {
            Version::Tls13 => vec!["-tls1_3".to_owned(), "-ciphersuites".to_owned(), self.suite.to_owned()],
            Version::Tls12 => {
                let suite = format!("ECDHE-{}-{}", if rsa { "RSA" } else { "ECDSA" }, self.suite);
                vec!["-tls1_2".to_owned(), "-cipher".to_owned(), suite]
            }
        };
        words.extend(["-groups".to_owned(), self.group.to_owned()]);
        words
    }

    fn versions(&self) -> Versions {
        if self.version == Version::Tls13 { Versions::Tls13 } else { Versions::Tls12 }
    }

    fn check(&self, facts: &fata_tls::Facts) -> Result<()> {
        ensure!(facts.version == self.version, "the version is {:?}", facts.version);
        ensure!(facts.suite.ends_with(self.name), "the suite is {}, not {}", facts.suite, self.name);
        ensure!(facts.group == Some(self.group), "the group is {:?}, not {}", facts.group, self.group);
        Ok(())
    }
}

/// `openssl s_client` with our server: every way with every kind of key, resuming, new keys, renegotiation, and certificates of
/// which it should say what is wrong.
pub(crate) fn our_server(tools: &Tools, folder: &Folder) -> Result<()> {
    let pki = Pki::make(tools, folder)?;
    let clock = clock();
    let random = Random::known(seed());
    let listener = Listener::new()?;
    let connect = |words: &[&str]| -> Result<Program> {
        let mut client = Program::new(tools, folder, "s_client")?;
        client.args(["-connect", &listener.address(), "-servername", "a.example"]);
        client
            .args(["-verify_return_error", "-CAfile", &pki.path("authority.pem")])
            .args(words.iter().copied());
        client.start()
    };
    for kind in Kind::SIGNING {
        let server = Server::new(ServerOptions::new(pki.identity(kind.name())?), &random, &clock);
        for way in ways() {
            let mut words = way.words(false);
            if let (Version::Tls12, Some(curve)) = (way.version, kind.curve()) {
                // Of two, the server would take the other.
                if (way.group, curve) == ("secp384r1", "secp256r1") {
                    continue;
                }
                words.extend(["-groups".to_owned(), format!("{}:{curve}", way.group)]);
            }
            let mut client = connect(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
            let talked = wire::run(async {
                let mut stream = server.accept(listener.accept()?).await?;
                way.check(&stream.facts())?;
                ensure!(stream.facts().server_name.as_deref() == Some("a.example"), "no name is named");
                client.say("hello\n")?;
                ensure!(read_line(&mut stream).await? == "hello", "it says something else");
                say(&mut stream, "good day\n").await?;
                stream.close().await?;
                drop(stream);
                client.finish("good day")
            });
            talked.with_context(|| format!("{} with {} of {}", way.suite, way.group, kind.name()))?;
        }
    }
    resumed_by_openssl(&pki, &listener, &connect, &random)?;
    asked_again(&pki, &listener, &connect, &random)?;
    changes_of_keys(&pki, &listener, &connect, &random)?;
    refused_by_openssl(&pki, &listener, &connect, &random)?;
    clients_of_openssl(&pki, &listener, &connect, &random)
}

type Connect<'a> = dyn Fn(&[&str]) -> Result<Program> + 'a;

fn resumed_by_openssl(
    pki: &Pki<'_>,
    listener: &Listener,
    connect: &Connect<'_>,
    random: &Random,
) -> Result<()> {
    let server = Server::new(ServerOptions::new(pki.identity("p256")?), random, &clock());
    let file = pki.path("session");
    for version in ["-tls1_3", "-tls1_2"] {
        for resumed in [false, true] {
            let session = if resumed { "-sess_in" } else { "-sess_out" };
            let mut client = connect(&[version, session, &file])?;
            wire::run(async {
                let mut stream = server.accept(listener.accept()?).await?;
                ensure!(
                    stream.facts().resumed == resumed,
                    "{version}: resumed is {}",
                    stream.facts().resumed
                );
                client.say("hello\n")?;
                read_line(&mut stream).await?;
                say(&mut stream, "good day\n").await?;
                stream.close().await?;
                drop(stream);
                client.finish("good day")
            })?;
        }
    }
    Ok(())
}

/// Catches: a server that cannot ask for another share (HelloRetryRequest) when the first is in a group that it does not know.
fn asked_again(pki: &Pki<'_>, listener: &Listener, connect: &Connect<'_>, random: &Random) -> Result<()> {
    let server = Server::new(ServerOptions::new(pki.identity("p256")?), random, &clock());
    let mut client = connect(&["-tls1_3", "-groups", "X448:secp384r1"])?;
    wire::run(async {
        let mut stream = server.accept(listener.accept()?).await?;
        ensure!(stream.facts().group == Some("secp384r1"), "the group is {:?}", stream.facts().group);
        say(&mut stream, "good day\n").await?;
        stream.close().await?;
        drop(stream);
        client.finish("good day")
    })
}

/// `K` asks for new keys and changes its own, `R` negotiates again.
fn changes_of_keys(pki: &Pki<'_>, listener: &Listener, connect: &Connect<'_>, random: &Random) -> Result<()> {
    let server = Server::new(ServerOptions::new(pki.identity("p256")?), random, &clock());
    let mut client = connect(&["-tls1_3"])?;
    wire::run(async {
        let mut stream = server.accept(listener.accept()?).await?;
        for _ in 0..3 {
            client.say("K\n")?;
            client.hear("KEYUPDATE")?;
            client.say("hello\n")?;
            ensure!(read_line(&mut stream).await? == "hello", "new keys do not fit");
            say(&mut stream, "good day\n").await?;
            client.hear("good day")?;
        }
        stream.close().await?;
        drop(stream);
        client.finish("")
    })?;
    let mut client = connect(&["-tls1_2"])?;
    wire::run(async {
        let mut stream = server.accept(listener.accept()?.brief()?).await?;
        client.say("hello\n")?;
        ensure!(read_line(&mut stream).await? == "hello", "it says something else");
        client.say("R\n")?;
        // It says what it thinks of our warning, and nothing more to us.
        let heard = read_line(&mut stream).await;
        ensure!(heard.is_err(), "it negotiates again: {heard:?}");
        drop(stream);
        client.finish("no renegotiation")
    })
}

fn refused_by_openssl(
    pki: &Pki<'_>,
    listener: &Listener,
    connect: &Connect<'_>,
    random: &Random,
) -> Result<()> {
    let list = pki.path("revoked.pem");
    let cases = [
        ("expired", &[][..], Alert::CERTIFICATE_EXPIRED),
        ("self-signed", &[], Alert::UNKNOWN_CA),
        ("stranger", &[], Alert::UNKNOWN_CA),
        ("p256", &["-verify_hostname", "b.example"], Alert::BAD_CERTIFICATE),
        ("gone", &["-crl_check", "-CRL", &list], Alert::CERTIFICATE_REVOKED),
    ];
    for (name, words, expected) in cases {
        let server = Server::new(ServerOptions::new(pki.identity(name)?), random, &clock());
        for version in ["-tls1_3", "-tls1_2"] {
            let mut client = connect(&[words, &[version]].concat())?;
            let accepted = wire::run(async { Ok(server.accept(listener.accept()?).await) })?;
            let heard = match accepted {
                Err(Error::Tls(failure)) => failure,
                other => bail!("openssl takes {name}: {other:?}"),
            };
            ensure!(heard == Failure::Received(expected), "{name}: {heard}, not {expected}");
            client.finish("")?;
        }
    }
    Ok(())
}

/// Clients with certificates, good and bad.
fn clients_of_openssl(
    pki: &Pki<'_>,
    listener: &Listener,
    connect: &Connect<'_>,
    random: &Random,
) -> Result<()> {
    let cases = [
        (Some("client"), None, ""),
        (Some("client-rsa"), None, ""),
        (None, Some((Why::NoCertificate, Alert::CERTIFICATE_REQUIRED)), "certificate required"),
        (
            Some("expired"),
            Some((Why::Certificate(BadCertificate::Expired), Alert::CERTIFICATE_EXPIRED)),
            "certificate expired",
        ),
        (
            Some("self-signed"),
            Some((Why::Certificate(BadCertificate::UnknownIssuer), Alert::UNKNOWN_CA)),
            "unknown ca",
        ),
        (
            Some("gone"),
            Some((Why::Certificate(BadCertificate::Revoked), Alert::CERTIFICATE_REVOKED)),
            "certificate revoked",
        ),
    ];
    for (name, refused, told) in cases {
        let mut trust = pki.trust()?;
        trust.add_revoked_pem(&pki.read("revoked.pem")?)?;
        let options = ServerOptions::new(pki.identity("p256")?);
        let server =
            Server::new(ServerOptions { clients: Clients::MustShow(trust), ..options }, random, &clock());
        let (certificate, key) = name
            .map(|name| (pki.path(&format!("{name}.pem")), pki.path(&format!("{name}.key"))))
            .unwrap_or_default();
        let shown = ["-cert", &certificate, "-key", &key];
        let mut client =
            connect(&[&["-tls1_3"][..], if name.is_some() { &shown[..] } else { &[] }].concat())?;
        wire::run(async {
            match (server.accept(listener.accept()?).await, refused) {
                (Ok(mut stream), None) => {
                    ensure!(!stream.facts().certificates.is_empty(), "it shows nothing");
                    stream.close().await?;
                    drop(stream);
                    client.finish("")
                }
                (Err(Error::Tls(failure)), Some((why, alert))) => {
                    ensure!(failure == Failure::Refused { alert, why }, "{name:?}: {failure}");
                    client.finish(told)
                }
                (other, _) => bail!("{name:?}: {other:?}"),
            }
        })?;
    }
    Ok(())
}

/// Our client with `openssl s_server`: every way with every kind of key and of signature, resuming, ends that are none, and
/// certificates of which we should say what is wrong.
pub(crate) fn our_client(tools: &Tools, folder: &Folder) -> Result<()> {
    let pki = Pki::make(tools, folder)?;
    let random = Random::known(seed());
    let serve = |name: &str, words: &[String]| -> Result<(Program, String)> {
        let mut server = Program::new(tools, folder, "s_server")?;
        server.args(["-accept", "127.0.0.1:0", "-rev", "-cert", &pki.path(&format!("{name}.pem"))]);
        server.args(["-key", &pki.path(&format!("{name}.key"))]).args(words.iter().map(String::as_str));
        let mut server = server.start()?;
        let address = server.hear("ACCEPT ")?;
        Ok((server, address))
    };
    let talk = |client: &Client, address: &str| {
        wire::run(async {
            let mut stream = client.connect(wire::Wire::connect(address)?, "a.example").await?;
            say(&mut stream, "hello\n").await?;
            ensure!(read_line(&mut stream).await? == "olleh", "it says something else");
            let facts = stream.facts().clone();
            stream.close().await?;
            Ok(facts)
        })
    };
    let client = |trust: Trust, versions| {
        Client::new(ClientOptions { versions, ..ClientOptions::new(trust) }, &random, &clock())
    };
    for kind in Kind::ALL {
        for way in ways() {
            // One group is enough for each suite of RSA's.
            if kind.is_rsa() && way.group != "x25519" {
                continue;
            }
            for signature in kind.signatures(way.version) {
                let mut words = way.words(kind.is_rsa());
                words.extend(signature.iter().flat_map(|name| ["-sigalgs".to_owned(), (*name).to_owned()]));
                let (_server, address) = serve(kind.name(), &words)?;
                let facts = talk(&client(pki.trust()?, way.versions()), &address);
                let checked = facts.and_then(|facts| way.check(&facts));
                checked.with_context(|| format!("{words:?} of {}", kind.name()))?;
            }
        }
    }
    for versions in [Versions::Tls13, Versions::Tls12] {
        let (server, address) = serve("p256", &[])?;
        let client = client(pki.trust()?, versions);
        let resumed: Vec<_> = (0..3).map(|_| Ok(talk(&client, &address)?.resumed)).collect::<Result<_>>()?;
        ensure!(resumed == [false, true, true], "{versions:?}: resumed {resumed:?}");
        cut_off(&client, &address, server)?;
    }
    refused_by_us(&pki, &serve, &random)?;
    shown_to_openssl(&pki, &serve, &random)
}

/// A server that is killed says nothing of an end.
fn cut_off(client: &Client, address: &str, server: Program) -> Result<()> {
    wire::run(async {
        let mut stream = client.connect(wire::Wire::connect(address)?, "a.example").await?;
        say(&mut stream, "hello\n").await?;
        read_line(&mut stream).await?;
        drop(server);
        let mut byte = [0];
        match embedded_io_async::Read::read(&mut stream, &mut byte).await {
            Err(Error::Tls(Failure::Truncated) | Error::Transport(_)) => Ok(()),
            other => bail!("a server that is killed: {other:?}"),
        }
    })
}

type Serve<'a> = dyn Fn(&str, &[String]) -> Result<(Program, String)> + 'a;

fn refused_by_us(pki: &Pki<'_>, serve: &Serve<'_>, random: &Random) -> Result<()> {
    let cases = [
        ("expired", "a.example", BadCertificate::Expired, "certificate expired"),
        ("self-signed", "a.example", BadCertificate::UnknownIssuer, "unknown ca"),
        ("stranger", "a.example", BadCertificate::UnknownIssuer, "unknown ca"),
        ("p256", "b.example", BadCertificate::WrongName, "bad certificate"),
        ("gone", "a.example", BadCertificate::Revoked, "certificate revoked"),
    ];
    for (name, host, bad, told) in cases {
        for versions in [Versions::Tls13, Versions::Tls12] {
            let (mut server, address) = serve(name, &[])?;
            let mut trust = pki.trust()?;
            trust.add_revoked_pem(&pki.read("revoked.pem")?)?;
            let client =
                Client::new(ClientOptions { versions, ..ClientOptions::new(trust) }, random, &clock());
            let connected =
                wire::run(async { Ok(client.connect(wire::Wire::connect(&address)?, host).await) })?;
            match connected {
                Err(Error::Tls(Failure::Refused { why, .. })) if why == Why::Certificate(bad) => {}
                other => bail!("{name}: {other:?}"),
            }
            server.hear(told).with_context(|| format!("{name} with {versions:?}"))?;
        }
    }
    Ok(())
}

/// Our certificate, to a server that asks for it.
fn shown_to_openssl(pki: &Pki<'_>, serve: &Serve<'_>, random: &Random) -> Result<()> {
    let words =
        ["-Verify", "1", "-verify_return_error", "-CAfile", &pki.path("authority.pem")].map(str::to_owned);
    for versions in [Versions::Tls13, Versions::Tls12] {
        for (name, heard) in
            [(Some("client"), None), (Some("expired"), Some(Alert::CERTIFICATE_EXPIRED)), (None, None)]
        {
            let (_server, address) = serve("p256", &words)?;
            let identity = name.map(|name| pki.identity(name)).transpose()?;
            let refused = name != Some("client");
            let options = ClientOptions { versions, identity, ..ClientOptions::new(pki.trust()?) };
            let client = Client::new(options, random, &clock());
            let talked = wire::run(async {
                let mut stream = client.connect(wire::Wire::connect(&address)?, "a.example").await?;
                say(&mut stream, "hello\n").await?;
                read_line(&mut stream).await
            });
            ensure!(talked.is_err() == refused, "{name:?} with {versions:?}: {talked:?}");
            if let (Err(error), Some(alert)) = (talked, heard) {
                let failure = format!("{}", Failure::Received(alert));
                ensure!(format!("{error:#}").contains(&failure), "{name:?}: {error:#}, not {failure}");
            }
        }
    }
    Ok(())
}

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
