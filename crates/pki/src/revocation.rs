//! Why a certificate was revoked (RFC 5280 section 5.3.1).

use std::fmt;

/// A CRLReason that a person can give; `certificateHold` and `removeFromCRL` are left out, since nothing is ever taken
/// back here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevocationReason {
    /// No reason given. CRLs then carry no reason code (RFC 5280 section 5.3.1).
    Unspecified,
    /// Somebody else has, or may have, the private key.
    KeyCompromise,
    /// Somebody else has, or may have, the authority's private key.
    CaCompromise,
    /// Its holder is somebody else's now.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// It is not needed any more.
    CessationOfOperation,
    /// A right that it stated was taken back.
    PrivilegeWithdrawn,
}

impl RevocationReason {
    /// Every reason, in the order of its code.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// The name that RFC 5280 gives it, as `openssl ca -crl_reason` takes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "CACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
        }
    }

    /// Its CRLReason code (RFC 5280 section 5.3.1).
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::PrivilegeWithdrawn => 9,
        }
    }

    /// The reason of this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The reason of this name, whatever its letters' case and hyphens.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |text: &str| text.replace(['-', '_'], "").to_ascii_lowercase();
        Self::ALL.into_iter().find(|reason| plain(reason.word()) == plain(text))
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read_as_they_are_written() {
        for reason in RevocationReason::ALL {
            assert_eq!(RevocationReason::parse(reason.word()), Some(reason));
            assert_eq!(RevocationReason::from_code(reason.code()), Some(reason));
        }
        assert_eq!(RevocationReason::parse("key-compromise"), Some(RevocationReason::KeyCompromise));
        assert_eq!(RevocationReason::parse("certificateHold"), None);
        assert_eq!(RevocationReason::parse(""), None);
    }
}
