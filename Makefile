# The architecture that `make build` builds for: this machine's, unless another is asked for.
PROCESSOR := $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)
ARCHITECTURE ?= $(PROCESSOR)

# The project's own tools, at pinned versions. Recipes name their path, because macOS's make looks for the first word of a simple
# command on the PATH that it was started with.
TOOLS := target/tools
export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0

# Most tests wait for a timeout, so it pays to run more of them at once than there are processors.
export RUST_TEST_THREADS ?= 6

# The binary that SAM builds and Lambda runs.
BOOTSTRAP := .aws-sam/build/HeartbeatFunction/bootstrap

OPENAPI_TOOLS := target/openapi-tools
WEB_TOOLS := target/web-tools

# What the functions are measured against: a workspace of its own.
BASELINES := crates/bench/baselines/Cargo.toml

# The settings of `make run`.
LOCAL := env $(shell cat crates/dev/local.env) \
	$(if $(DYNAMODB_PORT),AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:$(DYNAMODB_PORT)) \
	$(if $(FUNCTION_PORT),HEARTBEAT_URL=http://127.0.0.1:$(FUNCTION_PORT)/lambda-url/heartbeat/api/v1/agents/heartbeat)

# Runs a program for development. It is built with the features of the whole workspace, as `make run` and the tests build
# it: nothing is compiled twice.
PROGRAM = cargo build --quiet --locked --workspace --bin $(1) && $(LOCAL) $(or $(CARGO_TARGET_DIR),target)/debug/$(1)

# Looks for what parts need, runs them, and prints a line for each at the end.
run-parts = .ci/install --look $(1) && python3 crates/dev/test.py $(1)
# Those of `make test`, of `make lint`, and what `.ci/run` runs besides.
TEST := test-code test-dynamodb-local test-openapi test-web test-stack test-smoke soak-short
LINT := format clippy doc locks deny validate
DEPLOYED := test-deployment instructions test-systemd

comma := ,
space := $() $()

.PHONY: help run agent ctl fleet web try picture cost parameters openapi snapshots tools programs $(TEST) test $(LINT) lint check gate parts \
	$(DEPLOYED) baselines test-release test-files test-all test-debian soak package test-package release fuzz bench budgets build deploy enroll open example key \
	FORCE

help: ## Print the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-22s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'Only those marked with (AWS) touch an account.'

run: ## Run the functions and a local DynamoDB.
	@INSTALL=no .ci/install --look $@ && python3 crates/dev/run.py

agent: ## Send this machine's heartbeat to `make run` every minute; ARGS is passed to heartbeat-agent.
	@$(call PROGRAM,heartbeat-agent) $(ARGS)

ctl: ## Run heartbeatctl with ARGS against `make run`.
	@$(call PROGRAM,heartbeatctl) $(ARGS)

fleet: ## Print the fleet of `make run`; ARGS is passed to `heartbeatctl fleet`.
	@$(call PROGRAM,heartbeatctl) fleet $(ARGS)

web: ## Show the fleet of `make run` in a browser; ARGS is passed to `heartbeatctl web`.
	@$(call PROGRAM,heartbeatctl) web $(ARGS)

try: ## Show everything on this machine alone: a demo fleet that goes on living, the page, announcements.
	@INSTALL=no .ci/install --look $@ && python3 crates/dev/try.py

test: ## Test the behaviour, for whoever has cloned this; prints a line per part at the end.
	@$(call run-parts,tools programs $(TEST))

lint: ## Check the form, for whoever changes something: format, lint, documentation, dependencies, the template.
	@$(call run-parts,$(LINT))

check: format clippy test-code ## Check what changes most often, while you work.

gate: ## Run what .ci/run runs: test, lint, and what gets deployed.
	@$(call run-parts,tools programs $(TEST) $(LINT) $(DEPLOYED))

parts: ## Print the parts of the gate as JSON, for a workflow that runs them side by side.
	@echo '["$(subst $(space),"$(comma) ",$(TEST))", "lint", "$(DEPLOYED)"]'

test-release: ## Test what gets deployed and the files of a release, for whoever deploys; ARCHITECTURES as for `release`.
	@$(call run-parts,tools programs $(DEPLOYED) test-package test-files)

test-all: ## Run everything, also what takes long and rarely changes.
	@$(call run-parts,tools programs $(TEST) $(LINT) $(DEPLOYED) baselines test-package test-files test-debian soak)

# `make test` installs them while it compiles.
tools: $(TOOLS)/tests-ready $(OPENAPI_TOOLS)/ready $(WEB_TOOLS)/ready ## Install the tools that test.

# With the features that `cargo test --workspace` gives the dependencies, so that nothing is compiled twice.
programs: ## Build every program and every test.
	cargo build --locked --workspace --bins --tests --test soak

test-code: ## Run `cargo test`.
	cargo test --locked --workspace

test-dynamodb-local: ## Test the contract through a function URL, and heartbeatctl, on AWS's DynamoDB Local.
	FRONT=url python3 tests/dynamodb_local.py cargo test --locked --workspace --test api --test watchdog --test notify \
		--test heartbeatctl -- --skip simulation::

test-openapi: $(OPENAPI_TOOLS)/ready ## Test openapi.json against the running function.
	$(OPENAPI_TOOLS)/bin/python -m pytest tests/openapi

test-web: $(WEB_TOOLS)/ready programs ## Test the page in a browser, and its metrics (needs Chromium).
	$(WEB_TOOLS)/bin/python -m pytest tests/web

test-stack: $(TOOLS)/tests-ready programs ## Test the stack in moto, with the functions as `cargo test` has built them.
	python3 tests/dynamodb_local.py $(TOOLS)/bin/pytest tests/deployment

test-systemd: $(TOOLS)/tests-ready programs ## Test the units, `enroll` and `retire` under a systemd that runs (needs root).
	$(TOOLS)/bin/pytest tests/systemd

test-smoke: programs ## Test `make run` as a newcomer uses it.
	python3 tests/smoke.py

soak: ## Run a fleet for ten minutes over a failing DynamoDB.
	python3 tests/dynamodb_local.py cargo test --locked --workspace --test soak -- --seconds 600

soak-short: ## Run a fleet for one minute over a failing DynamoDB.
	python3 tests/dynamodb_local.py cargo test --locked --workspace --test soak -- --seconds 60

format: ## Check the format of the code.
	cargo fmt --all --check

# All targets of the workspace: the fuzz target, too, which only cargo-fuzz builds otherwise.
clippy: ## Lint the code.
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --workspace --test soak -- -D warnings

doc: ## Build the documentation of the code, and check its links.
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --workspace --no-deps --document-private-items

locks: ## Check that the lock file of what the functions are measured against is in step.
	cargo update --quiet --workspace --locked --manifest-path $(BASELINES)

baselines: ## Check that what the functions are measured against compiles; `make bench` builds it.
	cargo check --locked --manifest-path $(BASELINES)

deny: ## Check licences, sources and advisories of the dependencies (needs cargo-deny).
	python3 crates/dev/deny.py

validate: $(TOOLS)/tests-ready ## Check the template against the rules of SAM and CloudFormation.
	$(TOOLS)/bin/sam validate --lint --region us-east-1
	$(TOOLS)/bin/cfn-lint template.yaml

test-deployment: build programs $(TOOLS)/tests-ready ## Test the stack in moto, with the functions as SAM builds them for AWS.
	FUNCTIONS=.aws-sam/build python3 tests/dynamodb_local.py \
		$(TOOLS)/bin/pytest tests/deployment/test_function.py tests/deployment/test_stack.py

instructions: build programs ## Compare the instruction counts of the deployed binary with crates/bench/budgets.json.
	$(or $(CARGO_TARGET_DIR),target)/debug/bench check $(BOOTSTRAP)

test-files: release $(TOOLS)/tests-ready ## Test the files of a release, as far as possible without AWS.
	$(TOOLS)/bin/pytest tests/deployment/release.py tests/deployment/enroll.py

snapshots: $(TOOLS)/tests-ready programs ## Record what tests expect of messages, pages and the transformed template: read the diff.
	INSTA_UPDATE=always cargo test --quiet --locked --workspace --lib --test announcement --test heartbeatctl --test notify
	UPDATE_SNAPSHOTS=1 $(TOOLS)/bin/pytest tests/deployment/test_template.py

openapi: ## Write openapi.json.
	UPDATE_OPENAPI=1 cargo test --quiet --lib openapi

picture: $(WEB_TOOLS)/ready ## Draw the README's pictures from the demo fleet (needs Chromium).
	cargo build --locked --workspace --bin dev --bin demo --bin heartbeatctl
	@env $(shell cat crates/dev/local.env) $(WEB_TOOLS)/bin/python crates/dev/picture.py

cost: $(TOOLS)/ready ## Write the tables of docs/cost.md.
	$(TOOLS)/bin/python crates/dev/cost.py

parameters: $(TOOLS)/ready ## Write the table of parameters in docs/deploy.md.
	$(TOOLS)/bin/python crates/dev/parameters.py

package: ## Build the agent's Debian package, in target/debian (needs cargo-deb).
	@command -v cargo-deb >/dev/null || { echo "make $@ needs cargo-deb: cargo install --locked cargo-deb"; exit 1; }
	cargo build --profile agent --locked --package heartbeat-agent
	cargo deb --no-build --no-strip --profile agent --package heartbeat-agent

test-package: package ## Install, inspect and remove the package, in a folder.
	tests/package.sh target/debian/heartbeat-agent_*.deb

release: $(TOOLS)/ready ## Build the files of a release, for ARCHITECTURES, in target/release-files.
	$(TOOLS)/bin/python crates/dev/release.py $(or $(ARCHITECTURES),$(PROCESSOR))

test-debian: release ## Install the agent of a release in a Debian (needs root and debootstrap).
	@command -v debootstrap >/dev/null || { echo "make $@ needs debootstrap: apt-get install debootstrap"; exit 1; }
	DEBIAN=1 $(TOOLS)/bin/pytest tests/deployment/enroll.py

# The profile of the functions would take minutes to build, and hide overflows.
fuzz: ## Search for a body that makes the parser panic (needs cargo-fuzz).
	python3 fuzz/seed.py
	RUSTC_BOOTSTRAP=1 CARGO_PROFILE_RELEASE_LTO=off cargo fuzz run --sanitizer none parse -- -max_total_time=600 -max_len=1048576 -timeout=10

bench: ## Measure the functions against a baseline; the builds take several minutes.
	cargo build --release --locked
	cargo build --release --locked --manifest-path $(BASELINES)
	cargo build --profile agent --locked -p heartbeat-agent
	cargo build --profile tools-release --locked -p heartbeatctl
	cargo build --locked -p dev
	python3 tests/dynamodb_local.py python3 crates/bench/history.py
	python3 -m venv target/bench-tools && target/bench-tools/bin/pip install --quiet psutil requests
	cargo run --locked -p bench
	cargo bench --locked -p bench --bench parse

budgets: build ## Record the instruction counts of the deployed binary as the budgets.
	cargo run --locked -p bench -- record $(BOOTSTRAP)

build: $(TOOLS)/ready ## Build the functions for deployment, in .aws-sam/build.
	cargo lambda build --release $(if $(filter arm64,$(ARCHITECTURE)),--arm64)
	$(TOOLS)/bin/sam build --parameter-overrides Architecture=$(ARCHITECTURE)

# These targets run what they build, so they build for this machine.
test-deployment instructions budgets: ARCHITECTURE := $(PROCESSOR)

deploy: $(TOOLS)/ready ## (AWS) Deploy the stack; EMAIL, PHONE, PAGE, SET, ENV, ARCHITECTURE: docs/deploy.md.
	@$(TOOLS)/bin/python crates/dev/deploy.py

enroll: $(TOOLS)/ready ## (AWS) Install the agent on HOST="root@web-1 root@web-2", with a key for each.
	@$(TOOLS)/bin/python crates/dev/deploy.py enroll

open: $(TOOLS)/ready ## (AWS) Open the page of the deployed stack.
	@$(TOOLS)/bin/python crates/dev/deploy.py open

example: $(TOOLS)/ready ## (AWS) Print a curl command for the deployed stack.
	@$(TOOLS)/bin/python crates/dev/deploy.py example

key: ## Generate an API key and its digest; nothing is stored.
	@key=$$(openssl rand -hex 32) && \
		printf 'key     %s\ndigest  %s\n' $$key $$(printf %s $$key | openssl dgst -sha256 -r | cut -d' ' -f1)

# What deploys is installed first, and what only tests need on top of it when they run. tools.py changes a stamp only if it
# installs something.
$(TOOLS)/ready: FORCE
	@python3 crates/dev/tools.py $@ crates/dev/requirements.txt
$(TOOLS)/tests-ready: $(TOOLS)/ready FORCE
	@python3 crates/dev/tools.py $@ tests/deployment/requirements.txt
$(OPENAPI_TOOLS)/ready: FORCE
	@python3 crates/dev/tools.py $@ tests/openapi/requirements.txt
$(WEB_TOOLS)/ready: FORCE
	@python3 crates/dev/tools.py $@ tests/web/requirements.txt
