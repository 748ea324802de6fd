//! Randomness for the crates beside ring.

use rsa::rand_core;

/// ring's random source, which rustls uses as well.
pub(crate) struct SystemRandom(ring::rand::SystemRandom);

impl SystemRandom {
    pub(crate) fn new() -> Self {
        Self(ring::rand::SystemRandom::new())
    }
}

impl rand_core::TryRng for SystemRandom {
    type Error = ring::error::Unspecified;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        ring::rand::SecureRandom::fill(&self.0, bytes)
    }
}

impl rand_core::TryCryptoRng for SystemRandom {}
