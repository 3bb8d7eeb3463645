# What the functions are built for: what the last deployment runs on, or else this machine's processor.
HOST := $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)
ARCHITECTURE ?= $(or $(call remembered,Architecture[=" \\]+(arm64|x86_64)),$(HOST))

# What `sam deploy --guided` has written into samconfig.toml: the parentheses of a pattern.
remembered = $(shell sed -nE 's/.*$(1).*/\1/p' samconfig.toml 2>/dev/null | head -n 1)

# Tools of the project's own, at pinned versions.
TOOLS := target/tools
export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0

# What SAM builds, and Lambda runs.
BOOTSTRAP := .aws-sam/build/HeartbeatFunction/bootstrap

# The stack's name in AWS.
STACK ?= $(or $(call remembered,^stack_name = "(.*)"),heartbeat)

OPENAPI_TOOLS := target/openapi-tools

# What `make run` serves.
LOCAL := AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:8000 AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=local \
	AWS_SECRET_ACCESS_KEY=local SERVERS_TABLE=heartbeat-servers METRICS_TABLE=heartbeat-metrics KEYS_TABLE=heartbeat-keys \
	HEARTBEAT_URL=http://127.0.0.1:9000/lambda-url/heartbeat/api/v1/agents/heartbeat \
	HEARTBEAT_API_KEY=local-development-key

.PHONY: run fleet picture openapi test test-openapi test-deployment soak soak-short fuzz deny bench test-instructions budgets build validate deploy example key

# The function and a DynamoDB on this machine.
run:
	@python3 dev/run.py

# The fleet that `make run` serves; what stands in ARGS goes to the view.
fleet:
	@env $(LOCAL) cargo run --quiet --example fleet -- $(ARGS)

# Draws the README's picture of the fleet, while `make run` is up.
picture: $(OPENAPI_TOOLS)/ready
	@env $(LOCAL) $(OPENAPI_TOOLS)/bin/python examples/fleet/picture.py

# Writes openapi.json.
openapi:
	cargo run --quiet --example openapi

# Everything that is checked.
test:
	cargo fmt --check
	cargo clippy --workspace --all-targets --test soak -- -D warnings
	python3 tests/agent.py
	python3 tests/smoke.py
	$(MAKE) test-openapi test-deployment test-instructions soak-short
	cargo test
	python3 tests/dynamodb_local.py cargo test --test api

# The stack, as far as it goes without AWS.
test-deployment: validate build
	python3 tests/dynamodb_local.py pytest tests/deployment

# openapi.json against the running function.
test-openapi: $(OPENAPI_TOOLS)/ready
	$(OPENAPI_TOOLS)/bin/python -m pytest tests/openapi

# Ten minutes of a fleet over a failing engine: nothing that is acknowledged may be lost.
soak:
	python3 tests/dynamodb_local.py cargo test --test soak -- --seconds 600

# The same for a minute.
soak-short:
	python3 tests/dynamodb_local.py cargo test --test soak -- --seconds 60

# Optional, needs `cargo install --locked cargo-fuzz`: looks for a body on which the parser panics.
fuzz:
	python3 fuzz/seed.py
	RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none parse -- -max_total_time=600 -max_len=65536 -timeout=10

# Optional, needs `cargo install --locked cargo-deny` and a network: the rules of deny.toml and the advisories.
deny:
	cargo deny --locked check

# The function beside its floors, and parsing alone. The builds take several minutes.
bench:
	cargo build --release --locked
	cd benches && cargo build --release --locked -p defaults
	cd benches && cargo build --release --locked -p bare
	cd benches && cargo run --locked -p bench
	cd benches && cargo bench --locked -p bench --bench parse

# The instruction counts of what is deployed against benches/budgets.json.
test-instructions: build
	cd benches && cargo run --locked -p bench -- check ../$(BOOTSTRAP)

# Makes its counts the budgets.
budgets: build
	cd benches && cargo run --locked -p bench -- record ../$(BOOTSTRAP)

# What is deployed, in .aws-sam/build.
build: $(TOOLS)/ready
	sam build --parameter-overrides Architecture=$(ARCHITECTURE)

# The template, by SAM's rules and CloudFormation's.
validate: $(TOOLS)/ready
	sam validate --lint --region us-east-1
	cfn-lint template.yaml

# These run what they build.
test test-deployment test-instructions budgets: ARCHITECTURE := $(HOST)

# To AWS, asking for what it needs. The first time it proposes the stack's name, the AWS CLI's region and what was
# built; from then on what samconfig.toml remembers, which these options would hide.
deploy: validate build
	@$(TOOLS)/bin/python dev/check_architecture.py $(ARCHITECTURE)
	region=$${AWS_REGION:-$${AWS_DEFAULT_REGION:-$$(aws configure get region)}}; \
	sam deploy --guided $(if $(wildcard samconfig.toml),,--stack-name heartbeat $${region:+--region $$region} \
		--parameter-overrides Architecture=$(ARCHITECTURE))

# A curl for the stack that is deployed.
example: $(TOOLS)/ready
	@aws cloudformation describe-stacks --stack-name $(STACK) --output text \
		$(addprefix --region ,$(call remembered,^region = "(.*)")) \
		--query "Stacks[0].Outputs[?OutputKey=='Example'].OutputValue"

# A new API key and its digest; nothing is stored.
key:
	@key=$$(openssl rand -hex 32); \
	printf 'key     %s\ndigest  %s\n' $$key $$(printf %s $$key | openssl dgst -sha256 -r | cut -d' ' -f1)

$(TOOLS)/ready: tests/deployment/requirements.txt
$(OPENAPI_TOOLS)/ready: tests/openapi/requirements.txt tests/openapi/constraints.txt
$(TOOLS)/ready $(OPENAPI_TOOLS)/ready:
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --requirement $<
	touch $@
