//! A disk as it may look after the power went: what was written and not synced
//! is lost, kept, or torn at a sector.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use protocol::Rng;
use rand::RngExt as _;

/// What a disk writes whole.
const SECTOR: usize = 512;

/// A folder in memory, where there is one: what an fsync does to the disk below
/// is of no matter here, and takes its time.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// One thing that was done to the files of a folder.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create(String),
    Write {
        name: String,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        name: String,
        length: usize,
    },
    /// A file; or the folder, by the name ".".
    Sync(String),
    Unlink(String),
    Rename {
        from: String,
        to: String,
    },
}

/// Reads what the shim wrote down.
pub(crate) fn read_log(path: &Path) -> Vec<Op> {
    let log = fs::read(path).unwrap();
    let (mut ops, mut rest) = (Vec::new(), log.as_slice());
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = std::str::from_utf8(&rest[..end]).unwrap();
        let words: Vec<_> = line.split(' ').collect();
        let (name, at) = (words[1].to_owned(), words[2].parse::<usize>().unwrap());
        rest = &rest[end + 1..];
        ops.push(match words[0] {
            "create" => Op::Create(name),
            "write" => {
                let (bytes, after) = rest.split_at(words[3].parse().unwrap());
                rest = after;
                Op::Write { name, at, bytes: bytes.to_vec() }
            }
            "truncate" => Op::Truncate { name, length: at },
            "sync" => Op::Sync(name),
            "unlink" => Op::Unlink(name),
            "rename" => {
                let (from, to) = name.split_once('>').unwrap();
                Op::Rename { from: from.to_owned(), to: to.to_owned() }
            }
            other => panic!("the shim says {other}"),
        });
    }
    ops
}

/// A disk, as far as it is certain, and what has not reached it.
#[derive(Default)]
pub(crate) struct Disk {
    files: Vec<File>,
    /// Names that are certain.
    names: BTreeMap<String, usize>,
    /// Changes of names that are not, in order.
    renamed: Vec<Naming>,
    /// Names as a process sees them.
    seen: BTreeMap<String, usize>,
}

#[derive(Default)]
struct File {
    bytes: Vec<u8>,
    waiting: Vec<Pending>,
}

enum Pending {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

enum Naming {
    Link(String, usize),
    Unlink(String),
}

impl Disk {
    /// A disk with an empty file.
    pub(crate) fn with(name: &str) -> Self {
        let mut disk = Self::default();
        disk.apply(&Op::Create(name.to_owned()));
        disk.apply(&Op::Sync(".".to_owned()));
        disk
    }

    /// Does what a process did.
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Create(name) => {
                self.files.push(File::default());
                self.link(name, self.files.len() - 1);
            }
            Op::Write { name, at, bytes } => {
                self.file(name).waiting.push(Pending::Write(*at, bytes.clone()));
            }
            Op::Truncate { name, length } => {
                self.file(name).waiting.push(Pending::Truncate(*length));
            }
            Op::Sync(name) if name == "." => {
                let names = &mut self.names;
                self.renamed.drain(..).for_each(|naming| naming.apply(names));
            }
            Op::Sync(name) => self.file(name).sync(),
            Op::Unlink(name) => {
                self.seen.remove(name);
                self.renamed.push(Naming::Unlink(name.clone()));
            }
            Op::Rename { from, to } => {
                let file = self.seen.remove(from).unwrap();
                self.link(to, file);
                self.renamed.push(Naming::Unlink(from.clone()));
            }
        }
    }

    fn link(&mut self, name: &str, file: usize) {
        self.seen.insert(name.to_owned(), file);
        self.renamed.push(Naming::Link(name.to_owned(), file));
    }

    fn file(&mut self, name: &str) -> &mut File {
        &mut self.files[self.seen[name]]
    }

    /// Writes the files as they may be after the power went now.
    pub(crate) fn crash(&self, rng: &mut Rng, to: &Path) {
        let mut names = self.names.clone();
        let kept = rng.random_range(0..=self.renamed.len());
        self.renamed[..kept].iter().for_each(|naming| naming.apply(&mut names));
        // Of a hundred writes: none, all, or some of them.
        let survive = [0, 30, 70, 95, 100][rng.random_range(0..5)];
        let torn = rng.random();
        for (name, file) in names {
            fs::write(to.join(name), self.files[file].crashed(rng, survive, torn)).unwrap();
        }
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link(name, file) => names.insert(name.clone(), *file),
            Self::Unlink(name) => names.remove(name),
        };
    }
}

impl File {
    fn sync(&mut self) {
        for pending in self.waiting.drain(..) {
            pending.apply(&mut self.bytes, |_| true);
        }
    }

    fn crashed(&self, rng: &mut Rng, survive: u32, torn: bool) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for pending in &self.waiting {
            let whole = rng.random_ratio(survive, 100);
            pending
                .apply(&mut bytes, |_| if torn { rng.random_ratio(survive, 100) } else { whole });
        }
        bytes
    }
}

impl Pending {
    /// Does it to the sectors that are kept.
    fn apply(&self, file: &mut Vec<u8>, mut keeps: impl FnMut(usize) -> bool) {
        match self {
            Self::Truncate(length) => {
                if keeps(0) {
                    file.resize(*length, 0);
                }
            }
            Self::Write(at, bytes) => {
                let mut done = 0;
                while done < bytes.len() {
                    let start = at + done;
                    let length = (SECTOR - start % SECTOR).min(bytes.len() - done);
                    if keeps(start / SECTOR) {
                        file.resize(file.len().max(start + length), 0);
                        file[start..start + length].copy_from_slice(&bytes[done..done + length]);
                    }
                    done += length;
                }
            }
        }
    }
}
