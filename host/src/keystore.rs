//! A daemon's own files: identity, key shares, rosters. The folder is its
//! owner's alone (0700), each file too (0600), and each write is whole or not
//! at all.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use protocol::Rng;
use protocol::identity::Identity;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

/// A folder of private files.
#[derive(Clone, Debug)]
pub struct Keystore {
    dir: PathBuf,
}

impl Keystore {
    /// Opens the folder, and makes it if there is none.
    ///
    /// # Errors
    /// Where the folder cannot be made, or others may read it.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.with_context(|| format!("cannot make the folder {}", dir.display()))?;
        check_private(dir, 0o700)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The identity in the file `name`; a new one is drawn and kept if there
    /// is no such file.
    ///
    /// # Errors
    /// Where the file cannot be read or written, is no identity, or may be
    /// read by others.
    pub fn identity(&self, name: &str, rng: &mut Rng) -> anyhow::Result<Identity> {
        let path = self.dir.join(name);
        let Some(text) = self.read(name)? else {
            let identity = Identity::generate(rng);
            let seed = Zeroizing::new(hex::encode(identity.to_seed().as_ref()));
            self.write(name, seed.as_bytes())?;
            return Ok(identity);
        };
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim_ascii(), seed.as_mut()).map_err(|_| {
            anyhow::anyhow!("{} holds no identity: 64 hexadecimal digits", path.display())
        })?;
        Ok(Identity::from_seed(&seed))
    }

    /// What the file `name` holds; none if there is no such file.
    ///
    /// # Errors
    /// Where the file cannot be read, or others may read it.
    pub fn read(&self, name: &str) -> anyhow::Result<Option<Zeroizing<Vec<u8>>>> {
        let path = self.dir.join(name);
        match fs::read(&path) {
            Ok(bytes) => {
                check_private(&path, 0o600)?;
                Ok(Some(Zeroizing::new(bytes)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Replaces the file `name`, durably.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        self.replace(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The path of the file `name`, which is its owner's alone; an empty one is
    /// made if there is none.
    ///
    /// # Errors
    /// Where it cannot be made, or others may read it.
    pub fn private_file(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.dir.join(name);
        if !path.exists() {
            self.write(name, &[])?;
        }
        check_private(&path, 0o600)?;
        Ok(path)
    }

    /// Removes the file `name`, if there is one.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
        // A temporary file is its owner's alone from the start.
        let mut file = NamedTempFile::new_in(&self.dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(&self.dir)?.sync_all()?;
        Ok(())
    }
}

fn check_private(path: &Path, widest: u32) -> anyhow::Result<()> {
    let found = fs::metadata(path)?.permissions().mode() & 0o777;
    if found & !widest != 0 {
        bail!(
            "{} has mode {found:04o}, others may read it: `chmod {widest:04o} {}`",
            path.display(),
            path.display(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use std::fs::Permissions;

    fn keystore() -> (tempfile::TempDir, Keystore) {
        let dir = tempfile::tempdir().unwrap();
        let keystore = Keystore::open(&dir.path().join("state")).unwrap();
        (dir, keystore)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn an_identity_survives_a_restart() {
        let (_dir, keystore) = keystore();
        let mut rng = Rng::from_seed([1; 32]);
        let first = keystore.identity("identity.key", &mut rng).unwrap();
        let second = keystore.identity("identity.key", &mut rng).unwrap();
        assert_eq!(first.key(), second.key());
    }

    #[test]
    fn files_are_their_owners_alone() {
        let (_dir, keystore) = keystore();
        keystore.write("share", b"secret").unwrap();
        assert_eq!(mode(&keystore.dir().join("share")), 0o600);
        assert_eq!(mode(keystore.dir()), 0o700);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let (_dir, keystore) = keystore();
        keystore.write("share", b"secret").unwrap();
        let path = keystore.dir().join("share");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let error = keystore.read("share").unwrap_err().to_string();
        assert!(error.contains("mode 0644") && error.contains("chmod 0600"), "{error}");
    }

    #[test]
    fn an_identity_file_of_something_else_is_refused() {
        let (_dir, keystore) = keystore();
        keystore.write("identity.key", b"no key").unwrap();
        let refused = keystore.identity("identity.key", &mut Rng::from_seed([1; 32]));
        assert!(refused.unwrap_err().to_string().contains("holds no identity"));
    }
}
