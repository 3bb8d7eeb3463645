#!/usr/bin/env bash
# Holds the dependencies against deny.toml. Without cargo-deny, or without its advisory database, says what is
# skipped. `cargo test --test supply` checks licences, sources and duplicates without either.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v cargo-deny >/dev/null; then
    echo "skipped: cargo-deny is not installed (cargo install --locked cargo-deny)"
elif ! cargo deny fetch; then
    echo "skipped: the advisories, because their database cannot be reached"
    cargo deny --offline --locked check bans licenses sources
else
    cargo deny --locked check
fi
