#!/usr/bin/env bash
# Check libkvcore.a of a plain build (sanitizers add symbols of their own): it has
# no writable object but the registry of open files, and every name that
# the linker sees starts with kvault_.
#
#     tools/check_symbols.sh build/debug/src/libkvcore.a
set -euo pipefail

archive=${1:?usage: tools/check_symbols.sh ARCHIVE}
[ -s "$archive" ] || { echo "$archive is not there or empty" >&2; exit 1; }

# Constant tables of pointers lie in .data.rel.ro and may stay.
writable=$(objdump -t "$archive" |
    awk '/^[^ ]+\.o: / { file = $1 }
         / O (\.bss|\.data|\.tbss|\.tdata|\*COM\*)/ && !/ O \.data\.rel\.ro/ { print file, $NF }' |
    grep -vE '^(.*/)?vault_registry\.c\.o: registry(_lock)?$' || true)
foreign=$(nm -g --defined-only "$archive" | awk 'NF == 3 && $3 !~ /^kvault_/ { print $3 }')
names=$(nm -g --defined-only "$archive" | awk 'NF == 3' | wc -l)

[ -z "$writable" ] || printf 'writable at file scope:\n%s\n' "$writable"
[ -z "$foreign" ] || printf 'does not start with kvault_:\n%s\n' "$foreign"
echo "$names global names looked at"
[ -z "$writable$foreign" ] && [ "$names" -gt 0 ]
