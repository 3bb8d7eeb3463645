//! The agent's program for a processor, as `make deploy` or `make release` has built it.

use crate::remote::Processor;
use anyhow::{Context, bail, ensure};
use ring::digest::{SHA256, digest};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const PROGRAM: &str = "heartbeat-agent";

/// The SHA-256 digests of the agents with which a release was built, by processor (`crates/dev/release.py`). Other builds know
/// none, and install what they find.
const DIGESTS: Option<&str> = option_env!("HEARTBEAT_AGENT_SHA256");

/// Reads the program: from this folder with the archives of a release, or from where this program was built.
///
/// # Errors
/// If there is none, or it is not the one that this program was built with.
pub fn binary(release: Option<&Path>, processor: Processor) -> anyhow::Result<Vec<u8>> {
    let program = read(release, processor)?;
    check(&program, processor, DIGESTS)?;
    Ok(program)
}

/// The SHA-256 digests of the programs for each processor, in the form of [`DIGESTS`]: those of this release, else of what is
/// found.
///
/// # Errors
/// If there is none.
pub fn digests(release: Option<&Path>) -> anyhow::Result<String> {
    if let Some(digests) = DIGESTS {
        return Ok(digests.to_owned());
    }
    let programs = [Processor::Arm64, Processor::X86_64]
        .map(|processor| read(release, processor).map(|program| named_digest(&program, processor)));
    if let [Err(error), Err(_)] = programs {
        return Err(error);
    }
    Ok(programs.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

fn named_digest(program: &[u8], processor: Processor) -> String {
    format!("{}={}", processor.name(), hex::encode(digest(&SHA256, program)))
}

fn check(program: &[u8], processor: Processor, digests: Option<&str>) -> anyhow::Result<()> {
    let Some(digests) = digests else {
        return Ok(());
    };
    let found = named_digest(program, processor);
    ensure!(
        digests.split(' ').any(|digest| digest == found),
        "this agent for {} is not the one of this heartbeatctl's release ({}): its SHA-256 differs",
        processor.name(),
        env!("CARGO_PKG_VERSION")
    );
    Ok(())
}

fn read(release: Option<&Path>, processor: Processor) -> anyhow::Result<Vec<u8>> {
    let name = processor.name();
    if let Some(folder) = release {
        return archive(folder, name)?.map_or_else(
            || bail!("{} has no agent for {name}", folder.display()),
            |file| unpack(&file),
        );
    }
    let own = env::current_exe().context("this program's own place is unknown")?;
    // target/<profile>/heartbeatctl
    let target = own.ancestors().nth(2);
    let built = target.map(|target| target.join(processor.target()).join("agent").join(PROGRAM));
    match built {
        Some(built) if built.exists() => {
            fs::read(&built).with_context(|| format!("{} cannot be read", built.display()))
        }
        _ => bail!(
            "there is no agent for {name}: use `make enroll` where `make deploy` has built it, or pass --agent and the \
             folder of a release"
        ),
    }
}

/// The archive for a processor: of this version, if there are several.
fn archive(folder: &Path, processor: &str) -> anyhow::Result<Option<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let suffix = format!("-linux-{processor}.tar.gz");
    let mut archives: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(&format!("{PROGRAM}-")) && name.ends_with(&suffix))
        .collect();
    archives.sort();
    let own = format!("{PROGRAM}-{}{suffix}", env!("CARGO_PKG_VERSION"));
    Ok(archives.iter().find(|name| **name == own).or(archives.last()).map(|name| folder.join(name)))
}

fn unpack(archive: &Path) -> anyhow::Result<Vec<u8>> {
    let mut tar = Command::new("tar");
    tar.arg("-xzOf").arg(archive).arg(PROGRAM);
    let unpacked = tar.output().context("tar cannot be started")?;
    if !unpacked.status.success() || unpacked.stdout.is_empty() {
        let said = String::from_utf8_lossy(&unpacked.stderr);
        bail!("{} cannot be unpacked: {}", archive.display(), said.trim());
    }
    Ok(unpacked.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_installs_its_own_agents_only() {
        let digests =
            "arm64=00 x86_64=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for (program, processor, digests, is_installed) in [
            ("abc", Processor::X86_64, Some(digests), true),
            ("abd", Processor::X86_64, Some(digests), false),
            ("abc", Processor::Arm64, Some(digests), false),
            ("abd", Processor::X86_64, None, true),
        ] {
            let checked = check(program.as_bytes(), processor, digests);
            assert_eq!(checked.is_ok(), is_installed, "{program} {processor:?}: {checked:?}");
        }
    }
}
