//! The generations of an authority in its home: which one signs, which ones endpoints trust, and where each one's files
//! are.
//!
//! The first lies where an authority always lay; each later one has a directory of its own, `generation-N`. Which counts
//! is said by `generations.json` alone, one small file that is replaced as a whole: a generation that it does not name
//! and that is newer than the one that signs was left by a killed run, and is removed by the next.

use std::{fs, path::PathBuf};

use dockseal_docker::{Contents, FilePlan, PlannedFile, layout};
use dockseal_pki::Certificate;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    Existing, Home, HomeError, Placed, ReadError,
    deliver::{deliver, remove_stale},
    directory::Directory,
    home::{CA_FILE, ISSUER_FILE, KEY_FILE, second_name},
    read,
    remove::{remove, remove_tree},
    replacement::replace_for,
};

const GENERATIONS_FILE: &str = "generations.json";
const DIRECTORY_PREFIX: &str = "generation-";
/// A generation's cross-certificate, and what leads from there to the anchor of the one before.
pub(crate) const CROSS_FILE: &str = "cross.pem";
const SCHEMA: u32 = 1;

/// Which generations of an authority count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generations {
    /// The one that signs.
    pub signing: u32,
    /// Those whose anchors endpoints are given, the one that signs among them.
    pub trusted: Vec<u32>,
    /// The change that is under way.
    pub change: Option<Change>,
}

/// One generation taking over from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The one that all are to leave.
    pub from: u32,
    /// The one that all are to reach: the newer one, or, when the roll-over is taken back, the older one again.
    pub toward: u32,
}

impl Change {
    /// Whether a newer generation is given up again.
    pub fn is_taken_back(self) -> bool {
        self.toward < self.from
    }
}

impl Generations {
    /// A single generation, and nothing under way.
    pub fn only(number: u32) -> Self {
        Self { signing: number, trusted: vec![number], change: None }
    }

    /// The one that all are to reach.
    pub fn goal(&self) -> u32 {
        self.change.map_or(self.signing, |change| change.toward)
    }

    /// Whether the one that is left is not trusted any more: the last step of a change.
    pub fn is_concluding(&self) -> bool {
        self.change.is_some_and(|change| !self.trusted.contains(&change.from))
    }

    /// Whether the leaves of the one that signs are accepted, thanks to its cross-certificate, by who only trusts the one
    /// before.
    fn needs_link(&self) -> Option<Change> {
        self.change.filter(|change| {
            !change.is_taken_back() && change.toward == self.signing && self.trusted.contains(&change.from)
        })
    }

    fn is_sound(&self) -> bool {
        let change = self.change.is_none_or(|change| {
            change.from != change.toward && change.from > 0 && self.trusted.contains(&change.toward)
        });
        self.signing > 0 && self.trusted.contains(&self.signing) && !self.trusted.contains(&0) && change
    }
}

/// The file's form.
#[derive(Serialize, Deserialize)]
struct Wire {
    schema: u32,
    signing: u32,
    trusted: Vec<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    toward: Option<u32>,
}

impl Home {
    /// Which generations count; the first alone where nothing says otherwise.
    ///
    /// # Errors
    /// When the file that says it cannot be read or understood.
    pub fn generations(&self) -> Result<Generations, HomeError> {
        let path = self.path().join(GENERATIONS_FILE);
        let bytes = match read(&path) {
            Ok(file) => file.bytes,
            Err(error) if error.is_not_found() => return Ok(Generations::only(1)),
            Err(error) => return Err(HomeError::Read(error)),
        };
        let unreadable = |detail: String| HomeError::Generations { path: path.clone(), detail };
        let wire: Wire = serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
        if wire.schema != SCHEMA {
            return Err(unreadable(format!("its schema is {}, and this program knows {SCHEMA}", wire.schema)));
        }
        let change = match (wire.from, wire.toward) {
            (Some(from), Some(toward)) => Some(Change { from, toward }),
            _ => None,
        };
        let generations = Generations { signing: wire.signing, trusted: wire.trusted, change };
        if generations.is_sound() {
            Ok(generations)
        } else {
            Err(unreadable("what it says does not fit together".to_owned()))
        }
    }

    /// Says which generations count from now on, at one instant.
    ///
    /// # Errors
    /// When the system refuses; then what counted before still does.
    pub fn set_generations(&self, generations: &Generations) -> Result<(), HomeError> {
        let wire = Wire {
            schema: SCHEMA,
            signing: generations.signing,
            trusted: generations.trusted.clone(),
            from: generations.change.map(|change| change.from),
            toward: generations.change.map(|change| change.toward),
        };
        let path = self.path().join(GENERATIONS_FILE);
        let text = serde_json::to_string(&wire)
            .map_err(|error| HomeError::Generations { path: path.clone(), detail: error.to_string() })?;
        let ownership = self.ownership()?;
        replace_for(&path, layout::PUBLIC_MODE, format!("{text}\n").as_bytes(), ownership).map_err(HomeError::Write)
    }

