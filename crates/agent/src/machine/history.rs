//! What the agent has seen of the file systems.

use serde::{Deserialize, Serialize};

/// What it has seen of those that are mounted, since the start of the machine.
pub type History = Vec<Past>;

/// What it has seen of a file system at a mount point.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Past {
    /// The device's numbers, as `8:1`.
    pub device: String,
    pub mount_point: String,
    /// Whether it could be written to when it was first seen.
    pub was_writable: bool,
    /// The smallest number of errors that it has counted.
    pub errors: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    // A list of lists, as version 0.1.0 writes it.
    #[test]
    fn an_older_history_is_read() {
        let past = |device: &str, was_writable, errors| {
            let (device, mount_point) = (device.to_owned(), "/data".to_owned());
            Past { device, mount_point, was_writable, errors }
        };
        let history: History = vec![past("8:1", true, None), past("8:2", false, Some(3))];
        let older = r#"[["8:1","/data",true,null],["8:2","/data",false,3]]"#;
        assert_eq!(serde_json::from_str::<History>(older).ok(), Some(history.clone()));
        let json = serde_json::to_string(&history).expect("JSON");
        assert_eq!(serde_json::from_str::<History>(&json).ok(), Some(history));
    }
}
