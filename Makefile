# Everything runs from a clean clone, and again from a used one.
.PHONY: demo demo-large test bench campaign site format clean setup build/debug

export PATH := $(CURDIR)/.venv/bin:$(PATH)

HOURS ?= 1

demo: setup
	python examples/demo.py
	python examples/demo_index.py
	python examples/demo_records.py
	python -m pip install -q --disable-pip-version-check "matplotlib>=3.5"
	python examples/demo_columns.py

# The same with a value of 3 GiB.
demo-large: setup
	python examples/demo.py --large 3221225472

build/debug: setup
	[ -f build/debug/build.ninja ] || meson setup build/debug --buildtype=debug -Dtests=true

test: build/debug
	meson compile -C build/debug -j2
	meson test -C build/debug --print-errorlogs --num-processes 2
	timeout 20m pytest

bench: setup
	[ -f build/bench/build.ninja ] || meson setup build/bench --buildtype=release -Dbench=true
	meson compile -C build/bench -j2
	meson test -C build/bench --benchmark --verbose
	bench/run

# Faults, kills and power cuts for HOURS hours, or until something is lost.
campaign: build/debug
	meson compile -C build/debug -j2
	tools/campaign.sh $(HOURS)

# All documents, and the reference from docstrings and headers, as pages in build/site.
site: setup
	python -m pip install -q --disable-pip-version-check 'mkdocs>=1.5' 'mkdocstrings[python]>=0.24'
	mkdocs build --quiet --config-file tools/mkdocs.yml

format: setup
	git ls-files -z '*.c' '*.h' '*.cc' | xargs -0 clang-format -i
	ruff format .
	ruff check --fix .

clean:
	rm -rf build dist .venv .mypy_cache .pytest_cache .ruff_cache

setup:
	@tools/setup.sh
