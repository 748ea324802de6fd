//! Private keys encrypted by RFC 1423's `DEK-Info`, as `openssl genrsa -aes256` wrote them before 3.0, and as Go's
//! `x509.EncryptPEMBlock` and so `step` do. Read only: the scheme stretches the passphrase with one round of MD5.

use aes::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7};
use md5::{Digest, Md5};
use zeroize::Zeroizing;

use crate::{KeyError, Passphrase};

/// The DER inside an encrypted block: `dek_info` is the header's value, `ALGORITHM,HEXIV`.
pub(crate) fn decrypt(
    dek_info: &str,
    passphrase: &Passphrase,
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (cipher, iv) = dek_info.split_once(',').ok_or(KeyError::Malformed)?;
    let iv = unhex(iv.trim()).ok_or(KeyError::Malformed)?;
    let salt = iv.get(..8).ok_or(KeyError::Malformed)?;
    let key = |length| derive(passphrase.secret_bytes(), salt, length);
    let plain = match cipher.trim() {
        "AES-128-CBC" => open::<cbc::Decryptor<aes::Aes128>>(&key(16), &iv, ciphertext),
        "AES-192-CBC" => open::<cbc::Decryptor<aes::Aes192>>(&key(24), &iv, ciphertext),
        "AES-256-CBC" => open::<cbc::Decryptor<aes::Aes256>>(&key(32), &iv, ciphertext),
        "DES-EDE3-CBC" => open::<cbc::Decryptor<des::TdesEde3>>(&key(24), &iv, ciphertext),
        "DES-CBC" => open::<cbc::Decryptor<des::Des>>(&key(8), &iv, ciphertext),
        other => return Err(KeyError::UnsupportedEncryption { algorithm: other.to_owned() }),
    };
    plain.ok_or(KeyError::WrongPassphrase)
}

fn open<C: KeyIvInit + BlockModeDecrypt>(key: &[u8], iv: &[u8], ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let cipher = C::new_from_slices(key, iv).ok()?;
    cipher.decrypt_padded_vec::<Pkcs7>(ciphertext).ok().map(Zeroizing::new)
}

/// OpenSSL's EVP_BytesToKey with MD5 and one iteration (crypto/evp/evp_key.c).
fn derive(passphrase: &[u8], salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(length + 16));
    let mut block: Vec<u8> = Vec::new();
    while key.len() < length {
        let mut hash = Md5::new();
        hash.update(&block);
        hash.update(passphrase);
        hash.update(salt);
        block = hash.finalize().to_vec();
        key.extend_from_slice(&block);
    }
    key.truncate(length);
    key
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
