#!/usr/bin/env bash
# The proofs at length: every fault of every operation once, a minute of writers and readers, then rounds of kills and power cuts, each
# with dice of its own, for HOURS hours or until something is lost.
set -euo pipefail
cd "$(dirname "$0")/.."

hours=$1
until=$((SECONDS + $(awk "BEGIN { printf \"%d\", $hours * 3600 }")))
tests=build/debug/tests/c
rounds=0

KVTEST_FAULTS=all $tests/test_faults
KVTEST_SECONDS=60 $tests/test_processes
KVTEST_FAULTS=200 KVTEST_KILLS=60 pytest -q tests/python/test_faults.py tests/python/test_crash.py
while [ $SECONDS -lt $until ]; do
    KVTEST_KILLS=1000 $tests/test_crash
    KVTEST_CUTS=8000 $tests/test_power
    rounds=$((rounds + 1))
    echo "# $rounds rounds of 1000 kills and 8000 power cuts, $SECONDS s"
done
