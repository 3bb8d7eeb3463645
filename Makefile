.PHONY: run test

# The function and a DynamoDB on this machine.
run:
	@python3 examples/run.py

# Everything that is checked.
test:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	python3 tests/agent.py
	python3 tests/smoke.py
	cargo test
	python3 tests/dynamodb_local.py cargo test --test api
