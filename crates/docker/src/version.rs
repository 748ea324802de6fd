//! The generations of docker and dockerd whose answers differ, and the Go each is built with.
//!
//! Docker leaves certificates to Go's standard library, so what decides is the Go release of a program and the
//! GODEBUG defaults compiled into it (`go version -m`): a program built in GOPATH mode, without a go.mod, gets those
//! of Go 1.20. Sources: docker-v29.7.2 Dockerfile, docker/cli v29.7.2 scripts/build/binary, Go src/internal/godebugs.

use std::fmt;
use std::str::FromStr;

/// A generation of Docker: releases of one generation judge certificates alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 20.10, as Debian 12 ships it (Go 1.19.8).
    V20_10,
    /// 23.0 to 28 (Go 1.24.3 in 28.2).
    V28,
    /// 29 and later (Go 1.26.5).
    #[default]
    V29,
    /// A docker built with Go 1.27, as upstream builds 29: no release of Docker is, and its answers are Go's (1.27.3).
    Go1_27,
}

impl Version {
    /// Every generation, oldest first.
    pub const ALL: [Self; 4] = [Self::V20_10, Self::V28, Self::V29, Self::Go1_27];

    /// The generations that Docker has released, oldest first.
    pub const RELEASED: [Self; 3] = [Self::V20_10, Self::V28, Self::V29];

    /// Its name: the release, as far as that decides.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::V20_10 => "20.10",
            Self::V28 => "28",
            Self::V29 => "29",
            Self::Go1_27 => "go1.27",
        }
    }

    /// Whether its answers are known from Go alone, and not yet from a docker.
    #[must_use]
    pub const fn is_from_go_alone(self) -> bool {
        matches!(self, Self::Go1_27)
    }

    /// The Go that the `docker` client of this generation is built with.
    ///
    /// Official clients are all built in GOPATH mode (docker/cli scripts/build/binary sets `GO111MODULE=auto`).
    #[must_use]
    pub const fn docker_go(self) -> Go {
        match self {
            Self::V20_10 => Go::V1_19,
            Self::V28 => Go { release: GoRelease::V1_24, defaults: GodebugDefaults::Go1_20 },
            Self::V29 => Go { release: GoRelease::V1_26, defaults: GodebugDefaults::Go1_20 },
            Self::Go1_27 => Go { release: GoRelease::V1_27, defaults: GodebugDefaults::Go1_20 },
        }
    }

    /// The Go that the `dockerd` daemon of this generation is built with.
    ///
    /// Until 28 the daemon was built from a vendor.mod, which Go does not see; 29 has a go.mod (moby, Dockerfile).
    #[must_use]
    pub const fn dockerd_go(self) -> Go {
        match self {
            Self::V20_10 => Go::V1_19,
            Self::V28 => Go { release: GoRelease::V1_24, defaults: GodebugDefaults::Go1_20 },
            Self::V29 => Go { release: GoRelease::V1_26, defaults: GodebugDefaults::Current },
            Self::Go1_27 => Go { release: GoRelease::V1_27, defaults: GodebugDefaults::Current },
        }
    }
}

impl fmt::Display for Version {
    /// Its name, marked where no docker has given the answers yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        if self.is_from_go_alone() { f.write_str(" (from Go, not yet from a docker)") } else { Ok(()) }
    }
}

/// A text that names no release of Docker this crate knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVersion {
    /// What was given.
    pub text: String,
}

impl fmt::Display for UnknownVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no version of Docker from 20.10 on, and not go1.27", self.text)
    }
}

impl std::error::Error for UnknownVersion {}

impl FromStr for Version {
    type Err = UnknownVersion;

