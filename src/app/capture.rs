//! The file that a server records what passes in.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use super::config::CaptureFile;
use super::failure::Failure;
use crate::policy::capture::{Capture, Ended};

/// Makes it, readable for its owner only: it holds payloads. One that is there is never written over.
pub fn open(setting: &CaptureFile) -> Result<(Arc<Capture>, Ended), Failure> {
    let path = setting.path.display();
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&setting.path);
    let (capture, ended) =
        file.and_then(|file| Capture::to(file, setting.most)).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Failure::cannot(format!("{path} is there already; a capture is never written over"))
            }
            _ => Failure::cannot(format!("{path} cannot be written: {error}")),
        })?;
    tracing::warn!(file = %path, most = setting.most, "what passes is recorded, payloads included");
    Ok((Arc::new(capture), ended))
}
