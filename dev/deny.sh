#!/usr/bin/env bash
# Checks the dependencies against deny.toml. If cargo-deny or its advisory database is missing, prints what is skipped.
# `cargo test --test supply` checks licences, sources and duplicates without either.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v cargo-deny >/dev/null; then
    echo "skipped: cargo-deny is not installed (cargo install --locked cargo-deny)"
elif ! cargo deny fetch; then
    echo "skipped: the advisories, because their database is unreachable"
    cargo deny --offline --locked check bans licenses sources
else
    cargo deny --locked check
fi