    /// Reads a release such as `20.10.24`, `v28.2.2`, `29` or `go1.27.3` and names its generation.
    ///
    /// # Errors
    /// The text is no version, or one before 20.10.
    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let unknown = || UnknownVersion { text: text.to_owned() };
        if let Some(patch) = text.strip_prefix(Self::Go1_27.word()) {
            let is_patch = patch.strip_prefix('.').is_some_and(|patch| patch.parse::<u32>().is_ok());
            return if patch.is_empty() || is_patch { Ok(Self::Go1_27) } else { Err(unknown()) };
        }
        let mut numbers = text.strip_prefix('v').unwrap_or(text).split(['.', '-', '+', '~']);
        let mut next = || numbers.next().and_then(|part| part.parse::<u32>().ok());
        match (next().ok_or_else(unknown)?, next()) {
            (20, None | Some(10..)) => Ok(Self::V20_10),
            (23..=28, _) => Ok(Self::V28),
            (29..=99, _) => Ok(Self::V29),
            _ => Err(unknown()),
        }
    }
}

/// A Go release together with the GODEBUG defaults compiled into the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Go {
    /// The release of the standard library.
    pub release: GoRelease,
    /// Which GODEBUG defaults the program was built with.
    pub defaults: GodebugDefaults,
}

impl Go {
    /// Go 1.19, from before GODEBUG defaults were recorded.
    pub const V1_19: Self = Self { release: GoRelease::V1_19, defaults: GodebugDefaults::Go1_20 };

    /// Whether a certificate with a negative serial number parses (`x509negativeserial`, introduced by Go 1.23).
    #[must_use]
    pub const fn accepts_negative_serials(self) -> bool {
        matches!(self.defaults, GodebugDefaults::Go1_20)
    }

    /// The least RSA modulus in bits that signs and verifies (`rsa1024min`, introduced by Go 1.24).
    #[must_use]
    pub const fn least_rsa_bits(self) -> usize {
        match self.defaults {
            GodebugDefaults::Go1_20 => 0,
            GodebugDefaults::Current => 1024,
        }
    }

    /// Whether `http://host:1:2` is refused as a URL (`urlstrictcolons`, introduced by Go 1.26).
    #[must_use]
    pub fn refuses_stray_colons(self) -> bool {
        self.is_at_least(GoRelease::V1_26) && matches!(self.defaults, GodebugDefaults::Current)
    }

    /// Whether the release is `release` or a later one.
    #[must_use]
    pub fn is_at_least(self, release: GoRelease) -> bool {
        self.release >= release
    }
}

impl fmt::Display for Go {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.release {
            GoRelease::V1_19 => "Go 1.19",
            GoRelease::V1_24 => "Go 1.24",
            GoRelease::V1_26 => "Go 1.26",
            GoRelease::V1_27 => "Go 1.27",
        })
    }
}

/// A release of Go that a Docker of some generation is built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GoRelease {
    /// 1.19.8.
    V1_19,
    /// 1.24.3.
    V1_24,
    /// 1.26.5.
    V1_26,
    /// 1.27.3.
    V1_27,
}

/// The GODEBUG settings a program has when nobody sets the variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GodebugDefaults {
    /// Those of Go 1.20: `x509negativeserial=1`, `rsa1024min=0`, `urlstrictcolons=0`, `tlssha1=1`.
    Go1_20,
    /// Those of the release itself.
    Current,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_name_their_generation() {
        for (text, version) in [
            ("20.10.24", Version::V20_10),
            ("20.10.24+dfsg1", Version::V20_10),
            ("20", Version::V20_10),
            ("23.0.1", Version::V28),
            ("v28.2.2", Version::V28),
            ("29", Version::V29),
            ("30.1", Version::V29),
            ("go1.27", Version::Go1_27),
            ("go1.27.3", Version::Go1_27),
        ] {
            assert_eq!(text.parse(), Ok(version), "{text}");
        }
        for text in ["", "19.03.1", "18.09", "20.9", "x", "1.13", "-1", "go1.26", "go1.270", "go1.27.x"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    #[test]
    fn daemons_since_29_have_current_defaults() {
        for version in Version::ALL {
            assert!(version.docker_go().accepts_negative_serials());
            assert_eq!(version.dockerd_go().accepts_negative_serials(), version < Version::V29);
        }
        assert_eq!(Version::default(), Version::V29);
    }

    #[test]
    fn what_no_docker_has_answered_is_marked() {
        assert_eq!(Version::Go1_27.to_string(), "go1.27 (from Go, not yet from a docker)");
        assert!(Version::RELEASED.into_iter().all(|version| version.to_string() == version.word()));
    }
}
