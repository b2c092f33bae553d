#!/usr/bin/env bash
# The proofs at length: every fault of every operation once, a minute of writers and readers, ten million inputs for
# each fuzz target, then rounds of kills and power cuts, each with dice of its own, for HOURS hours or until something is lost.
set -euo pipefail
cd "$(dirname "$0")/.."

hours=$1
until=$((SECONDS + $(awk "BEGIN { printf \"%d\", $hours * 3600 }")))
tests=build/debug/tests/c
rounds=0

KVTEST_FAULTS=all $tests/test_faults
KVTEST_SECONDS=60 $tests/test_processes
KVTEST_FAULTS=200 KVTEST_KILLS=60 pytest -q tests/python/test_faults.py tests/python/test_crash.py
# libFuzzer on what reads bytes from outside, under the sanitizers; what it finds stays in build/fuzz/found-*.
if command -v clang >/dev/null; then
    [ -f build/fuzz/build.ninja ] || CC=clang meson setup build/fuzz --buildtype=debugoptimized -Dfuzz=true \
        -Db_sanitize=address,undefined -Db_lundef=false -Dc_args=-fno-sanitize-recover=all
    for target in dtype text msgpack cbor csbtree skiplist; do
        meson compile -C build/fuzz -j2 "fuzz_${target}_libfuzzer"
        mkdir -p "build/fuzz/corpus-$target"
        "build/fuzz/fuzz/fuzz_${target}_libfuzzer" -runs="${KVTEST_RUNS:-10000000}" -max_len=512 -malloc_limit_mb=64 \
            -artifact_prefix="build/fuzz/found-$target-" "build/fuzz/corpus-$target" "fuzz/corpus/fuzz_$target"
    done
else
    echo "# no clang: libFuzzer is left out"
fi
while [ $SECONDS -lt $until ]; do
    KVTEST_KILLS=1000 $tests/test_crash
    KVTEST_CUTS=8000 $tests/test_power
    rounds=$((rounds + 1))
    echo "# $rounds rounds of 1000 kills and 8000 power cuts, $SECONDS s"
done
