//! The only reader of the environment, and the error of an invalid setting.

use chrono::TimeDelta;
use std::fmt;
use std::time::Duration;
use tables::Zone;

/// The value of an environment variable: the source of all settings outside tests.
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A source of variables: [`environment`], or a map in a test. A variable that is set and empty counts as absent.
pub struct Settings<F>(pub F);

impl<F: Fn(&str) -> Option<String>> Settings<F> {
    /// The value of a variable, if there is one.
    pub fn optional(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// # Errors
    /// If there is none.
    pub fn required(&self, name: &'static str) -> Result<String, InvalidSetting> {
        self.optional(name).ok_or_else(|| InvalidSetting::new(name, "it is not set"))
    }

    /// # Errors
    /// If it is not an `http` or `https` URL.
    pub fn url(&self, name: &'static str) -> Result<Option<String>, InvalidSetting> {
        let url = self.optional(name);
        if url.as_deref().is_none_or(|url| syntax::url::parse(url).is_ok()) {
            Ok(url)
        } else {
            Err(InvalidSetting::new(name, "it is not an http or https URL"))
        }
    }

    /// `PAGE_URL` (optional): where the page is, to which announcements link.
    ///
    /// # Errors
    /// If it is not an `http` or `https` URL, or has a character that a chat's markup would change.
    pub fn page_url(&self) -> Result<Option<String>, InvalidSetting> {
        const NAME: &str = "PAGE_URL";
        let url = self.url(NAME)?;
        let is_plain = |char: char| char.is_ascii_alphanumeric() || "-.:/_~%".contains(char);
        if url.as_ref().is_some_and(|url| !url.chars().all(is_plain)) {
            let reason = "it has other characters than letters, digits and -.:/_~%";
            return Err(InvalidSetting::new(NAME, reason));
        }
        Ok(url)
    }

    /// `TIME_ZONE` (default `UTC`): the zone of every time in words, by its IANA name.
    ///
    /// # Errors
    /// If there is no such zone.
    pub fn time_zone(&self) -> Result<Zone, InvalidSetting> {
        const NAME: &str = "TIME_ZONE";
        let zone = self.optional(NAME).map(|name| name.parse());
        zone.transpose()
            .map(Option::unwrap_or_default)
            .map_err(|error| InvalidSetting::new(NAME, error))
    }

    /// # Errors
    /// If it is not a whole number above 0.
    pub fn positive(&self, name: &'static str, default: u32) -> Result<u32, InvalidSetting> {
        let Some(value) = self.optional(name) else {
            return Ok(default);
        };
        value
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| InvalidSetting::new(name, "it is not a whole number above 0"))
    }

    /// # Errors
    /// If it is not a whole number.
    pub fn seconds(&self, name: &'static str, default: u32) -> Result<TimeDelta, InvalidSetting> {
        let seconds = self.optional(name).map_or(Ok(default), |value| value.parse());
        let seconds = seconds.map_err(|_| InvalidSetting::new(name, "it is not a whole number"))?;
        Ok(TimeDelta::seconds(seconds.into()))
    }

    /// # Errors
    /// If it is not a whole number.
    pub fn days(&self, name: &'static str, default: u32) -> Result<TimeDelta, InvalidSetting> {
        Ok(self.seconds(name, default)? * 86_400)
    }

    /// # Errors
    /// If it is not a whole number above 0.
    pub fn millis(&self, name: &'static str, default: u32) -> Result<Duration, InvalidSetting> {
        Ok(Duration::from_millis(self.positive(name, default)?.into()))
    }
}

/// An invalid setting, with which the function does not start. It never contains the setting's value.
#[derive(Debug)]
pub struct InvalidSetting {
    variable: &'static str,
    reason: String,
}

impl InvalidSetting {
    /// The variable, and why its value is invalid.
    pub fn new(variable: &'static str, reason: impl fmt::Display) -> Self {
        Self { variable, reason: reason.to_string() }
    }
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.reason)
    }
}

impl std::error::Error for InvalidSetting {}
