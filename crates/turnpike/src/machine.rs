//! What `doctor` learns of the machine: the data folder, the master key, the disk, the configuration.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use turnpike_web::operator::{Check, Machine};

/// The folder that a gateway keeps its data in, and what its configuration warned of.
pub(crate) struct DataFolder {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Problems of the configuration that do not forbid a start.
    pub(crate) warnings: Vec<String>,
}

/// Less free disk than this is a warning: a busy gateway writes some gigabytes a day.
const DISK_FREE_WANTED: u64 = 1 << 30;

impl Machine for DataFolder {
    fn checks(&self) -> Vec<Check> {
        let mut checks = vec![private("data folder", &self.folder, 0o077), private("master key", &self.folder.join("master.key"), 0o077)];
        checks.push(disk(&self.folder));
        checks.extend(self.warnings.iter().map(|warning| Check {
            name: "configuration".to_owned(),
            ok: true,
            detail: warning.clone(),
            advice: Some("See: turnpike config check".to_owned()),
        }));
        checks
    }
}

/// Nobody but the owner may read it.
fn private(name: &str, path: &Path, others: u32) -> Check {
    let name = name.to_owned();
    match std::fs::metadata(path) {
        Ok(found) if found.permissions().mode() & others == 0 => {
            Check { name, ok: true, detail: format!("{} is the owner's alone", path.display()), advice: None }
        }
        Ok(_) => Check {
            name,
            ok: false,
            detail: format!("{} can be read by others", path.display()),
            advice: Some(format!("chmod go-rwx {}", path.display())),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Check { name, ok: true, detail: format!("{} is not here; it is configured elsewhere", path.display()), advice: None }
        }
        Err(error) => Check {
            name,
            ok: false,
            detail: format!("{}: {error}", path.display()),
            advice: Some("Look at who owns the folder.".to_owned()),
        },
    }
}

fn disk(folder: &Path) -> Check {
    let name = "disk".to_owned();
    match rustix::fs::statvfs(folder) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let detail = format!("{} MiB free", free >> 20);
            let advice = (free < DISK_FREE_WANTED).then(|| "Make room: a full disk stops every send.".to_owned());
            Check { name, ok: advice.is_none(), detail, advice }
        }
        Err(error) => Check { name, ok: false, detail: error.to_string(), advice: Some("Look at the disk.".to_owned()) },
    }
}
