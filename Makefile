.PHONY: bench

bench:
	cargo build --release
	cd benches && cargo build --release -p defaults && cargo build --release -p bare
	cd benches && cargo bench -p bench
	cd benches && cargo run -p bench
