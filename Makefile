# Everything a developer does. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
JOBS   ?= 2

# What only some tests need and PyPI does not have: a browser, a load generator, other languages' toolchains.
DEBIAN := chromium fonts-liberation nghttp2-client protobuf-compiler protobuf-compiler-grpc ruby-grpc \
          cmake g++ pkg-config libgrpc++-dev libprotobuf-dev \
          golang-go golang-google-grpc-dev golang-github-golang-protobuf-1-5-dev protoc-gen-go protoc-gen-go-grpc \
          libgrpc-java libguava-java libnetty-java libperfmark-java libprotobuf-java libgeronimo-annotation-1.3-spec-java \
          protobuf-compiler-grpc-java-plugin $(if $(shell command -v javac),,default-jdk-headless) \
          $(if $(shell command -v npm),,nodejs npm)
PROMETHEUS := build/prometheus/usr/bin/prometheus

.PHONY: help run test torture bench detection screenshot lint tools format protos contracts baseline lock sbom clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "python3 not found: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which: make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "venv failed: apt-get install python3-venv"; exit 1; }
	@echo "Installing what trueup needs into $(VENV) (about a minute, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

run: $(STAMP) ## Run the pair with an embedded PostgreSQL and simulated venues
	@exec $(BIN)/trueup up

# Files side by side, in their order: the long ones come first. JOBS=0 runs them one after the other.
test: $(STAMP) ## Run all tests (make test T=tests/unit runs some)
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(T)

# MINUTES=60 goes on for longer, SEED=n repeats a run, ONLY=kills,wire takes some of the parts.
torture: $(STAMP) ## Try to break the promises of docs/reliability.md (half an hour)
	$(BIN)/python -m tests.torture $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only '$(ONLY)')

# ONLY=name measures one row (ONLY=? lists them); GROWTH=1 measures 1 000 to 100 000 positions instead, and draws it.
bench: $(STAMP) ## Measure the speed goals against their yardsticks (about 8 minutes)
	@command -v h2load >/dev/null \
	  || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq --no-install-recommends nghttp2-client >/dev/null; } \
	  || { echo "h2load is missing: apt-get install nghttp2-client"; exit 1; }
	$(BIN)/python -m tests.bench.$(if $(GROWTH),growth,speed $(if $(ONLY),--only '$(ONLY)'))

detection: $(STAMP) ## Count false, missed and found drifts over a long random life (about 45 minutes)
	$(BIN)/python -m tests.bench.detection $(if $(CYCLES),--cycles $(CYCLES)) $(if $(SEED),--seed $(SEED))

screenshot: $(STAMP) ## Make docs/page.png anew
	$(BIN)/python -m tests.e2e.screenshot docs/page.png

lint: $(STAMP) contracts ## Check style, types and contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

tools: $(PROMETHEUS) ## Install the Debian packages without which some tests skip (as root)
	@if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then echo "needs root on Debian: apt-get install $(DEBIAN)"; \
	elif ! dpkg -s $(DEBIAN) >/dev/null 2>&1; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN); fi

# Of Debian's package only the programs: installed, it would start a server on this machine.
$(PROMETHEUS):
	@if command -v apt-get >/dev/null; then rm -rf build/prometheus && mkdir -p build/prometheus && cd build/prometheus && \
	  { apt-get -qq download prometheus 2>/dev/null || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get -qq download prometheus; }; } && \
	  dpkg -x prometheus_*.deb . && rm prometheus_*.deb; fi || echo "Prometheus could not be downloaded or unpacked, its tests skip: apt-get update first, as root"

format: $(STAMP) ## Format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

protos: $(STAMP) ## Compile the contracts to protos/gen
	PATH="$(BIN):$$PATH" $(BIN)/python protos/generate.py

# The stubs that are committed must be those of the contracts, and no released contract may break.
contracts: $(STAMP)
	rm -rf build/gen && PATH="$(BIN):$$PATH" $(BIN)/python protos/generate.py --out build/gen
	diff -r -x __pycache__ build/gen protos/gen || { echo "protos/gen is not what the contracts say: run make protos"; exit 1; }
	$(BIN)/buf lint build/trueup.binpb
	$(BIN)/buf breaking build/trueup.binpb --against protos/baseline.binpb

baseline: protos ## Make the contracts of today the ones that must not break
	cp build/trueup.binpb protos/baseline.binpb

# Tools that only these two need, apart from the project's own.
SUPPLY := build/supply
$(SUPPLY)/.installed: Makefile
	$(PYTHON) -m venv $(SUPPLY)
	$(SUPPLY)/bin/python -m pip install --quiet --disable-pip-version-check 'pip-tools>=7.6,<8' 'cyclonedx-bom>=7.5,<8'
	@touch $@

lock: $(SUPPLY)/.installed ## Pin what is installed in production, with hashes, to requirements.lock
	$(SUPPLY)/bin/pip-compile --quiet --extra nats --extra otel --generate-hashes --strip-extras --allow-unsafe --no-header \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file requirements.lock pyproject.toml

sbom: $(SUPPLY)/.installed ## Write the bill of materials (CycloneDX) of requirements.lock to build/sbom.json
	$(SUPPLY)/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible \
	  --of JSON -o build/sbom.json requirements.lock

clean: ## Remove what was installed and built
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
