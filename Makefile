# Everything runs from a clean clone, and again from a used one.
.PHONY: demo demo-large test bench campaign format clean setup

export PATH := $(CURDIR)/.venv/bin:$(PATH)

HOURS ?= 1

demo: setup
	python examples/demo.py

demo-large: setup
	python examples/demo.py --large

test: setup
	[ -f build/debug/build.ninja ] || meson setup build/debug --buildtype=debug -Dtests=true
	meson compile -C build/debug -j2
	meson test -C build/debug --print-errorlogs --num-processes 2
	@if [ -f python/kohakuvault/meson.build ]; then \
		echo "pytest" && pytest; \
	else \
		echo "python: skipped, python/kohakuvault/meson.build is not there yet"; \
	fi

bench: setup
	[ -f build/bench/build.ninja ] || meson setup build/bench --buildtype=release -Dbench=true
	meson compile -C build/bench -j2
	meson test -C build/bench --benchmark --verbose
	python bench/bench_python.py

# Every slow check for HOURS hours; a run that was stopped goes on where it was.
campaign: setup
	python tools/campaign.py --hours $(HOURS)

format: setup
	git ls-files -z '*.c' '*.h' '*.cc' | xargs -0 clang-format -i
	ruff format .
	ruff check --fix .

clean:
	rm -rf build dist .venv .mypy_cache .pytest_cache .ruff_cache

setup:
	@tools/setup.sh
