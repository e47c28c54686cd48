//! What can go wrong with a connection.

use crate::alert::Alert;
use core::fmt;
use embedded_io::ErrorKind;

/// Why a connection is over, or could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// What carries it failed.
    Transport(E),
    /// The protocol says so.
    Tls(Failure),
}

/// A failure that is not one of what carries the connection. It stays: whatever is tried later fails the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// What carries it ended, and the peer had not said that it was finished. What has come may be the beginning of what
    /// was sent: somebody in between can do that.
    Truncated,
    /// The peer gave up, and this is why.
    Received(Alert),
    /// We gave up.
    Refused {
        /// What the peer has been told, if it can be.
        alert: Alert,
        /// What was wrong.
        why: Why,
    },
    /// Nobody has told what time it is, so that no certificate can be believed.
    NoTime,
    /// The name to connect to is neither that of a host nor an address.
    Name,
    /// We have closed it, so nothing can be written.
    Closed,
    /// As much has been written as one key of AES may seal, and the version has no way to change it.
    Exhausted,
}

/// What was wrong with the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its certificate is not good enough.
    Certificate(BadCertificate),
    /// It has to show one and has not.
    NoCertificate,
    /// It wants versions, suites, groups or signatures that we do not have.
    NothingInCommon,
    /// It speaks none of our application protocols.
    NoProtocol,
    /// We have no identity to show to it.
    NoIdentity,
    /// A message is not written as such messages are.
    Malformed,
    /// A message came that may not come now.
    Unexpected,
    /// It does what the protocol forbids.
    Misbehaved,
    /// A record, or the handshake, is not as the other end made it.
    Broken,
    /// A record is longer than records may be.
    TooLong,
    /// Too much came that is not data: empty records, new keys, warnings, fragments.
    Flood,
    /// We failed.
    Internal,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadCertificate {
    /// It is not written as certificates are.
    Malformed,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// Nobody whom we trust vouches for it, which includes all that vouch for themselves.
    UnknownIssuer,
    /// It is another's.
    WrongName,
    /// It, or one that vouches for it, was revoked, or has a key that is refused.
    Revoked,
    /// No list says whether it was revoked, and one has to.
    UnknownRevocation,
    /// It is not signed by whom it names, or what it signed is not.
    BadSignature,
    /// It is signed in a way that is not known here.
    UnknownAlgorithm,
    /// It is for another purpose.
    WrongPurpose,
    /// It breaks a rule for chains of certificates: names, depth, critical extensions.
    Constraint,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => {
                f.write_str("cut off: the transport ended, and the peer had not said it was finished")
            }
            Self::Received(alert) => write!(f, "the peer gave up: {alert}"),
            Self::Refused { alert, why } => write!(f, "{why} ({alert})"),
            Self::NoTime => f.write_str("nobody has told what time it is, so no certificate can be believed"),
            Self::Name => f.write_str("that is neither a host's name nor an address"),
            Self::Closed => f.write_str("it is closed"),
            Self::Exhausted => f.write_str("the key has sealed as much as it may"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate(bad) => return bad.fmt(f),
            Self::NoCertificate => "the peer shows no certificate",
            Self::NothingInCommon => "the peer has no version, suite, group or signature that is known here",
            Self::NoProtocol => "the peer speaks none of our application protocols",
            Self::NoIdentity => "there is no certificate for the peer",
            Self::Malformed => "the peer sent a malformed message",
            Self::Unexpected => "the peer sent a message out of turn",
            Self::Misbehaved => "the peer broke the protocol",
            Self::Broken => "what the peer sent was changed on the way",
            Self::TooLong => "the peer sent a record that is too long",
            Self::Flood => "the peer sends too much that is no data",
            Self::Internal => "an error of our own",
        })
    }
}

impl fmt::Display for BadCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the peer's certificate is malformed",
            Self::Expired => "the peer's certificate has expired",
            Self::NotYetValid => "the peer's certificate is not valid yet",
            Self::UnknownIssuer => "nobody we trust vouches for the peer's certificate",
            Self::WrongName => "the peer's certificate is for another name",
            Self::Revoked => "the peer's certificate was revoked",
            Self::UnknownRevocation => "nothing says that the peer's certificate was not revoked",
            Self::BadSignature => "a signature of the peer is wrong",
            Self::UnknownAlgorithm => "the peer's certificate is signed in a way not known here",
            Self::WrongPurpose => "the peer's certificate is for another purpose",
            Self::Constraint => "the peer's certificates break a rule for chains",
        })
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::Tls(failure) => failure.fmt(f),
        }
    }
}

impl core::error::Error for Failure {}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Error<E> {}

impl<E> From<Failure> for Error<E> {
    fn from(failure: Failure) -> Self {
        Self::Tls(failure)
    }
}

