#!/usr/bin/env bash
# Compile each public header alone, twice in one file, as C11 and as C++17.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
count=0
for path in include/kohakuvault/*.h; do
    name=kohakuvault/${path##*/}
    for compiler in "${CC:-cc} -std=c11 -xc" "${CXX:-c++} -std=c++17 -xc++"; do
        count=$((count + 1))
        # shellcheck disable=SC2086 # the compiler's words are split on purpose
        if ! printf '#include "%s"\n#include "%s"\n' "$name" "$name" |
            $compiler -Iinclude -Wall -Wextra -Wpedantic -Werror -fsyntax-only -; then
            echo "$name does not stand alone: $compiler"
            failed=$((failed + 1))
        fi
    done
done
echo "$count compilations, $failed failed"
[ $count -gt 0 ] && [ $failed = 0 ]
