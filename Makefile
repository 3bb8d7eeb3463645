# What the function is built for: this machine's processor, unless told otherwise.
ARCHITECTURE ?= $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)

# Tools of the project's own, at pinned versions.
TOOLS := target/tools
export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0

.PHONY: run test test-deployment build validate deploy key

# The function and a DynamoDB on this machine.
run:
	@python3 examples/run.py

# Everything that is checked.
test: test-deployment
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	python3 tests/agent.py
	python3 tests/smoke.py
	cargo test
	python3 tests/dynamodb_local.py cargo test --test api

# The stack, as far as it goes without AWS.
test-deployment: validate build
	python3 tests/dynamodb_local.py pytest tests/deployment

# What is deployed, in .aws-sam/build.
build: $(TOOLS)/ready
	sam build --parameter-overrides Architecture=$(ARCHITECTURE)

# The template, by SAM's rules and CloudFormation's.
validate: $(TOOLS)/ready
	sam validate --lint --region us-east-1
	cfn-lint template.yaml

# To AWS, asking for what it needs. The first time it offers what was built; from then on what samconfig.toml
# remembers, which an override would hide.
deploy: validate build
	sam deploy --guided $(if $(wildcard samconfig.toml),,--parameter-overrides Architecture=$(ARCHITECTURE))

# A new API key and its digest; nothing is stored.
key:
	@key=$$(openssl rand -hex 32); \
	printf 'key     %s\ndigest  %s\n' $$key $$(printf %s $$key | openssl dgst -sha256 -r | cut -d' ' -f1)

$(TOOLS)/ready: tests/deployment/requirements.txt
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --requirement $<
	touch $@
