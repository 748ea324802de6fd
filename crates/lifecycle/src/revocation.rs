//! The revocation lists in an authority's directory.

use dockseal_pki::{RevocationList, pem};
use dockseal_store::{Home, HomeError};

/// The lists that an authority keeps.
#[derive(Clone, Debug)]
pub struct KeptLists {
    /// Those that can be read.
    pub readable: Vec<RevocationList>,
    /// False where the file is damaged and holds more than could be read.
    pub is_whole: bool,
}

/// Reads them; where there are none, nothing is damaged.
///
/// # Errors
/// When the file cannot be read.
pub fn kept_lists(home: &Home) -> Result<KeptLists, HomeError> {
    let Some(file) = home.read_crls()? else { return Ok(KeptLists { readable: Vec::new(), is_whole: true }) };
    let blocks = pem::decode_all(&file.bytes).unwrap_or_default();
    let readable: Vec<RevocationList> =
        blocks.iter().filter_map(|block| RevocationList::from_der(block.contents())).collect();
    let is_whole = !readable.is_empty() && readable.len() == blocks.len();
    Ok(KeptLists { readable, is_whole })
}
