//! Where the API key comes from.

use anyhow::{Context, anyhow, bail, ensure};
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use ureq::http::HeaderValue;

/// Where the service's key is.
const USUAL: &str = "/etc/heartbeat/api-key";

/// The place of the key. It is read again for each heartbeat.
pub struct Key {
    file: Option<PathBuf>,
}

impl Key {
    pub const fn new(file: Option<PathBuf>) -> Self {
        Self { file }
    }

    /// Reads the key from the given file, from the environment, from its usual file or from the systemd credential, in
    /// this order.
    ///
    /// # Errors
    /// If there is none, or it cannot be sent.
    pub fn read(&self) -> anyhow::Result<HeaderValue> {
        let read = |file: &Path| {
            fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
        };
        let variable = env::var("HEARTBEAT_API_KEY").ok();
        let variable = variable.filter(|key| !key.is_empty());
        let credentials = env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let credential = credentials.map(|folder| folder.join("api-key"));
        let usual = PathBuf::from(USUAL);
        let key = match (&self.file, variable, credential) {
            (Some(file), _, _) => read(file)?,
            (None, Some(key), _) => key,
            // An older unit loads the credential from a file that only root can read.
            (None, None, Some(file)) if File::open(USUAL).is_err() && file.exists() => read(&file)?,
            (None, None, _) if usual.exists() => read(&usual)?,
            (None, None, _) => bail!(
                "no API key: pass --api-key-file, set HEARTBEAT_API_KEY, or write it to {USUAL}"
            ),
        };
        let key = key.trim();
        ensure!(!key.is_empty(), "the API key is empty");
        let key = HeaderValue::from_str(key);
        key.map_err(|_| anyhow!("the API key contains characters that no key has"))
    }
}
