# Everything a newcomer needs, on Debian 12 with only git and make. `make` alone prints the list.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup packages native demo run update-file check format test test-slow bench bench-index bench-vault bench-recovery bench-ui hwtest screens clean
MAKEFLAGS += --no-print-directory
# Compiled once, as an installed program is: 0.1 s less for every command that is run from here.
unexport PYTHONDONTWRITEBYTECODE

# To build, to run, to test, and to make the disk of the demo.
PACKAGES := busybox-static ca-certificates clang-format debootstrap dmsetup dosfstools e2fsprogs exfat-fuse exfatprogs \
	extlinux fdisk fuse3 gcc libc6-dev libfuse2 libnbd-bin libssl-dev libudev1 libxxhash-dev libzstd-dev lvm2 make mount \
	mtools nbd-client ntfs-3g openssl ovmf python3-dev python3-venv qemu-system-x86 qemu-utils syslinux-common util-linux \
	xfsprogs zbar-tools
# The vault's tests run a real S3 server.
PACKAGES += ceph-common ceph-mon ceph-osd radosgw
# For disks and arrays: what the product calls, and what its tests compare it with.
PACKAGES += ipmitool mdadm nvme-cli smartmontools
# What drills are tried against, and what the small guest of their tests is made of.
PACKAGES += curl iproute2 knot mariadb-client-core mariadb-server-core openssh-client openssh-server \
	postgresql qemu-guest-agent syslinux
# Their report is printed by a browser and read; the power that is about to go is NUT's word.
PACKAGES += nut-client nut-server poppler-utils
# What would run the daemon reads its unit.
PACKAGES += systemd
# The host's own settings are tried on real services of systemd, on a bus of their own.
PACKAGES += dbus-daemon
# The page: tests look at it in Debian's browser, in both languages. Who has npm knows a registry.
PACKAGES += chromium fonts-wqy-microhei $(if $(or $(npm_config_registry),$(NPM_CONFIG_REGISTRY),$(shell command -v npm)),,npm)
# What the bench is measured beside.
PEERS := borgbackup python3-pyfuse3 restic

PYTHON ?= python3
BIN := .venv/bin

help: ## This list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

setup: packages .venv/installed native appliance/web/vendor/installed ## Debian and Python packages, and the C library: only what is missing

# $(call install_packages,NAMES): apt-get is asked only when a name is missing.
define install_packages
	@missing=$$(comm -23 <(printf '%s\n' $(1) | sort) \
		<(dpkg-query -W -f='$${db:Status-Abbrev} $${Package}\n' $(1) 2>/dev/null | sed -n 's/^.i *//p' | sort) \
		| xargs); \
	[ -z "$$missing" ] && exit 0; \
	[ "$$(id -u)" = 0 ] || { echo "setup: not installed: $$missing; run 'make setup' as root once" >&2; exit 1; }; \
	echo "setup: installing $$missing"; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq </dev/null; \
	apt-get install -q --yes --no-install-recommends -o Dpkg::Use-Pty=0 $$missing </dev/null
endef

packages:
	$(call install_packages,$(sort $(PACKAGES)))

.venv/installed: pyproject.toml | packages
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "setup: $(PYTHON) is" \
		"$$($(PYTHON) --version 2>&1), Holdfast needs 3.11 or newer: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "setup: Python packages into .venv (about a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-input --use-pep517 --editable '.[dev]'
	@touch $@

# The page's modules, pinned; npm is there only to say which registry this host uses.
appliance/web/vendor/installed: image/web_modules.py | .venv/installed
	@echo "setup: the page's modules into appliance/web/vendor"
	@$(BIN)/python -m image.web_modules
	@touch $@

native: | packages
	@$(MAKE) -q -C native || echo 'setup: building the C library'
	@$(MAKE) -s -C native

demo: setup ## A real Debian disk: protect it, change it, protect it again, restore it, mount it, boot it
	$(BIN)/python -m image.demo

run: setup ## The box in this checkout: prints where its pages are; STATE=DIR for another place than ./box
	@exec $(BIN)/holdfast --state '$(or $(STATE),box)' serve $(ARGS)

update-file: setup ## What boxes are updated with, signed: KEY=FILE, your private key; FOLLOWS=0.1.0 NOTES=FILE OUT=DIR
	@$(BIN)/python -m image.update_file --key '$(KEY)' $(if $(FOLLOWS),--follows '$(FOLLOWS)') \
		$(if $(NOTES),--notes '$(NOTES)') $(if $(OUT),--out '$(OUT)')

check: setup ## Format, lint, types, C format and warnings; under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) -C native format-check

format: setup ## Put Python and C into the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(MAKE) -C native format

test: setup ## check, C tests under sanitizers, all suites; SUITE=store runs one
	@$(BIN)/python -m tests.run_suites $(if $(SUITE),'$(SUITE)')

test-slow: setup ## The full counts; goes on where it was stopped; SHARD=2/8 runs an eighth
	@$(BIN)/python -m tests.run_suites --slow $(if $(SUITE),'$(SUITE)')

hwtest: setup ## Disks, arrays and the box on a real kernel; ONLY=raid1 for some, BENCH=FILE for real machines
	@$(BIN)/python -m hwtests.run $(if $(ONLY),--only '$(ONLY)') $(if $(BENCH),--bench '$(BENCH)')

bench: setup ## Beside restic and borg, about 25 minutes; QUICK=1 for a small disk, ROWS=disk,reads for some
	$(call install_packages,$(PEERS))
	$(BIN)/python -m tests.bench.bench $(if $(QUICK),--quick) $(if $(ROWS),--rows '$(ROWS)')

bench-index: setup ## The index at 1, 10 and 50 TB: memory, look-ups, sizes, rebuild; ARGS=--disk-gib 45 fills all of it
	$(MAKE) -s -C native streams
	$(BIN)/python -m tests.bench.index_bench $(ARGS)

bench-vault: setup ## The vault over a line beside rclone and restic, on Ceph's gateway; FULL=1 for the large disk, ROWS=line,restore for some
	$(call install_packages,rclone restic)
	$(BIN)/python -m tests.bench.vault_bench $(if $(FULL),--full) $(if $(ROWS),--rows '$(ROWS)')

bench-ui: setup ## The page's weight and time to usable; answers under load and with 1,000,000 records; ARGS='--rows page'
	$(BIN)/python -m tests.bench.ui_bench $(ARGS)

bench-recovery: setup ## Boots, reads of mount and NBD, four VMs, failback, browsing; ARGS='--runs 1 --rows boot,reads'
	$(BIN)/python -m tests.bench.recovery_bench $(ARGS)

screens: setup ## The pictures of docs/screens anew, by a walk through a real box in Chromium
	HOLDFAST_SCREENS=docs/screens $(BIN)/python -m pytest -q tests/web/test_first_day.py

clean: ## Remove everything that make made, the cached disk of the demo too
	-@$(MAKE) -C native clean
	rm -rf --one-file-system .venv build demo appliance/web/vendor *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find appliance hwtests image tests -name __pycache__ -prune -exec rm -rf {} +
