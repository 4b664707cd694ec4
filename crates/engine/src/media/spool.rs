//! Where a customer's file lies until Meta has it.
//!
//! Meta wants a length in front, and we want to know type and size before Meta is asked; so an upload
//! is written to disk first, whatever its size, and memory holds only a piece of it. The file has no
//! name any more once it is open: however the process ends, nothing is left.

use std::io;
use std::path::Path;

use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use crate::entropy::Entropy;

/// A nameless file that is being written.
#[derive(Debug)]
pub struct Spool {
    file: File,
    length: u64,
}

impl Spool {
    /// Makes one in `folder`, which is made too where it is not there. Nobody else may read it.
    ///
    /// # Errors
    /// The disk's.
    pub async fn create(folder: &Path, entropy: &dyn Entropy) -> io::Result<Spool> {
        let mut random = [0u8; 16];
        entropy.fill(&mut random);
        let path = folder.join(format!("upload-{}", hex::encode(random)));
        let open = || {
            let mut options = File::options();
            options.read(true).write(true).create_new(true).mode(0o600);
            options
        };
        let file = match open().open(&path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tokio::fs::create_dir_all(folder).await?;
                open().open(&path).await?
            }
            opened => opened?,
        };
        tokio::fs::remove_file(&path).await?;
        Ok(Spool { file, length: 0 })
    }

    /// Writes on.
    ///
    /// # Errors
    /// The disk's: full, mostly.
    pub async fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece).await?;
        self.length += piece.len() as u64;
        Ok(())
    }

    /// Bytes so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The file from its beginning, and how long it is.
    ///
    /// # Errors
    /// The disk's.
    pub async fn into_file(mut self) -> io::Result<(File, u64)> {
        self.file.flush().await?;
        self.file.rewind().await?;
        Ok((self.file, self.length))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::entropy::SeededEntropy;

    #[tokio::test]
    async fn a_spooled_file_has_no_name_and_loses_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("spool");
        let mut spool = Spool::create(&place, &SeededEntropy::new(1)).await.expect("there is room");
        for _ in 0..1_000 {
            spool.write(&[7; 1_000]).await.expect("there is room");
        }
        assert_eq!(std::fs::read_dir(&place).expect("it was made").count(), 0, "nothing is left, however the process ends");
        let (mut file, length) = spool.into_file().await.expect("it can be rewound");
        let mut read = Vec::new();
        file.read_to_end(&mut read).await.expect("a file is read");
        assert_eq!((length, read.len()), (1_000_000, 1_000_000));
        assert!(read.iter().all(|byte| *byte == 7));
    }
}