impl<E: embedded_io::Error> embedded_io::Error for Error<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Transport(error) => error.kind(),
            Self::Tls(Failure::Truncated | Failure::Received(_)) => ErrorKind::ConnectionAborted,
            Self::Tls(Failure::Refused { .. }) => ErrorKind::InvalidData,
            Self::Tls(Failure::Closed) => ErrorKind::NotConnected,
            Self::Tls(Failure::Name) => ErrorKind::InvalidInput,
            Self::Tls(Failure::NoTime | Failure::Exhausted) => ErrorKind::Other,
        }
    }
}

impl Failure {
    /// We give up for this reason.
    pub(crate) fn refused(why: Why) -> Self {
        let alert = match why {
            Why::Malformed => Alert::DECODE_ERROR,
            Why::Unexpected | Why::Flood => Alert::UNEXPECTED_MESSAGE,
            Why::Broken => Alert::BAD_RECORD_MAC,
            Why::TooLong => Alert::RECORD_OVERFLOW,
            Why::Misbehaved => Alert::ILLEGAL_PARAMETER,
            Why::NoCertificate => Alert::CERTIFICATE_REQUIRED,
            Why::NoProtocol => Alert::NO_APPLICATION_PROTOCOL,
            Why::NothingInCommon => Alert::HANDSHAKE_FAILURE,
            Why::NoIdentity => Alert::ACCESS_DENIED,
            Why::Internal => Alert::INTERNAL_ERROR,
            Why::Certificate(bad) => bad.alert(),
        };
        Self::Refused { alert, why }
    }
}

impl BadCertificate {
    fn alert(self) -> Alert {
        match self {
            Self::Malformed | Self::WrongName => Alert::BAD_CERTIFICATE,
            Self::Expired | Self::NotYetValid => Alert::CERTIFICATE_EXPIRED,
            Self::UnknownIssuer | Self::UnknownRevocation => Alert::UNKNOWN_CA,
            Self::Revoked => Alert::CERTIFICATE_REVOKED,
            Self::BadSignature | Self::UnknownAlgorithm => Alert::DECRYPT_ERROR,
            Self::WrongPurpose => Alert::UNSUPPORTED_CERTIFICATE,
            Self::Constraint => Alert::CERTIFICATE_UNKNOWN,
        }
    }
}

/// In our words, with the alert that was sent where it can be seen.
pub(crate) fn translated(error: &rustls::Error, sent: Option<Alert>) -> Failure {
    use rustls::Error as E;
    let why = match error {
        E::AlertReceived(alert) => return Failure::Received(Alert(u8::from(*alert))),
        E::FailedToGetCurrentTime => return Failure::NoTime,
        E::InvalidCertificate(error) => Why::Certificate(certificate(error)),
        E::InvalidCertRevocationList(_) => Why::Certificate(BadCertificate::UnknownRevocation),
        E::NoCertificatesPresented => Why::NoCertificate,
        E::NoApplicationProtocol => Why::NoProtocol,
        E::PeerIncompatible(_) => Why::NothingInCommon,
        E::InvalidMessage(rustls::InvalidMessage::MessageTooLarge) | E::PeerSentOversizedRecord => {
            Why::TooLong
        }
        E::InvalidMessage(_) => Why::Malformed,
        E::InappropriateMessage { .. } | E::InappropriateHandshakeMessage { .. } => Why::Unexpected,
        E::PeerMisbehaved(_) => Why::Misbehaved,
        E::DecryptError => Why::Broken,
        // What rustls says when the resolver has none.
        E::General(text) if text.contains("no server certificate chain") => Why::NoIdentity,
        _ => Why::Internal,
    };
    match (Failure::refused(why), sent) {
        (Failure::Refused { why, .. }, Some(alert)) => Failure::Refused { alert, why },
        (failure, _) => failure,
    }
}

fn certificate(error: &rustls::CertificateError) -> BadCertificate {
    use rustls::CertificateError as C;
    match error {
        C::BadEncoding => BadCertificate::Malformed,
        C::Expired => BadCertificate::Expired,
        C::NotValidYet => BadCertificate::NotYetValid,
        C::Revoked => BadCertificate::Revoked,
        C::UnknownIssuer => BadCertificate::UnknownIssuer,
        C::UnknownRevocationStatus => BadCertificate::UnknownRevocation,
        C::NotValidForName => BadCertificate::WrongName,
        C::InvalidPurpose => BadCertificate::WrongPurpose,
        C::BadSignature => BadCertificate::BadSignature,
        C::UnsupportedSignatureAlgorithmContext { .. } => BadCertificate::UnknownAlgorithm,
        C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => BadCertificate::UnknownAlgorithm,
        _ => BadCertificate::Constraint,
    }
}
