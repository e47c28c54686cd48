//! Authorities, and certificates of all kinds, good and bad.

use fata_tls::{Identity, Trust};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    RevokedCertParams, SerialNumber, SignatureAlgorithm, date_time_ymd,
};

/// An authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What is asked of an authority.
pub(crate) struct Wish {
    pub(crate) names: Vec<String>,
    pub(crate) from: i32,
    pub(crate) to: i32,
    pub(crate) serial: u64,
    pub(crate) usage: ExtendedKeyUsagePurpose,
    pub(crate) algorithm: &'static SignatureAlgorithm,
}

impl Wish {
    /// A server's, valid in 2026.
    pub(crate) fn server(name: &str) -> Self {
        Self {
            names: vec![name.to_owned()],
            from: 2026,
            to: 2027,
            serial: 7,
            usage: ExtendedKeyUsagePurpose::ServerAuth,
            algorithm: &PKCS_ECDSA_P256_SHA256,
        }
    }

    /// A client's.
    pub(crate) fn client() -> Self {
        Self { usage: ExtendedKeyUsagePurpose::ClientAuth, ..Self::server("client.example") }
    }
}

/// A certificate and its key.
pub(crate) struct Made {
    pub(crate) der: Vec<u8>,
    pub(crate) pem: String,
    pub(crate) key: KeyPair,
}

impl Made {
    pub(crate) fn identity(&self) -> Identity {
        Identity::from_pem(format!("{}{}", self.pem, self.key.serialize_pem()).as_bytes()).unwrap()
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, &PKCS_ECDSA_P256_SHA256)
    }

    pub(crate) fn with(name: &str, algorithm: &'static SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(algorithm).unwrap();
        Self(CertifiedIssuer::self_signed(Self::params(name), key).unwrap())
    }

    /// With a key that is there already.
    pub(crate) fn keyed(name: &str, key: KeyPair) -> Self {
        Self(CertifiedIssuer::self_signed(Self::params(name), key).unwrap())
    }

    /// One for which another vouches.
    pub(crate) fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::signed_by(Self::params(name), key, &self.0).unwrap())
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    pub(crate) fn make(&self, wish: &Wish) -> Made {
        let key = KeyPair::generate_for(wish.algorithm).unwrap();
        let mut params = CertificateParams::new(wish.names.clone()).unwrap();
        (params.not_before, params.not_after) =
            (date_time_ymd(wish.from, 1, 1), date_time_ymd(wish.to, 1, 1));
        params.serial_number = Some(wish.serial.into());
        params.extended_key_usages = vec![wish.usage.clone()];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Made { der: certificate.der().to_vec(), pem: certificate.pem(), key }
    }

    pub(crate) fn server(&self, name: &str) -> Identity {
        self.make(&Wish::server(name)).identity()
    }

    pub(crate) fn der(&self) -> &[u8] {
        self.0.der()
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::pem(self.pem().as_bytes()).unwrap()
    }

    /// A list with one certificate on it.
    pub(crate) fn revoke(&self, serial: u64) -> String {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2027, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: serial.into(),
                revocation_time: date_time_ymd(2026, 2, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

/// One that vouches for itself.
pub(crate) fn self_signed(name: &str) -> Made {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
    let certificate = params.self_signed(&key).unwrap();
    Made { der: certificate.der().to_vec(), pem: certificate.pem(), key }
}