    /// Writes a new generation, whole or not at all; nothing uses it until
    /// [`set_generations`](Self::set_generations) names it.
    ///
    /// # Errors
    /// When it is there already or the system refuses.
    pub fn add_generation(
        &self,
        number: u32,
        anchor: &Certificate,
        key_pem: Zeroizing<String>,
        link: &[Certificate],
    ) -> Result<(), HomeError> {
        let mut files = vec![
            PlannedFile::public(CA_FILE, layout::PUBLIC_MODE, anchor.to_pem()),
            PlannedFile { path: KEY_FILE.to_owned(), mode: 0o400, contents: Contents::Secret(key_pem) },
        ];
        if !link.is_empty() {
            let pem = link.iter().map(Certificate::to_pem).collect();
            files.push(PlannedFile::public(CROSS_FILE, layout::PUBLIC_MODE, pem));
        }
        let plan = FilePlan { directory_mode: layout::DIRECTORY_MODE, files, ownership: self.ownership()? };
        deliver(&plan, &self.generation_path(number), Existing::Keep).and_then(Placed::check).map_err(HomeError::Write)
    }

    /// Puts a newer certificate of a generation that signs itself in the place of the one that is there, at one instant. That one
    /// is kept beside it; where, comes back. The caller has the authority's lock.
    ///
    /// # Errors
    /// When the system refuses; then the old one is where it was.
    pub fn renew_generation(&self, number: u32, certificate: &Certificate) -> Result<PathBuf, HomeError> {
        let path = self.generation_path(number).join(CA_FILE);
        let kept = Directory::open(&self.generation_path(number))
            .and_then(|directory| second_name(&directory, CA_FILE, "previous"))
            .map_err(HomeError::Write)?;
        replace_for(&path, layout::PUBLIC_MODE, certificate.to_pem().as_bytes(), self.ownership()?)
            .map_err(HomeError::Write)?;
        Ok(path.with_file_name(kept))
    }

