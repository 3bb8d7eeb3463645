//! The keys table: digests of the keys that are accepted, and what each of them allows.

use crate::{GROUP, Group, Item, SERVER_ID, ServerId, text};
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use chrono::{DateTime, Utc};
use std::fmt;
use std::str::FromStr;

/// The start of every key. 43 characters of base64url follow: 256 random bits.
pub const PREFIX: &str = "hb_";
const SECRET_LENGTH: usize = 43;

/// The start of the keys that HomelabCmd issues. 8 hex digits, an underscore and 64 hex digits follow.
const HOMELABCMD_PREFIX: &str = "hlh_ag_";

pub(crate) const KEY_SHA256: &str = "key_sha256";
const EXPIRES_AT: &str = "expires_at";

/// Whether a key has the format of those in the table: this project's or HomelabCmd's. Only such keys are looked up, so
/// other guesses cost no read.
#[must_use]
pub fn has_format(presented: &[u8]) -> bool {
    let is_base64url = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    if let Some(secret) = presented.strip_prefix(PREFIX.as_bytes()) {
        return secret.len() == SECRET_LENGTH && secret.iter().all(is_base64url);
    }
    let is_hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    let rest = presented.strip_prefix(HOMELABCMD_PREFIX.as_bytes());
    rest.and_then(|rest| rest.split_at_checked(8))
        .and_then(|(id, rest)| Some((id, rest.strip_prefix(b"_")?)))
        .is_some_and(|(id, secret)| secret.len() == 64 && is_hex(id) && is_hex(secret))
}

/// The servers that a key may write for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One server.
    Server(ServerId),
    /// All servers whose id begins so and is longer; stored as the prefix and `*`, which is in no id.
    Prefix(Prefix),
}

/// The start of servers' ids: 2 to 60 characters from `a-z`, `0-9` and `-`, the last one `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix(ServerId);

impl Scope {
    /// Whether a key of this scope may write for this server.
    #[must_use]
    pub fn has(&self, server_id: &ServerId) -> bool {
        match self {
            Self::Server(server) => server == server_id,
            Self::Prefix(prefix) => {
                let rest = server_id.as_str().strip_prefix(prefix.as_str());
                rest.is_some_and(|rest| !rest.is_empty())
            }
        }
    }
}

impl Prefix {
    /// The maximum length, characters. What follows has room in an id.
    pub const MAX_LENGTH: usize = 60;

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Prefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_prefix = (2..=Self::MAX_LENGTH).contains(&text.len()) && text.ends_with('-');
        let id = is_prefix.then(|| ServerId::new(text).ok()).flatten();
        id.map(Self).ok_or("a prefix has 2 to 60 characters from a-z, 0-9 and -, and ends with -")
    }
}

impl FromStr for Scope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_suffix('*') {
            Some(prefix) => prefix.parse().map(Self::Prefix),
            None => text.parse().map(Self::Server),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => server.fmt(f),
            Self::Prefix(prefix) => write!(f, "{}*", prefix.as_str()),
        }
    }
}

/// A key as the table holds it.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// The digest of the key, in hex.
    pub key_sha256: String,
    /// The servers that it may write for; `None` means any.
    pub scope: Option<Scope>,
    /// The group of those that have none.
    pub group: Option<Group>,
    pub label: Option<String>,
    pub created_at: Option<String>,
    pub expires_at: Option<DateTime<Utc>>,
    /// The attributes that cannot be read. If there is one, the key grants no access.
    pub malformed: Vec<&'static str>,
}

impl StoredKey {
    /// Reads an item. What cannot be read is left out, and named in `malformed`.
    #[must_use]
    pub fn from_item(item: &Item) -> Self {
        let scope = text(item, SERVER_ID).and_then(|scope| scope.parse().ok());
        let group = text(item, GROUP).and_then(|group| Group::new(&group));
        let expires_at = item
            .get(EXPIRES_AT)
            .and_then(|value| DateTime::from_timestamp(value.as_n().ok()?.parse().ok()?, 0));
        let is_read = [
            (SERVER_ID, scope.is_some()),
            (GROUP, group.is_some()),
            (EXPIRES_AT, expires_at.is_some()),
        ];
        let unread = is_read.into_iter().filter(|(_, is_read)| !is_read);
        let malformed = unread.map(|(name, _)| name).filter(|name| item.contains_key(*name));
        Self {
            malformed: malformed.collect(),
            key_sha256: text(item, KEY_SHA256).unwrap_or_default(),
            scope,
            group,
            label: text(item, "label"),
            created_at: text(item, "created_at"),
            expires_at,
        }
    }

    /// Whether the item has a server that cannot be read.
    #[must_use]
    pub fn has_malformed_server(&self) -> bool {
        self.malformed.contains(&SERVER_ID)
    }

