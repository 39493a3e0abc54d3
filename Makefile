# Pintle. `make help` lists the targets. Why it builds what it does as it does:
# RATIONALE.md: "Build"
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PAYLOAD := internal/payload/files
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo v0.1.0)
COMMIT  := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
PKG     := github.com/pintle-io/pintle
# kubectl, linked in, tells its version from component-base, and servers from client-go's.
KUBE    := v1.37.2
LDFLAGS := -s -w -X $(PKG)/internal/version.Commit=$(COMMIT) \
  -X k8s.io/component-base/version.gitVersion=$(KUBE) -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37 \
  -X k8s.io/client-go/pkg/version.gitVersion=$(KUBE) -X k8s.io/client-go/pkg/version.gitCommit=$(COMMIT)
WASM    := GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags="-s -w"

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: up
up: packages build ## install what is missing, build, and start a cluster on this machine
	bin/pintle up

.PHONY: down
down: ## stop the cluster of this machine (its data stay; `bin/pintle down --purge` removes them)
	bin/pintle down

.PHONY: packages
packages: ## install the Debian packages that Pintle needs (containerd, runc, iproute2 …)
	@hack/packages

.PHONY: build
build: payload ## build bin/pintle
	@echo "building bin/pintle"
	@go build -ldflags="$(LDFLAGS)" -o bin/pintle ./cmd/pintle
	@sync --data bin/pintle && dd if=bin/pintle iflag=nocache count=0 status=none # as written it is cached, and mapped, in pieces of megabytes: 60 MiB more are resident

# RATIONALE.md: "Why is the binary built with cgo, and the rest static?"
.PHONY: payload
payload:
	@echo "building plugins and node programs"
	@rm -f $(PAYLOAD)/scheduling.wasm $(PAYLOAD)/controllers.wasm $(PAYLOAD)/admission.wasm
	@$(WASM) -o $(PAYLOAD)/standard.wasm ./plugins/cmd/standard
	@go run ./internal/precompile -o $(PAYLOAD)/compiled.zip $(PAYLOAD)/standard.wasm
	@CGO_ENABLED=0 go build -ldflags="-s -w" -o $(PAYLOAD)/ ./cmd/pause ./cmd/demo ./cmd/pintle-cni

.PHONY: test
test: test-packages build vet generated unit race apart e2e ## everything that CI runs

# The above and what only tests need.
.PHONY: test-packages
test-packages:
	@hack/packages test

# Built from its module, pinned in a go.mod of its own: nothing that Pintle is
# made of depends on it.
LINT := go tool -modfile=$(CURDIR)/hack/tools/go.mod golangci-lint

.PHONY: vet
vet: ## gofmt and golangci-lint, which is go vet, too (govet)
	@out=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	@$(LINT) run ./... && cd sdk && $(LINT) run ./... && cd process && $(LINT) run ./...

# What of the modules that compare with upstream does not import k8s.io/kubernetes: all of
# that is not compiled for these few packages.
.PHONY: apart
apart: ## lint and tests of the conformance modules, but for what needs all of Kubernetes
	@for m in differential upstream; do ( cd conformance/$$m; \
	  p=$$(go list -test -f '{{.ImportPath}}{{if .ForTest}} test{{end}}{{range .Deps}} {{.}}{{end}}' ./... | grep -Ev '\.test | test | k8s.io/kubernetes/' | cut -d' ' -f1); \
	  $(LINT) run $$(sed 's|^github.com/pintle-io/pintle/conformance/[a-z]*|.|' <<<"$$p"); go test -vet=off $$p ); done

# What takes longest begins first.
LONG := ./internal/faults ./kernel/plugin/hostile ./ebpf/lb ./kernel/kerneltest
GO_TEST := REQUIRE_REAL=1 go test -vet=off -parallel 8 -timeout 10m

# What cannot run for want of root or of a package fails. Vet has run before. Packages
# of race run there, and here only what they leave out: RATIONALE.md: "Why do tests run once?"
.PHONY: unit
unit: build ## unit tests, suites on real etcd, containerd and eBPF
	@PINTLE_BIN=$(CURDIR)/bin/pintle $(GO_TEST) $(LONG) $$(go list ./... | grep -v /internal/e2e | grep -vxFf <(go list $(RACE) $(LONG)))
	@$(GO_TEST) -run WASM $$(go list -f '{{$$d := .Dir}}{{range .TestGoFiles}}{{$$d}}/{{.}} {{end}}{{range .XTestGoFiles}}{{$$d}}/{{.}} {{end}}' $(RACE) | xargs grep -l '^func Test.*WASM' | xargs -n1 dirname | sort -u)
	@cd sdk && go test -vet=off ./... && cd process && go test -vet=off ./...

