//! The services in a server's reading.

/// The services that do not run, in the order of [`Service`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Services {
    pub not_running: Vec<Service>,
    /// Whether the list is incomplete: there were more, or something in it could not be read.
    pub is_cut: bool,
}

/// A service. What needs attention first is the least.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    pub status: ServiceStatus,
    /// Its name, which may have been shortened.
    pub name: String,
    /// Why it does not run, in the agent's words, which may have been shortened.
    pub reason: Option<String>,
}

/// What a service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceStatus {
    Failed,
    Stopped,
    Unknown,
    Running,
}

impl ServiceStatus {
    pub const ALL: [Self; 4] = [Self::Failed, Self::Stopped, Self::Unknown, Self::Running];

    /// As an agent sends it, and as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
            Self::Running => "running",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}
