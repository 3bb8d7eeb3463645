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

# heartbeatctl on what `make run` serves.
CTL := env $(shell cat dev/local.env) \
	$(if $(DYNAMODB_PORT),AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:$(DYNAMODB_PORT)) \
	$(if $(FUNCTION_PORT),HEARTBEAT_URL=http://127.0.0.1:$(FUNCTION_PORT)/lambda-url/heartbeat/api/v1/agents/heartbeat) \
	cargo run --quiet --package heartbeatctl --

# The parts of `make test`, cheap ones first.
PARTS := check deny test-openapi test-deployment test-instructions test-dynamodb-local soak-short test-smoke

.PHONY: help run ctl fleet picture openapi check test $(PARTS) soak fuzz bench budgets build validate deploy example key

help: ## Print the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

run: ## Run the function and a DynamoDB on this machine.
	@python3 dev/run.py

ctl: ## Run heartbeatctl with ARGS on what `make run` serves.
	@$(CTL) $(ARGS)

fleet: ## Print the fleet of `make run`; ARGS goes to `heartbeatctl fleet`.
	@$(CTL) fleet $(ARGS)

check: ## The fast gate: format, lint, `cargo test`.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --workspace --test soak -- -D warnings
	cargo test --workspace

test: ## Everything.
	@echo "Runs, one after the other: $(PARTS)"
	@start=$$(date +%s); for part in $(PARTS); do \
		echo; echo "== make $$part"; began=$$(date +%s); \
		$(MAKE) --no-print-directory $$part || exit 1; \
		echo "== make $$part took $$(($$(date +%s) - began)) s"; \
	done; echo; echo "All passed in $$(($$(date +%s) - start)) s."

deny: ## Licences, sources, duplicates and advisories of the dependencies.
	@dev/deny.sh

test-dynamodb-local: ## The contract and heartbeatctl on AWS's DynamoDB Local.
	python3 tests/dynamodb_local.py cargo test --workspace --test api --test watchdog --test heartbeatctl

test-smoke: ## `make run` as a newcomer meets it.
	python3 tests/smoke.py

openapi: ## Write openapi.json.
	UPDATE_OPENAPI=1 cargo test --quiet --lib openapi

picture: $(OPENAPI_TOOLS)/ready ## Draw the picture of the fleet, while `make run` is up.
	@env $(shell cat dev/local.env) $(OPENAPI_TOOLS)/bin/python dev/picture.py

test-deployment: validate build ## The stack, as far as it goes without AWS.
	python3 tests/dynamodb_local.py pytest tests/deployment

test-openapi: $(OPENAPI_TOOLS)/ready ## openapi.json against the running function.
	$(OPENAPI_TOOLS)/bin/python -m pytest tests/openapi

soak: ## Ten minutes of a fleet over a failing DynamoDB.
	python3 tests/dynamodb_local.py cargo test --workspace --test soak -- --seconds 600

soak-short: ## The same for a minute.
	python3 tests/dynamodb_local.py cargo test --workspace --test soak -- --seconds 60

fuzz: ## Look for a body on which the parser panics (needs cargo-fuzz).
	python3 fuzz/seed.py
	RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none parse -- -max_total_time=600 -max_len=65536 -timeout=10

bench: ## Measure the function beside its floors; the builds take several minutes.
	cargo build --release --locked
	cd benches && cargo build --release --locked -p defaults
	cd benches && cargo build --release --locked -p bare
	cd benches && cargo run --locked -p bench
	cd benches && cargo bench --locked -p bench --bench parse

test-instructions: build ## The instruction counts of what is deployed against benches/budgets.json.
	cd benches && cargo run --locked -p bench -- check ../$(BOOTSTRAP)

budgets: build ## Record those counts as the budgets.
	cd benches && cargo run --locked -p bench -- record ../$(BOOTSTRAP)

build: $(TOOLS)/ready ## Build what is deployed, in .aws-sam/build.
	sam build --parameter-overrides Architecture=$(ARCHITECTURE)

validate: $(TOOLS)/ready ## Check the template by SAM's rules and CloudFormation's.
	sam validate --lint --region us-east-1
	cfn-lint template.yaml

# These run what they build.
test-deployment test-instructions budgets: ARCHITECTURE := $(HOST)

# To AWS, asking for what it needs. The first time it proposes the stack's name, the AWS CLI's region and what was
# built; from then on what samconfig.toml remembers, which these options would hide.
deploy: validate build ## Deploy the stack to AWS.
	@$(TOOLS)/bin/python dev/check_architecture.py $(ARCHITECTURE)
	region=$${AWS_REGION:-$${AWS_DEFAULT_REGION:-$$(aws configure get region)}}; \
	sam deploy --guided --no-fail-on-empty-changeset $(if $(wildcard samconfig.toml),,--stack-name heartbeat $${region:+--region $$region} \
		--parameter-overrides Architecture=$(ARCHITECTURE))

example: ## Print a curl for the stack that is deployed.
	@aws cloudformation describe-stacks --stack-name $(STACK) --output text \
		$(addprefix --region ,$(call remembered,^region = "(.*)")) \
		--query "Stacks[0].Outputs[?OutputKey=='Example'].OutputValue"

key: ## Make an API key in hex and one in the keys table's form, each with its digest; nothing is stored.
	@for key in $$(openssl rand -hex 32) hb_$$(openssl rand -base64 32 | tr /+ _- | tr -d =); do \
		printf 'key     %s\ndigest  %s\n' $$key $$(printf %s $$key | openssl dgst -sha256 -r | cut -d' ' -f1); \
	done

$(TOOLS)/ready: tests/deployment/requirements.txt
$(OPENAPI_TOOLS)/ready: tests/openapi/requirements.txt tests/openapi/constraints.txt
$(TOOLS)/ready $(OPENAPI_TOOLS)/ready:
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --requirement $<
	touch $@
