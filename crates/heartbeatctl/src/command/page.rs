//! The password of the deployed page.

use crate::target::Target;
use crate::terminal::print_all;
use anyhow::anyhow;
use clap::{Args, Subcommand};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;

/// That of base32 (RFC 4648), as in `make deploy`: none of the digits that are mistaken for letters, and 5 bits for each character.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Groups of a password, and characters in each: 100 bits in all.
const GROUPS: usize = 4;
const LENGTH: usize = 5;

/// The page that the stack serves: its password.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat page password")]
pub struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    Password(Password),
}

/// Make a password for the deployed page, and its digest for the stack.
///
/// Nobody chooses a password, and nothing keeps it: it is printed once. It applies when its digest is deployed as
/// PagePasswordSha256, which ends all sessions.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat page password")]
struct Password {}

impl Command {
    #[expect(clippy::unused_async, reason = "as every command")]
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let Action::Password(Password {}) = self.action;
        let password = make()?;
        let digest = hex::encode(digest(&SHA256, password.as_bytes()));
        if target.json {
            let printed = json!({ "password": password, "sha256": digest }).to_string();
            return Ok(print_all(&printed)?);
        }
        print_all(&format!("password  {password}\ndigest    {digest}"))?;
        eprintln!(
            "The password is shown only once. To use it, give its digest to: make deploy SET=PagePasswordSha256"
        );
        Ok(())
    }
}

/// 100 random bits, in groups that can be typed.
fn make() -> anyhow::Result<String> {
    let mut random = [0; GROUPS * LENGTH];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| anyhow!("the system's random number generator failed"))?;
    let characters = random.map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
    Ok(characters.chunks(LENGTH).map(String::from_iter).collect::<Vec<_>>().join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    // C13.5
    #[test]
    fn a_password_has_100_bits_and_is_never_the_same() {
        let passwords: BTreeSet<_> = (0..500).map(|_| make().expect("a password")).collect();
        assert_eq!(passwords.len(), 500);
        let mut used = BTreeSet::new();
        for password in &passwords {
            let groups: Vec<_> = password.split('-').collect();
            assert_eq!(groups.len(), 4, "{password}");
            assert!(groups.iter().all(|group| group.len() == 5), "{password}");
            used.extend(password.bytes().filter(|byte| *byte != b'-'));
        }
        // Each byte is equally likely: 256 is a multiple of 32.
        assert_eq!(used, ALPHABET.iter().copied().collect());
    }
}
