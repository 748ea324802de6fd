//! Plans as one file: a tar that any tar unpacks (POSIX ustar), the same octets for the same plans.

use std::io;

use dockseal_docker::{Contents, FilePlan, PlannedFile, layout};
use tar::{Builder, EntryType, Header};
use zeroize::Zeroizing;

/// A tar's blocks are this large, and so is what each file has in front of it.
const BLOCK: usize = 512;

/// Packs plans, each below a directory of the tar, `/` between the parts and nothing for its top.
///
/// Files keep their modes, and their owner where one was given; the moment is always 1970-01-01, so that nothing but what is
/// in it tells two tars apart.
///
/// # Errors
/// When a path or an owner does not fit into ustar.
pub fn pack(plans: &[(String, FilePlan)]) -> io::Result<Zeroizing<Vec<u8>>> {
    // All at once: a buffer that grows leaves copies of keys behind.
    let directories = plans.iter().map(|(directory, _)| directory.split('/').count()).sum::<usize>();
    let contents = plans.iter().flat_map(|(_, plan)| &plan.files).map(|file| file.contents.bytes().len() + 2 * BLOCK);
    let size = contents.sum::<usize>() + (directories + 2) * BLOCK;
    let mut packed = Zeroizing::new(Vec::with_capacity(size));
    let mut tar = Builder::new(&mut *packed);
    let mut made: Vec<&str> = Vec::new();
    for (directory, plan) in plans {
        let ends = directory.match_indices('/').map(|(end, _)| end).chain([directory.len()]);
        for path in ends.filter_map(|end| directory.get(..end)).filter(|path| !path.is_empty()) {
            if !made.contains(&path) {
                made.push(path);
                let mode = if path == directory { plan.directory_mode } else { layout::OPEN_DIRECTORY_MODE };
                let mut header = header(EntryType::Directory, mode, plan)?;
                tar.append_data(&mut header, format!("{path}/"), io::empty())?;
            }
        }
        for file in &plan.files {
            let path = if directory.is_empty() { file.path.clone() } else { format!("{directory}/{}", file.path) };
            append(&mut tar, &path, file, plan)?;
        }
    }
    tar.into_inner()?;
    Ok(packed)
}

fn append(tar: &mut Builder<&mut Vec<u8>>, path: &str, file: &PlannedFile, plan: &FilePlan) -> io::Result<()> {
    match &file.contents {
        Contents::Gone => Ok(()),
        Contents::Link(target) => tar.append_link(&mut header(EntryType::Symlink, 0o777, plan)?, path, target),
        contents => {
            let bytes = contents.bytes();
            let mut header = header(EntryType::Regular, file.mode, plan)?;
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, path, bytes)
        }
    }
}

fn header(kind: EntryType, mode: u32, plan: &FilePlan) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(plan.ownership.user.unwrap_or(0).into());
    header.set_gid(plan.ownership.group.unwrap_or(0).into());
    header.set_mtime(0);
    header.set_size(0);
    header.set_device_major(0)?;
    header.set_device_minor(0)?;
    Ok(header)
}
