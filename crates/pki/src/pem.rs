//! PEM as we write it: strict RFC 7468, LF line ends, 64 columns, no headers and no text around it.
//!
//! Reading by Docker's own rules is `dockseal-verify`'s; what is read here is what a person hands over.

use zeroize::Zeroizing;

use crate::{foreign_key, forms::pem_or_der};

/// One PEM block, and what makes a text malformed.
pub use ::pem::{Pem, PemError};

/// The PEM text of one block.
pub fn encode(label: &str, der: &[u8]) -> String {
    ::pem::encode_config(&Pem::new(label, der), ::pem::EncodeConfig::new().set_line_ending(::pem::LineEnding::LF))
}

/// The PEM text of a secret, zeroed when dropped.
pub fn encode_secret(label: &str, der: &[u8]) -> Zeroizing<String> {
    // The block's copy inside the pem crate is not zeroed; the text is the larger and longer-lived one.
    Zeroizing::new(encode(label, der))
}

/// All blocks of a text, in order; text around them is skipped.
///
/// # Errors
/// When a block is malformed.
pub fn decode_all(text: &[u8]) -> Result<Vec<Pem>, PemError> {
    ::pem::parse_many(text)
}

/// The blocks with private keys, each a text of its own, in whatever form a person brings the file; DER is one.
pub fn private_keys(bytes: &[u8]) -> Vec<Zeroizing<String>> {
    let text = &*pem_or_der(bytes);
    if text.first() == Some(&0x30) {
        let is_encrypted = foreign_key::encryption_of(text).is_some();
        return vec![encode_secret(if is_encrypted { "ENCRYPTED PRIVATE KEY" } else { "PRIVATE KEY" }, text)];
    }
    let is_key = |block: &&Pem| block.tag() == "PRIVATE KEY" || block.tag().ends_with(" PRIVATE KEY");
    let blocks = decode_all(text).unwrap_or_default();
    blocks.iter().filter(is_key).map(|block| Zeroizing::new(::pem::encode(block))).collect()
}
