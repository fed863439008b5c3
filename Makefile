# Every target says what it does in `make help`. Nothing here needs a C compiler.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

export CGO_ENABLED := 0

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# ci keeps its version in main; cid and ci-agent share theirs.
LDFLAGS := -s -w -X main.version=$(VERSION) -X ci/cmd/ci-agent/machine.Version=$(VERSION)
# How long the tests of one package may take. The slowest start real servers and containers.
TEST_TIMEOUT ?= 45m
# How long `make fuzz` spends on each fuzz target.
FUZZ_TIME ?= 10s

##@ Everyday

.PHONY: help
help: ## Print this list.
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: build ## Show the whole way of a run: a job by API, a trigger by curl, console, results, and a clean Docker.
	@tools/demo.sh

.PHONY: test
test: ## Run every check and test: vet, format, staticcheck, the house rules, all packages. CI runs this.
	@TEST_TIMEOUT=$(TEST_TIMEOUT) tools/test.sh

.PHONY: build
build: modules ## Build the static binaries bin/ci, bin/cid and bin/ci-agent.
	@mkdir -p bin
	go build -ldflags "$(LDFLAGS)" -o bin/ ./cmd/ci ./cmd/cid ./cmd/ci-agent
	@ls -l bin/ci bin/cid bin/ci-agent

.PHONY: provider
provider: modules ## Build bin/terraform-provider-ci, the provider for OpenTofu and Terraform.
	@mkdir -p bin
	go build -ldflags "$(LDFLAGS)" -o bin/ ./cmd/terraform-provider-ci
	@ls -l bin/terraform-provider-ci

.PHONY: images
images: build ## Build the images of cid and ci-agent; where no registry is reached, on a Debian that is made here.
	@VERSION=$(VERSION) tools/images.sh

.PHONY: dev
dev: build ## Build cid and run it in the foreground; its data stay in .cache/dev.
	@mkdir -p .cache/dev
	bin/cid --data .cache/dev --git-allow 127.0.0.1 $(ARGS)

##@ Before a commit

.PHONY: lint
lint: modules ## Run golangci-lint; its first build takes minutes.
	@tools/modules.sh tools/golangci-lint
	go tool -modfile=tools/golangci-lint/go.mod golangci-lint run ./...

.PHONY: gen
gen: modules ## Write all generated files again: the wire's code, docs/states.md, the settings in docs/operations.md, the reference in docs/terraform.
	@tools/gen.sh
	go run ./tools/settings
	go run ./tools/terraform
	CI_UPDATE=1 go test -count=1 -run '^TestStatesDocument$$' ./pkg/ci

.PHONY: verify
verify: modules ## Check that generated files and go.mod are up to date.
	@tools/verify.sh

.PHONY: fuzz
fuzz: modules ## Fuzz every parser of foreign input, FUZZ_TIME (10s) each.
	@FUZZ_TIME=$(FUZZ_TIME) tools/fuzz.sh

.PHONY: test-gitea
test-gitea: modules ## Test webhooks, clones and commit statuses against a real Gitea; its first build takes minutes.
	@tools/need.sh git postgresql
	@tools/gitea.sh

.PHONY: test-terraform
test-terraform: modules ## Test the provider with a real OpenTofu; its first build takes minutes.
	@CI_TOFU=$$(tools/opentofu.sh) && export CI_TOFU && go test ./e2e/terraform -count=1 -v

.PHONY: test-kubernetes
test-kubernetes: build ## Test the chart, and cid's rights, with a real Kubernetes; its first build takes seven minutes on two cores.
	@tools/need.sh git docker.io busybox-static etcd-server
	@CI_KUBERNETES=$$(tools/kubernetes.sh) && export CI_KUBERNETES CI_BIN=$(CURDIR)/bin && cd tools/charts && go vet ./cluster && go test ./cluster -count=1 -v

.PHONY: chaos
chaos: modules ## Hurt a whole fleet in every way, with 300 runs (CHAOS_RUNS) for each fault: about an hour. CHAOS_SEED plays one again, CHAOS_FAULTS (a regular expression) only some.
	CHAOS_RUNS=$(or $(CHAOS_RUNS),300) go test ./e2e/chaos -run 'TestFleet$$' -count=1 -v -timeout 3h

.PHONY: bench
bench: build ## Measure against the bare Docker API, in the same minute, and print each goal with its figure; then a fleet.
	go run ./e2e/bench $(ARGS)
	go run ./e2e/bench/fleet $(FLEET)

.PHONY: screens
screens: build ## Make the pictures of the docs anew: the terminal UI in a real terminal, the pages in a real browser, against a real server.
	@tools/need.sh tmux chromium
	go run ./tools/screens docs/screens
	go run ./tools/screens/pages docs/screens/web

##@ House-keeping

.PHONY: man
man: build ## Write the manual pages of ci into bin/man/man1.
	bin/ci man bin/man/man1

.PHONY: modules
modules: ## Download what the build needs, with a time limit and retries.
	@tools/modules.sh

.PHONY: clean
clean: ## Remove what was built here; caches of Go stay.
	rm -rf bin .cache
