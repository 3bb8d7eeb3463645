.PHONY: soak soak-short fuzz deny

# Ten minutes of a fleet over a failing engine; nothing acknowledged may be lost.
soak:
	tests/dynamodb_local.py cargo test --test soak -- --seconds 600

# The same for a minute: part of `make test`.
soak-short:
	tests/dynamodb_local.py cargo test --test soak -- --seconds 60

# Optional, needs `cargo install --locked cargo-fuzz`: looks for a body on which the parser panics.
fuzz:
	fuzz/seed.py
	RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none parse -- -max_total_time=600 -max_len=65536 -timeout=10

# Optional, needs `cargo install --locked cargo-deny` and a network for the advisories. `cargo test --test
# supply` checks the rest without.
deny:
	cargo deny --locked check