# Packages whose concurrency is our own. Left to race-all: those that run etcd or
# whole servers, the tests that compile WASM or wait for many keys, and the
# kernel's scheduler, field managers and patches, whose tests compare one
# goroutine's answers for minutes under the detector.
RACE := ./kernel/custom/... ./kernel/store ./kernel/store/memory ./kernel/store/maintain ./kernel/watch/... ./kernel/admission ./kernel/apiserver/... \
  ./kernel/auth ./kernel/auth/externalip ./kernel/auth/node ./kernel/auth/pki ./kernel/auth/rbac ./kernel/auth/review ./kernel/auth/token \
  ./kernel/endpoints ./kernel/implementers ./kernel/informer ./kernel/lease ./kernel/reclaim/... ./kernel/resource/... ./kernel/reconcile ./kernel/reconcile/hostclient \
  ./kernel/registry ./kernel/registry/recent ./kernel/registry/selection ./kernel/registry/transaction ./kernel/registry/view \
  ./kernel/scheduler/bind ./kernel/scheduler/cache ./kernel/scheduler/evaluate ./kernel/scheduler/index ./kernel/scheduler/objects ./kernel/scheduler/queue \
  ./kernel/plugin ./kernel/plugin/admit ./kernel/plugin/loader ./kernel/roster ./internal/backoff ./internal/images/registry \
  ./node/dns ./node/informer ./node/membership ./node/pod/... ./node/podcertificate ./node/probe ./node/service ./node/source ./node/volume
.PHONY: race
race: ## unit tests with the race detector, where goroutines are ours
	@CGO_ENABLED=1 $(GO_TEST) -race -skip WASM $(RACE)

.PHONY: race-all
race-all: ## the race detector everywhere that goroutines are ours; compiles for a quarter of an hour
	@CGO_ENABLED=1 REQUIRE_REAL=1 go test -vet=off -race -short -timeout 30m $(RACE) ./kernel/auth/... ./kernel/kerneltest ./kernel/keystore ./kernel/store/... ./kernel/registry/... ./kernel/scheduler/... ./kernel/reconcile/... ./kernel/plugin/...

.PHONY: soak
soak: ## 2,000 pods, deleted at random moments of their start, on a real containerd (half an hour)
	@PINTLE_SOAK_PODS=$${PINTLE_SOAK_PODS:-2000} REQUIRE_REAL=1 go test -count=1 -timeout 90m -run TestPodsDeletedWhileTheyStart ./node

.PHONY: e2e
e2e: build ## a lab of three nodes, driven as a stranger would
	@go test -count=1 -timeout 30m -v ./internal/e2e/...

.PHONY: faults
faults: build ## clients while servers, links, disks and etcd members fail, and a checker of what they were told (minutes)
	@PINTLE_BIN=$(CURDIR)/bin/pintle REQUIRE_REAL=1 go test -count=1 -timeout 30m -v ./internal/faults -for $${PINTLE_FAULTS_FOR:-60s}

.PHONY: bench
bench: build ## the figures of docs/benchmarks.md, as a table
	@go run ./internal/bench

# ARGS are flags (-h lists them): -scale 0.1 -rounds 1 -run 'job|orphans' for a first look.
.PHONY: bench-peers
bench-peers: build ## what controllers cost beside kube-controller-manager: the same work on both (an hour and more)
	@cd conformance/differential && go build -o $(CURDIR)/bin/peers/run ./peers
	@bin/peers/run $(ARGS)

.PHONY: conformance
conformance: ## the conformance suite against the cluster of $KUBECONFIG
	@go run ./conformance/cmd/conformance

# ARGS are further flags (-h lists them), such as -run monitoring.
.PHONY: charts
charts: build ## CRDs and manifests as known operators ship them, by kubectl, on a server of its own or the cluster of $KUBECONFIG
	@go build -o bin/charts ./conformance/cmd/charts && bin/charts -pintle bin/pintle $(ARGS)

# FOCUS and SKIP are regular expressions on the names of tests, RERUN=failed
# repeats what failed in the last run, ARGS are further flags (-h lists them).
.PHONY: conformance-upstream
conformance-upstream: build ## upstream's own tests, on a lab of three nodes or the cluster of $$KUBECONFIG (hours)
	@cd conformance/upstream && go build -o $(CURDIR)/bin/conformance-upstream/run .
	@bin/conformance-upstream/run -focus '$(FOCUS)' -skip '$(SKIP)' -rerun '$(RERUN)' $(ARGS)

# ARGS are flags (-h lists them): -seed 7 -for 2m, or -from 123 -n 1 to repeat a
# sequence of requests.
.PHONY: differential
differential: build ## the same generated requests to kube-apiserver and to Pintle, and what differs (ten minutes)
	@cd conformance/differential && go build -o $(CURDIR)/bin/differential/run .
	@bin/differential/run $(ARGS)

.PHONY: generate
generate: ## regenerate committed code (needs clang, llvm and libbpf-dev)
	@go generate ./... && cd sdk && go generate ./...

.PHONY: generated
generated: ## check that `make generate` changes nothing
	@before=$$({ git diff; git status --porcelain; } | sha256sum); $(MAKE) --no-print-directory generate; \
	  test "$$before" = "$$({ git diff; git status --porcelain; } | sha256sum)" || { echo "make generate changes:"; git status --short; git diff --stat; exit 1; }

.PHONY: clean
clean: ## remove what was built
	rm -rf bin && find $(PAYLOAD) -type f ! -name README.md -delete