    /// Removes what killed runs have left: generations that nothing names and that are newer than the one that signs.
    /// Their numbers come back. The caller has the authority's lock.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove_unused_generations(&self) -> Result<Vec<u32>, HomeError> {
        let counting = self.generations()?;
        let directory = |source| HomeError::Read(ReadError::Io { path: self.path().to_owned(), source });
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.path()).map_err(directory)? {
            let entry = entry.map_err(directory)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            numbers.extend(number_in(&name));
            if name.starts_with(&format!(".{GENERATIONS_FILE}.dockseal-")) {
                remove(&entry.path()).map_err(HomeError::Write)?;
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        let mut removed = Vec::new();
        for number in numbers {
            let path = self.generation_path(number);
            remove_stale(&path).map_err(HomeError::Write)?;
            let is_named = counting.trusted.contains(&number)
                || counting.change.is_some_and(|change| change.from == number || change.toward == number);
            if is_named || number <= counting.signing || !path.exists() {
                continue;
            }
            remove_tree(&path).map_err(HomeError::Write)?;
            removed.push(number);
        }
        Ok(removed)
    }

    /// The numbers of the generations that are here, in order: those that count, and those before them.
    ///
    /// # Errors
    /// When the home cannot be read.
    pub fn known_generations(&self) -> Result<Vec<u32>, HomeError> {
        let counting = self.generations()?;
        let changing = counting.change.map_or([0, 0], |change| [change.from, change.toward]);
        let last = counting.trusted.iter().copied().chain(changing).max().unwrap_or(1).max(counting.signing);
        // By the directory, and not by counting: a number there is anybody's who wrote generations.json.
        let home = Directory::open(self.path()).map_err(HomeError::Write)?;
        let names = home.names().map_err(HomeError::Write)?;
        let later =
            names.iter().filter_map(|name| name.to_str()).filter(|name| !name.contains('.')).filter_map(number_in);
        let mut numbers: Vec<u32> = std::iter::once(1).chain(later.filter(|number| *number <= last)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| self.generation_path(*number).join(CA_FILE).exists());
        Ok(numbers)
    }

    /// Where a generation's files are.
    pub fn generation_path(&self, number: u32) -> PathBuf {
        if number == 1 { self.path().to_owned() } else { self.path().join(format!("{DIRECTORY_PREFIX}{number}")) }
    }

    /// The PEM of a generation's certificate, then of those above it up to its anchor.
    ///
    /// # Errors
    /// When a file is missing or cannot be read.
    pub fn read_chain_of(&self, number: u32) -> Result<Vec<u8>, HomeError> {
        let mut chain = self.read_optional(number, ISSUER_FILE)?.unwrap_or_default();
        chain.extend(self.read_part(number, CA_FILE)?.0.bytes.iter());
        Ok(chain)
    }

    /// The PEM of a generation's cross-certificate, then of what leads from there to the anchor of the one before; `None`
    /// where it has none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_link(&self, number: u32) -> Result<Option<Vec<u8>>, HomeError> {
        if number == 1 { Ok(None) } else { self.read_optional(number, CROSS_FILE) }
    }

    /// The PEM of what follows each leaf in place of the issuers' own certificates, while others trust only the
    /// generation before.
    pub(crate) fn link_in_use(&self, generations: &Generations) -> Result<Vec<u8>, HomeError> {
        match generations.needs_link() {
            Some(change) => self.read_link(change.toward).map(Option::unwrap_or_default),
            None => Ok(Vec::new()),
        }
    }

    fn read_optional(&self, number: u32, file: &'static str) -> Result<Option<Vec<u8>>, HomeError> {
        match self.read_part(number, file) {
            Ok((opened, _)) => Ok(Some(opened.bytes.to_vec())),
            Err(HomeError::Incomplete { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    pub(crate) fn read_part(&self, number: u32, file: &'static str) -> Result<(crate::OpenedFile, PathBuf), HomeError> {
        let directory = self.generation_path(number);
        let path = directory.join(file);
        match read(&path) {
            Ok(opened) => Ok((opened, path)),
            Err(error) if error.is_not_found() => Err(HomeError::Incomplete { path: directory, file }),
            Err(error) => Err(HomeError::Read(error)),
        }
    }
}

/// The number in `generation-N`, or in the name of what was staged beside it.
fn number_in(name: &str) -> Option<u32> {
    let rest = name.trim_start_matches('.').strip_prefix(DIRECTORY_PREFIX)?;
    let digits = rest.split('.').next()?;
    digits.parse().ok().filter(|number| *number > 1)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test")]

    use super::*;
    use crate::replace;

    fn home() -> (tempfile::TempDir, Home) {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path().to_owned());
        (directory, home)
    }

    #[test]
    fn what_counts_is_kept_and_the_first_alone_is_where_nothing_is_said() {
        let (_directory, home) = home();
        assert_eq!(home.generations().unwrap(), Generations::only(1));
        let between = Generations { signing: 1, trusted: vec![1, 2], change: Some(Change { from: 1, toward: 2 }) };
        for generations in [between, Generations::only(2)] {
            home.set_generations(&generations).unwrap();
            assert_eq!(home.generations().unwrap(), generations);
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let (_directory, home) = home();
        let path = home.path().join(GENERATIONS_FILE);
        for text in [
            "",
            "{}",
            r#"{"schema":2,"signing":1,"trusted":[1]}"#,
            r#"{"schema":1,"signing":1,"trusted":[2]}"#,
            r#"{"schema":1,"signing":0,"trusted":[0]}"#,
            r#"{"schema":1,"signing":1,"trusted":[1],"from":1,"toward":2}"#,
            r#"{"schema":1,"signing":-1,"trusted":[]}"#,
        ] {
            replace(&path, 0o644, text.as_bytes()).unwrap();
            assert!(matches!(home.generations(), Err(HomeError::Generations { .. })), "{text}");
        }
    }

    /// Whoever writes generations.json gives a number, and not the time that a run takes.
    #[test]
    fn generations_are_not_counted_to() {
        let (_directory, home) = home();
        for number in [1, 2, 3, 10, u32::MAX] {
            let path = home.generation_path(number);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join(CA_FILE), "").unwrap();
        }
        fs::create_dir(home.generation_path(4)).unwrap();
        home.set_generations(&Generations { signing: 2, trusted: vec![2, 10], change: None }).unwrap();
        assert_eq!(home.known_generations().unwrap(), [1, 2, 3, 10]);
        home.set_generations(&Generations { signing: 2, trusted: vec![2, u32::MAX], change: None }).unwrap();
        let started = std::time::Instant::now();
        assert_eq!(home.known_generations().unwrap(), [1, 2, 3, 10, u32::MAX]);
        assert!(started.elapsed() < std::time::Duration::from_secs(10));
    }

    #[test]
    fn generations_that_nothing_names_are_removed() {
        let (_directory, home) = home();
        let name = |number| home.generation_path(number);
        for number in [2, 3, 4] {
            fs::create_dir(name(number)).unwrap();
        }
        home.set_generations(&Generations {
            signing: 2,
            trusted: vec![2, 3],
            change: Some(Change { from: 2, toward: 3 }),
        })
        .unwrap();
        assert_eq!(home.remove_unused_generations().unwrap(), [4]);
        assert!(name(2).exists() && name(3).exists() && !name(4).exists());
        home.set_generations(&Generations::only(3)).unwrap();
        assert_eq!(home.remove_unused_generations().unwrap(), Vec::<u32>::new());
        assert_eq!(
            ["generation-7", ".generation-7.dockseal-0", "generation-x", "generation-1"].map(number_in),
            [Some(7), Some(7), None, None]
        );
    }
}
