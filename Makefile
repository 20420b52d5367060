# Signalbox. `make run` serves a box on this machine, `make test` runs every test.

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GO       := go
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
VULN     := golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: run build test bench bench-relay bench-machine micro-bench lint vuln clean

# Serve with no configuration: state in ./data, and a link to the test call page.
run: build
	bin/signalbox serve --data data --call-link

# One static binary. GOARCH=arm64 make build cross-compiles it.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/signalbox ./appliance/cmd/signalbox

# What the tests need is installed first, where that is possible; then every
# test runs and the last line counts them. See packaging/test.
test: build
	packaging/test/prepare
	$(GO) run ./packaging/test

# Benchmarks are measurements, not tests: run them on a quiet machine. The box
# beside a textbook hub takes about four minutes, the relay beside pion's example
# and coturn about thirteen and root; micro-bench measures functions.
bench: build
	$(GO) run ./appliance/loadgen/bench
	$(MAKE) bench-relay
	$(MAKE) bench-machine

# For a part of it: make bench-relay RELAY='-quick -servers ours,forwarder'.
bench-relay:
	$(GO) build -o bin/bench-relay ./turn/bench
	bin/bench-relay $(RELAY)

# The package on a booted system, root: time to ready, and ten idle minutes with
# bytes written, wake-ups and memory.
bench-machine:
	MACHINE_IDLE=10m $(GO) test -count=1 -timeout=20m -tags=interop -run='TestMachine/(install|idle)' -v ./appliance/interop/machine

micro-bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# The linters are built from source at a pinned version; the first time takes minutes.
lint: vuln
	$(GO) run $(GOLANGCI) run ./...

# The vulnerability database is on the internet; without it this says so and goes on.
vuln:
	@GOBIN=$(CURDIR)/bin/tools $(GO) install $(VULN)
	@if found=$$(bin/tools/govulncheck ./... 2>&1); then echo "$$found"; else \
		case $$found in \
		*vuln.go.dev*) echo 'govulncheck: skipped, its database https://vuln.go.dev cannot be reached from here' ;; \
		*) echo "$$found"; exit 1 ;; \
		esac; fi

clean:
	rm -rf bin
