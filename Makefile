# Signalbox. `make run` serves a box on this machine, `make test` runs every test.

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GO       := go
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
VULN     := golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: run build test bench bench-relay bench-sync faults micro-bench lint vuln clean

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
# and coturn about thirteen and root, the link to the cloud about sixteen, a thousand
# faults about twenty; micro-bench measures functions.
bench: build
	$(GO) run ./appliance/loadgen/bench
	$(MAKE) bench-relay
	$(MAKE) bench-sync
	$(MAKE) faults

# Two thousand sites at one cloud node, by simulated boxes with real connections,
# and what the link costs a box. For a part of it: make bench-sync SYNC='-sites 200'.
bench-sync: build
	$(GO) build -o bin/bench-sync ./sync/bench
	bin/bench-sync $(SYNC)

# A thousand faults of boxes, cloud and broker, from a seed; make test has 50.
# The boxes and the cloud wait a twentieth of their time; FAULTS_SPEED=1 for all of it.
faults:
	FAULTS=$${FAULTS:-1000} $(GO) test -tags interop -timeout 3h -run TestFaults -v ./sync/faults

# For a part of it: make bench-relay RELAY='-quick -servers ours,forwarder'.
bench-relay:
	$(GO) build -o bin/bench-relay ./turn/bench
	bin/bench-relay $(RELAY)

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
