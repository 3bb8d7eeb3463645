.PHONY: run test openapi test-openapi

# The function and a DynamoDB on this machine.
run:
	@python3 examples/run.py

# Everything that is checked.
test: test-openapi
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo test
	python3 tests/dynamodb_local.py cargo test --test api
	python3 tests/agent.py
	python3 tests/smoke.py

# Writes openapi.json.
openapi:
	cargo run --quiet --example openapi

# Tries openapi.json against the running function.
test-openapi: target/python
	target/python/bin/python -m pytest tests/openapi

target/python: tests/openapi/requirements.txt tests/openapi/constraints.txt
	python3 -m venv $@
	$@/bin/pip install --quiet --requirement $<
	touch $@
