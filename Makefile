# Signalbox. `make run` serves a box on this machine, `make test` runs every test.

VERSION  := $(shell packaging/version)
RELEASE  := go run ./packaging/release
GO       := go
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
VULN     := golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: run build release package image generate test test-machine test-release bench bench-relay bench-sync bench-machine faults micro-bench lint vuln clean

# Serve with no configuration: state in ./data, and a link to the test call page.
run: build
	bin/signalbox serve --data data --call-link

# One static binary. GOARCH=arm64 make build cross-compiles it. packaging/buildflags
# says why it is compiled and linked this way.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto $$(packaging/buildflags) -ldflags "$$(packaging/buildflags link) -X main.version=$(VERSION)" -o bin/signalbox ./appliance/cmd/signalbox

# What is handed out, in dist/: binaries of every architecture in archives with
# all that a site needs, and with package also deb, rpm and apk; sums, and with
# SIGNALBOX_SIGNING_KEY signatures. For a part: make package ARCH=arm64,armv7.
ARCH := amd64,arm64,armv7,armv6,riscv64

release:
	$(RELEASE) build -arch $(ARCH) -formats tar

package:
	$(RELEASE) build -arch $(ARCH)

# The folder that packaging/container/Containerfile is built in, from an archive.
IMAGE_ARCH := $(shell $(GO) env GOARCH)

image:
	$(RELEASE) build -arch $(IMAGE_ARCH) -formats tar
	rm -rf dist/image && mkdir -p dist/image/state
	tar -C dist/image --strip-components=1 -xzf dist/signalbox-*-linux-$(IMAGE_ARCH).tar.gz
	cp /etc/ssl/certs/ca-certificates.crt dist/image/

# Man pages, completions and the sample configuration, from the program itself.
generate:
	$(GO) test ./appliance/cmd/signalbox -run '^TestPackagedText$$' -update
	$(GO) test ./appliance/config -run '^TestSample$$' -update

# What the tests need is installed first, where that is possible; then every
# test runs and the last line counts them. See packaging/test.
test: build
	packaging/test/prepare
	$(GO) run ./packaging/test

# Parts of make test. The package on a machine of its own: a systemd in a
# container, from install to purge, upgrades that fail, full disks; needs root and
# systemd-container.
test-machine:
	$(GO) test -tags interop -count=1 -timeout=30m -v ./appliance/interop/machine

# Packages of every kind with lintian, rpm and dpkg in a chroot. Here every
# architecture is built twice and compared, in make test this machine's own.
test-release:
	RELEASE=all $(GO) test -tags interop -count=1 -timeout=30m -v ./packaging/release

# Benchmarks are measurements, not tests: run them on a quiet machine. The box
# beside a textbook hub takes about four minutes, the relay beside pion's example
# and coturn about thirteen and root, the link to the cloud about sixteen, a thousand
# faults about twenty; micro-bench measures functions.
bench: build
	$(GO) run ./appliance/loadgen/bench
	$(MAKE) bench-relay
	$(MAKE) bench-sync
	$(MAKE) faults
	$(MAKE) bench-machine

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
	rm -rf bin dist
