.PHONY: run test openapi test-openapi fleet picture

# What `make run` serves.
LOCAL := AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:8000 AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=local \
	AWS_SECRET_ACCESS_KEY=local SERVERS_TABLE=heartbeat-servers METRICS_TABLE=heartbeat-metrics \
	HEARTBEAT_URL=http://127.0.0.1:9000/lambda-url/heartbeat/api/v1/agents/heartbeat \
	HEARTBEAT_API_KEY=local-development-key

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

# The fleet that `make run` serves; what stands in ARGS goes to the view.
fleet:
	@env $(LOCAL) cargo run --quiet --example fleet -- $(ARGS)

# Draws the README's picture of the fleet, while `make run` is up.
picture: target/python
	@env $(LOCAL) target/python/bin/python examples/fleet/picture.py
