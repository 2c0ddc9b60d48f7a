# creel: see README.md. Two commands are all there is to know: make run, make test.

GO      ?= go
BIN     := bin/creel
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -s -w -X creel/internal/cli.version=$(VERSION)

# Tools of lint and tests, by exact version. They are run, not installed.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
GOTESTSUM   := gotest.tools/gotestsum@v1.13.0

.PHONY: build run test unit e2e vm lint bench bench-peers gen clean

build: ## build bin/creel
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/creel

run: build ## install OpenClaw if need be, and keep it alive behind http://127.0.0.1:8080
	./$(BIN) up openclaw

test: lint unit e2e ## everything: lint, unit tests, end-to-end tests on the real OpenClaw

# Up to three tests that fail are tried once more, and named at the end of the run; a data
# race is not: see docs/testing.md.
RERUN := --format standard-quiet --rerun-fails=1 --rerun-fails-max-failures=3 \
	--rerun-fails-run-root-test --rerun-fails-abort-on-data-race

# Those that take longest begin first: the others then run beside them to the end. Tests
# wait more than they work, so three packages are tested at a time, on two cores too.
unit: ## tests that need nothing but Go
	$(GO) run $(GOTESTSUM) $(RERUN) --packages "./test/crash ./test/chaos ./..." -- -race -shuffle=on -count=1 -p 3 -timeout 20m

e2e: build ## end-to-end tests; installs OpenClaw and Node.js from npm on the first run
	test/e2e/setup
	$(GO) run $(GOTESTSUM) $(RERUN) \
		--packages "./test/e2e/... ./internal/openclaw ./internal/auth ./internal/ui" \
		-- -tags e2e -p 1 -shuffle=on -count=1 -timeout 40m

vm: ## by hand: tests in virtual machines with a kernel, a systemd and a clock of their own
	GO="$(GO)" test/vm/run

lint: ## gofmt, vet, staticcheck, govulncheck
	@unformatted="$$(gofmt -l cmd internal test bench)"; if [ -n "$$unformatted" ]; then echo "not formatted (run gofmt -w):"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags e2e,vm ./...
	$(GO) run $(STATICCHECK) -tags e2e,vm ./...
	GO="$(GO)" GOVULNCHECK="$(GOVULNCHECK)" ./test/govulncheck

bench: build ## what creel costs and what it saves, as ratios from one run
	$(GO) run ./bench -creel $(BIN)

bench-peers: build ## the same beside nginx, HAProxy, Caddy, rclone and restic; writes docs/benchmarks.md
	bench/setup-peers
	$(GO) run ./bench -creel $(BIN) -peers $(dir $(BIN))peers -write docs/benchmarks.md

gen: ## write generated docs anew
	$(GO) generate ./...

clean: ## remove what build made
	rm -rf bin
