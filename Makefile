# Everything runs from a clean clone, and again from a used one.
.PHONY: demo demo-large test bench campaign format clean setup build/debug

export PATH := $(CURDIR)/.venv/bin:$(PATH)

HOURS ?= 1

demo: setup
	python examples/demo.py
	python examples/demo_index.py

# The same with a value of 3 GiB.
demo-large: setup
	python examples/demo.py --large 3221225472

build/debug: setup
	[ -f build/debug/build.ninja ] || meson setup build/debug --buildtype=debug -Dtests=true

test: build/debug
	meson compile -C build/debug -j2
	meson test -C build/debug --print-errorlogs --num-processes 2
	@if [ -f python/kohakuvault/meson.build ]; then \
		echo "pytest" && timeout 20m pytest; \
	else \
		echo "python: skipped, python/kohakuvault/meson.build is not there yet"; \
	fi

bench: setup
	[ -f build/bench/build.ninja ] || meson setup build/bench --buildtype=release -Dbench=true
	meson compile -C build/bench -j2
	meson test -C build/bench --benchmark --verbose
	bench/run

# Faults, kills and power cuts for HOURS hours, or until something is lost.
campaign: build/debug
	meson compile -C build/debug -j2
	tools/campaign.sh $(HOURS)

format: setup
	git ls-files -z '*.c' '*.h' '*.cc' | xargs -0 clang-format -i
	ruff format .
	ruff check --fix .

clean:
	rm -rf build dist .venv .mypy_cache .pytest_cache .ruff_cache

setup:
	@tools/setup.sh
