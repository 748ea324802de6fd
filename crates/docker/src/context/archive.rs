//! The archive that `docker context export` writes and `docker context import` reads.
//!
//! Source: docker/cli cli/context/store/store.go (`Export`), Go's archive/tar for the octets of a header.

use std::fmt;

use zeroize::Zeroizing;

use super::Meta;

const BLOCK: usize = 512;
/// What a header has room for of a path, and of the directories before it (POSIX pax, "ustar Interchange Format").
const NAME: usize = 100;
const PREFIX: usize = 155;

/// A path that no header has room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongPath(
    /// The path in the archive.
    pub String,
);

impl fmt::Display for LongPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the path {} is too long for an archive", self.0)
    }
}

impl std::error::Error for LongPath {}

/// The TLS files of one endpoint of a context.
pub struct EndpointFiles {
    /// Its name.
    pub endpoint: String,
    /// Their names and contents, in the order of their names.
    pub files: Vec<(String, Zeroizing<Vec<u8>>)>,
}

/// A context as docker exports it: meta.json, then each endpoint's TLS files. The last file is not padded and nothing marks the end, because docker closes its pipe before it ends the archive.
///
/// # Errors
/// An endpoint or a file has too long a name.
pub fn archive(meta: &Meta, endpoints: &[EndpointFiles]) -> Result<Zeroizing<Vec<u8>>, LongPath> {
    let json = meta.to_exported_json();
    let files = endpoints.iter().flat_map(|endpoint| &endpoint.files);
    let capacity = files.map(|(_, bytes)| bytes.len() + 3 * BLOCK).sum::<usize>() + json.len() + 8 * BLOCK;
    // In one piece: what grows is copied, and its old places keep a key.
    let mut archive = Zeroizing::new(Vec::with_capacity(capacity));
    entry(&mut archive, "meta.json", 0o644, Kind::File, json.as_bytes())?;
    entry(&mut archive, "tls", 0o700, Kind::Directory, &[])?;
    for EndpointFiles { endpoint, files } in endpoints {
        entry(&mut archive, &format!("tls/{endpoint}"), 0o700, Kind::Directory, &[])?;
        for (name, bytes) in files {
            entry(&mut archive, &format!("tls/{endpoint}/{name}"), 0o600, Kind::File, bytes)?;
        }
    }
    Ok(archive)
}

/// A path as a header holds it: the directories for which there is no room beside the name, and the rest.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= NAME {
        return Some(("", path));
    }
    // As late as the directories fit, as Go does it (archive/tar writer.go `splitUSTARPath`).
    let (at, _) = path.match_indices('/').take_while(|(at, _)| *at <= PREFIX).last()?;
    let (prefix, name) = (&path[..at], &path[at + 1..]);
    (!name.is_empty() && name.len() <= NAME).then_some((prefix, name))
}

#[derive(Clone, Copy)]
enum Kind {
    File,
    Directory,
}

/// A ustar header without owner names and with time 0, then the contents; what came before is padded first.
fn entry(archive: &mut Vec<u8>, path: &str, mode: u32, kind: Kind, contents: &[u8]) -> Result<(), LongPath> {
    let (prefix, name) = split(path).ok_or_else(|| LongPath(path.to_owned()))?;
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    let mut header = [0_u8; BLOCK];
    let mut put = |offset: usize, bytes: &[u8]| {
        for (to, from) in header.iter_mut().skip(offset).zip(bytes) {
            *to = *from;
        }
    };
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{:011o}", contents.len()).as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(
        156,
        match kind {
            Kind::File => b"0",
            Kind::Directory => b"5",
        },
    );
    put(257, b"ustar\x0000");
    put(329, b"0000000");
    put(337, b"0000000");
    put(345, prefix.as_bytes());
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let checksum = format!("{sum:06o}\0 ");
    for (to, from) in header.iter_mut().skip(148).zip(checksum.as_bytes()) {
        *to = *from;
    }
    archive.extend_from_slice(&header);
    archive.extend_from_slice(contents);
    Ok(())
}
