# The target folder is outside the clone, so that other clones and clean ones reuse compiled
# dependencies. `make check` and single tests use the profile `dev`, everything else `release`.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pricedrop
export CARGO_TARGET_DIR ?= $(CACHE)/target
CARGO := cargo
RELEASE := $(CARGO_TARGET_DIR)/release

.PHONY: demo run test test-faults check lint plugins bench deny servers servers-stop
.DEFAULT_GOAL := demo

## demo: builds, then runs a demonstration of less than a minute; needs Rust and a C compiler
demo:
	@echo "building pricedrop: about 6 minutes on 2 cores the first time, seconds afterwards"
	@$(CARGO) build --release --quiet --locked -p pricedrop -p pricedrop-demo
	@$(RELEASE)/pricedrop-demo $(RELEASE)/pricedrop

## run: runs the engine, with its state in ./pricedrop-data
run:
	$(CARGO) run --release --locked -p pricedrop -- run

# Rules and loops with ports in memory. These crates need no C library, server or plugin host.
CORE := model decide memory pipeline testing

## check: quick tests of the core, for use after each change; runs a quarter of the random histories
check:
	$(CARGO) fmt --all --check
	dev/plugins/verify
	PRICEDROP_TEST_ONE_IN=4 $(CARGO) test --locked $(CORE:%=-p pricedrop-%) --lib --tests

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings

## test: runs all tests, and sets up everything they need
test: lint
	dev/peers/setup
	dev/servers/setup
	dev/plugins/check
	$(CARGO) test --release --locked --workspace

## test-faults: longer fault injection into engines and their three servers; SECONDS=900 SEED=7
## UPDATES=prices.jsonl: uses your own prices
test-faults:
	dev/servers/setup
	PRICEDROP_TEST_SECONDS=$(or $(SECONDS),600) PRICEDROP_TEST_SEED=$(or $(SEED),1) \
		$(if $(UPDATES),PRICEDROP_TEST_UPDATES=$(abspath $(UPDATES))) \
		PRICEDROP_TEST_CROWD=1000000 $(CARGO) test --release --locked -p pricedrop --test campaigns -- --nocapture --test-threads 1
	PRICEDROP_TEST_DAMAGES=5000 PRICEDROP_TEST_SEED=$(or $(SEED),1) \
		$(CARGO) test --release --locked -p pricedrop-embedded --test damaged_files damage_is_never_silent
	PRICEDROP_TEST_KILLS=50 $(CARGO) test --release --locked -p pricedrop --test cluster --test live -- archive

## plugins: builds every plugin of this repository and writes the manifests
plugins:
	dev/plugins/toolchain
	dev/plugins/build

## servers: starts Kafka, Cassandra and Redis for experiments; needs Java 17 and Maven
servers:
	@address=$$(dev/servers/start kafka --port 19092) && echo 'Kafka      '$$address
	@address=$$(dev/servers/start cassandra --port 19042) && echo 'Cassandra  '$$address
	@address=$$(dev/servers/start redis --port 16379) && echo 'Redis      '$$address
	@echo 'make servers-stop ends them; their data stays'

## servers-stop: stops those servers, and the ones that tests share
servers-stop:
	dev/servers/stop

## bench: measures every figure that the README quotes
bench:
	$(CARGO) run --release --locked -p pricedrop-bench

## deny: checks licences, bans, versions and sources of all dependencies with cargo-deny (deny.toml)
deny:
	cargo deny check licenses sources bans
