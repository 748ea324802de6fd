//! The archive that `docker context export` writes and `docker context import` reads.
//!
//! Source: docker/cli cli/context/store/store.go (`Export`), Go's archive/tar for the octets of a header.

use zeroize::Zeroizing;

use super::Meta;

const BLOCK: usize = 512;

/// The TLS files of one endpoint of a context.
pub struct EndpointFiles {
    /// Its name.
    pub endpoint: String,
    /// Their names and contents, in the order of their names.
    pub files: Vec<(String, Zeroizing<Vec<u8>>)>,
}

/// A context as docker exports it: meta.json, then each endpoint's TLS files. The last file is not padded and nothing marks the end, because docker closes its pipe before it ends the archive.
#[must_use]
pub fn archive(meta: &Meta, endpoints: &[EndpointFiles]) -> Zeroizing<Vec<u8>> {
    let json = meta.to_exported_json();
    let files = endpoints.iter().flat_map(|endpoint| &endpoint.files);
    let capacity = files.map(|(_, bytes)| bytes.len() + 3 * BLOCK).sum::<usize>() + json.len() + 8 * BLOCK;
    // In one piece: what grows is copied, and its old places keep a key.
    let mut archive = Zeroizing::new(Vec::with_capacity(capacity));
    entry(&mut archive, "meta.json", 0o644, Kind::File, json.as_bytes());
    entry(&mut archive, "tls", 0o700, Kind::Directory, &[]);
    for EndpointFiles { endpoint, files } in endpoints {
        entry(&mut archive, &format!("tls/{endpoint}"), 0o700, Kind::Directory, &[]);
        for (name, bytes) in files {
            entry(&mut archive, &format!("tls/{endpoint}/{name}"), 0o600, Kind::File, bytes);
        }
    }
    archive
}

#[derive(Clone, Copy)]
enum Kind {
    File,
    Directory,
}

/// A ustar header without owner names and with time 0, then the contents; what came before is padded first.
fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, kind: Kind, contents: &[u8]) {
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    let mut header = [0_u8; BLOCK];
    let mut put = |offset: usize, bytes: &[u8]| {
        for (to, from) in header.iter_mut().skip(offset).zip(bytes) {
            *to = *from;
        }
    };
    put(0, name.as_bytes().get(..100).unwrap_or(name.as_bytes()));
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
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let checksum = format!("{sum:06o}\0 ");
    for (to, from) in header.iter_mut().skip(148).zip(checksum.as_bytes()) {
        *to = *from;
    }
    archive.extend_from_slice(&header);
    archive.extend_from_slice(contents);
}
