# What the function is built for: this machine's processor, unless told otherwise.
ARCHITECTURE ?= $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)

TOOLS := target/tools
export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0

.PHONY: build validate deploy key test-deployment

build: $(TOOLS) ## What is deployed, in .aws-sam/build
	sam build --parameter-overrides Architecture=$(ARCHITECTURE)

validate: $(TOOLS) ## The template, by SAM's rules and CloudFormation's
	sam validate --lint --region us-east-1
	cfn-lint template.yaml

# The first time it offers what was built; from then on what samconfig.toml remembers, which an override would hide.
deploy: validate build ## To AWS, asking for what it needs
	sam deploy --guided $(if $(wildcard samconfig.toml),,--parameter-overrides Architecture=$(ARCHITECTURE))

key: ## A new API key and its digest; nothing is stored
	@key=$$(openssl rand -hex 32); \
	printf 'key     %s\ndigest  %s\n' $$key $$(printf %s $$key | openssl dgst -sha256 -r | cut -d' ' -f1)

test-deployment: validate build ## The stack, as far as it goes without AWS
	pytest tests/deployment

$(TOOLS): tests/deployment/requirements.txt
	python3 -m venv --clear $@
	$@/bin/pip install --quiet --requirement $<
	touch $@
