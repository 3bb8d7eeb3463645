//! What the pages load besides: files whose names hold a hash of what is in them, so that a browser asks for each only once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

/// The style of every page.
pub const STYLE: &str = include_str!("style.css");

/// A file that never changes under its name.
pub struct Asset {
    /// Below the root.
    pub name: String,
    pub kind: &'static str,
    pub content: &'static str,
}

pub static STYLE_FILE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("style", "css", "text/css", STYLE));
pub static SCRIPT_FILE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("app", "js", "text/javascript", include_str!("app.js")));

impl Asset {
    fn new(stem: &str, end: &str, kind: &'static str, content: &'static str) -> Self {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        Self { name: format!("{stem}.{:016x}.{end}", hasher.finish()), kind, content }
    }
}
