.PHONY: bench test-instructions

# The function beside its floors, and parsing alone. The builds take several minutes.
bench:
	cargo build --release --locked
	cd benches && cargo build --release --locked -p defaults
	cd benches && cargo build --release --locked -p bare
	cd benches && cargo run --locked -p bench
	cd benches && cargo bench --locked -p bench --bench parse

# The function's instruction counts against benches/budgets.json.
test-instructions:
	cargo build --release --locked
	cd benches && cargo run --locked -p bench -- check