    /// Whether the item has an expiry that cannot be read.
    #[must_use]
    pub fn has_malformed_expiry(&self) -> bool {
        self.malformed.contains(&EXPIRES_AT)
    }

    /// Finds a key by its digest, in hex.
    #[must_use]
    pub fn find(get: GetItemFluentBuilder, key_sha256: String) -> GetItemFluentBuilder {
        get.key(KEY_SHA256, S(key_sha256))
    }

    /// Stores a new key.
    #[must_use]
    pub fn add(&self, put: PutItemFluentBuilder) -> PutItemFluentBuilder {
        let scope = self.scope.as_ref().map(|scope| S(scope.to_string()));
        let group = self.group.as_ref().map(|group| S(group.to_string()));
        let expires_at = self.expires_at.map(|at| N(at.timestamp().to_string()));
        let attributes = [
            (KEY_SHA256, Some(S(self.key_sha256.clone()))),
            (SERVER_ID, scope),
            (GROUP, group),
            ("label", self.label.clone().map(S)),
            ("created_at", self.created_at.clone().map(S)),
            (EXPIRES_AT, expires_at),
        ];
        let present =
            attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        put.set_item(Some(present.collect()))
            .condition_expression("attribute_not_exists(key_sha256)")
    }

    /// Deletes the key.
    #[must_use]
    pub fn revoke(&self, delete: DeleteItemFluentBuilder) -> DeleteItemFluentBuilder {
        delete.key(KEY_SHA256, S(self.key_sha256.clone()))
    }

    /// Sets the expiry of the key, on condition that the key exists and does not expire earlier.
    #[must_use]
    pub fn expire(
        &self,
        update: UpdateItemFluentBuilder,
        at: DateTime<Utc>,
    ) -> UpdateItemFluentBuilder {
        update
            .key(KEY_SHA256, S(self.key_sha256.clone()))
            .update_expression("SET expires_at = :at")
            .condition_expression(
                "attribute_exists(key_sha256) AND \
                 (attribute_not_exists(expires_at) OR expires_at > :at)",
            )
            .expression_attribute_values(":at", N(at.timestamp().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // C2.7
    #[test]
    fn a_key_with_a_prefix_is_for_all_longer_ids() {
        let long = "x".repeat(59);
        for (scope, server, is_in) in [
            ("web-1", "web-1", true),
            ("web-1", "web-12", false),
            ("web-*", "web-1", true),
            ("web-*", "web-i-0abc", true),
            ("web-*", "web--", true),
            ("web-*", "web-", false),
            ("web-*", "web", false),
            ("web-*", "webx-1", false),
            ("web-*", "a-web-1", false),
            ("--*", "--1", true),
            (&format!("{long}-*"), &format!("{long}-1"), true),
        ] {
            let scope: Scope = scope.parse().expect(scope);
            let server = ServerId::new(server).expect(server);
            assert_eq!(scope.has(&server), is_in, "{scope} {server}");
        }
        let too_long = format!("x{long}-*");
        let scopes =
            ["", "*", "-*", "w*", "web*", "web-**", "*-", "We-*", "web-*-", "é-*", &too_long];
        for scope in scopes {
            assert!(scope.parse::<Scope>().is_err(), "{scope}");
        }
    }

    // C2.8
    #[test]
    fn only_keys_in_the_table_format_are_looked_up() {
        let secret = "Az09-_".repeat(7) + "x";
        let hex = "0123456789abcdefABCDEF0123456789".repeat(2);
        for (presented, is_looked_up) in [
            (format!("hb_{secret}"), true),
            (format!("hb_{secret}x"), false),
            (format!("hb_{}", &secret[1..]), false),
            (format!("HB_{secret}"), false),
            (format!(" hb_{secret}"), false),
            (format!("hb_{}+", &secret[1..]), false),
            (format!("hb_{}=", &secret[1..]), false),
            (format!("hb_{}é", &secret[2..]), false),
            (secret.clone(), false),
            ("hb_".to_owned(), false),
            (format!("hlh_ag_0123abCD_{hex}"), true),
            (format!("hlh_ag_0123abc_{hex}"), false),
            (format!("hlh_ag_0123abcde_{hex}"), false),
            (format!("hlh_ag_0123abcg_{hex}"), false),
            (format!("hlh_ag_0123abcd-{hex}"), false),
            (format!("hlh_ag_0123abcd_{hex}0"), false),
            (format!("hlh_ag_0123abcd_{}", &hex[1..]), false),
            (format!("hlh_ag_0123abcd_{}_", &hex[1..]), false),
            (format!("HLH_ag_0123abcd_{hex}"), false),
            ("hlh_ag_".to_owned(), false),
            (format!("hb_0123abcd_{hex}"), false),
            (String::new(), false),
        ] {
            assert_eq!(has_format(presented.as_bytes()), is_looked_up, "{presented}");
        }
    }
}
