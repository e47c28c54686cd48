//! Keys and certificates of all kinds, made by openssl.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use fata_tls::{Identity, Trust, Version};

use super::programs::{openssl, told};
use crate::machine::Folder;
use crate::tools::Tools;

/// A kind of key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    P256,
    P384,
    Ed25519,
    Rsa,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::P256, Self::P384, Self::Ed25519, Self::Rsa];
    /// Those that we sign with.
    pub(super) const SIGNING: [Self; 3] = [Self::P256, Self::P384, Self::Ed25519];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Ed25519 => "ed25519",
            Self::Rsa => "rsa",
        }
    }

    pub(super) fn is_rsa(self) -> bool {
        self == Self::Rsa
    }

    /// The group of its points, which a client of TLS 1.2 has to name as well for openssl to take the certificate.
    pub(super) fn curve(self) -> Option<&'static str> {
        match self {
            Self::P256 => Some("secp256r1"),
            Self::P384 => Some("secp384r1"),
            Self::Ed25519 | Self::Rsa => None,
        }
    }

    /// What openssl may be told to sign with; without one, what it likes.
    pub(super) fn signatures(self, version: Version) -> Vec<Option<&'static str>> {
        const PSS: [Option<&str>; 3] =
            [Some("rsa_pss_rsae_sha256"), Some("rsa_pss_rsae_sha384"), Some("rsa_pss_rsae_sha512")];
        const PKCS1: [Option<&str>; 3] = [Some("RSA+SHA256"), Some("RSA+SHA384"), Some("RSA+SHA512")];
        match (self, version) {
            (Self::Rsa, Version::Tls13) => PSS.to_vec(),
            (Self::Rsa, Version::Tls12) => [PSS, PKCS1].concat(),
            // The curve is not part of it in TLS 1.2.
            (Self::P256, Version::Tls12) => vec![Some("ECDSA+SHA256"), Some("ECDSA+SHA384")],
            _ => vec![None],
        }
    }

    fn words(self) -> &'static [&'static str] {
        match self {
            Self::P256 => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Self::P384 => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            Self::Ed25519 => &["-algorithm", "ED25519"],
            Self::Rsa => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        }
    }
}

/// What was made, in a folder.
pub(super) struct Pki<'a> {
    tools: &'a Tools,
    folder: &'a Folder,
    log: File,
}

impl<'a> Pki<'a> {
    /// An authority, and for a.example one certificate of each kind and bad ones.
    pub(super) fn make(tools: &'a Tools, folder: &'a Folder) -> Result<Self> {
        let pki = Self { tools, folder, log: File::create(folder.file("openssl.log"))? };
        pki.authority("authority", Kind::Rsa)?;
        pki.authority("other", Kind::P256)?;
        for kind in Kind::ALL {
            pki.certificate(kind.name(), kind, "authority", "serverAuth", &["-days", "2"])?;
        }
        let past = ["-not_before", "20200101000000Z", "-not_after", "20200102000000Z"];
        pki.certificate("expired", Kind::P256, "authority", "serverAuth, clientAuth", &past)?;
        pki.certificate("stranger", Kind::P256, "other", "serverAuth", &["-days", "2"])?;
        let gone = ["-days", "2", "-set_serial", "7"];
        pki.certificate("gone", Kind::P256, "authority", "serverAuth, clientAuth", &gone)?;
        pki.certificate("client", Kind::P256, "authority", "clientAuth", &["-days", "2"])?;
        pki.certificate("client-rsa", Kind::Rsa, "authority", "clientAuth", &["-days", "2"])?;
        pki.key("self-signed", Kind::P256)?;
        pki.openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            "self-signed.key",
            "-subj",
            "/CN=self",
            "-days",
            "2",
            "-addext",
            "subjectAltName = DNS:a.example",
            "-extensions",
            "name",
            "-out",
            "self-signed.pem",
        ])?;
        pki.revoke()?;
        Ok(pki)
    }

    fn openssl(&self, words: &[&str]) -> Result<()> {
        let mut command = openssl(self.tools, self.folder)?;
        command.args(words);
        told(command, &self.log)
    }

    fn key(&self, name: &str, kind: Kind) -> Result<()> {
        self.openssl(&[&["genpkey", "-out", &format!("{name}.key")], kind.words()].concat())
    }

    fn authority(&self, name: &str, kind: Kind) -> Result<()> {
        self.key(name, kind)?;
        let (key, subject, file) = (format!("{name}.key"), format!("/CN={name}"), format!("{name}.pem"));
        self.openssl(&["req", "-x509", "-new", "-key", &key, "-subj", &subject, "-days", "2", "-out", &file])
    }

    fn certificate(&self, name: &str, kind: Kind, issuer: &str, usage: &str, words: &[&str]) -> Result<()> {
        self.key(name, kind)?;
        let (key, file) = (format!("{name}.key"), format!("{name}.pem"));
        let (authority, authority_key) = (format!("{issuer}.pem"), format!("{issuer}.key"));
        let (subject, usage) = (format!("/CN={name}"), format!("extendedKeyUsage = {usage}"));
        let words = [
            &[
                "req",
                "-x509",
                "-new",
                "-key",
                &key,
                "-subj",
                &subject,
                "-CA",
                &authority,
                "-CAkey",
                &authority_key,
            ],
            &["-addext", "basicConstraints = CA:FALSE", "-addext", &usage][..],
            &["-addext", "subjectAltName = DNS:a.example", "-extensions", "name", "-out", &file],
            words,
        ];
        self.openssl(&words.concat())
    }

    /// A list with the certificate of the number 7 on it.
    fn revoke(&self) -> Result<()> {
        let config = "[ca]\ndefault_ca = a\n[a]\ndatabase = index\ndefault_md = sha256\ncrlnumber = number\n";
        fs::write(self.folder.file("ca.cnf"), config)?;
        fs::write(self.folder.file("index"), "R\t400101000000Z\t260101000000Z\t07\tunknown\t/CN=gone\n")?;
        fs::write(self.folder.file("number"), "01\n")?;
        self.openssl(&[
            "ca",
            "-config",
            "ca.cnf",
            "-gencrl",
            "-cert",
            "authority.pem",
            "-keyfile",
            "authority.key",
            "-crldays",
            "2",
            "-out",
            "revoked.pem",
        ])
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.file(name)
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>> {
        fs::read(self.file(name)).with_context(|| format!("reading {name}"))
    }

    pub(super) fn identity(&self, name: &str) -> Result<Identity> {
        let (certificate, key) = (self.read(&format!("{name}.pem"))?, self.read(&format!("{name}.key"))?);
        Ok(Identity::from_pem_pair(&certificate, &key)?)
    }

    pub(super) fn trust(&self) -> Result<Trust> {
        Ok(Trust::pem(&self.read("authority.pem")?)?)
    }
}
