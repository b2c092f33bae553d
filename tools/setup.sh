#!/usr/bin/env bash
# Make everything that the Makefile needs: system packages, .venv, the package in it.
#
#     tools/setup.sh [--ci]      --ci: also what only .ci/run uses (clang, valgrind)
#
# Nothing is done twice: system packages are looked for by what they bring, and
# two stamps in .venv hold the content that it was made from.
set -euo pipefail
cd "$(dirname "$0")/.."
# The interpreter of .venv must not be taken for the one that .venv is made with.
PATH=${PATH//"$PWD/.venv/bin:"/}

ci=no
case "${1-}" in
--ci) ci=yes ;;
'') ;;
*)
    echo "usage: tools/setup.sh [--ci]" >&2
    exit 2
    ;;
esac

python_is_new_enough() {
    "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 10) or sys.implementation.name != "cpython")' 2>/dev/null
}

# The default one if it will do, else the newest that the machine has.
find_python() {
    local candidate
    for candidate in python3 python3.{20..10} "$HOME"/.pyenv/versions/3.{20..10}.*/bin/python3; do
        if python_is_new_enough "$candidate"; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
}

# The Debian packages whose contents are not there.
missing_packages() {
    command -v cc >/dev/null || echo gcc libc6-dev
    command -v pkg-config >/dev/null || echo pkg-config
    pkg-config --exists 'sqlite3 >= 3.37' 2>/dev/null || echo libsqlite3-dev
    pkg-config --exists libxxhash 2>/dev/null || echo libxxhash-dev
    if [ -z "$python" ]; then
        echo python3 python3-venv python3-dev
    else
        "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
        "$python" -c 'import os, sysconfig as s; raise SystemExit(not os.path.exists(s.get_path("include") + "/Python.h"))' ||
            echo python3-dev
    fi
    [ $ci = yes ] || return 0
    command -v c++ >/dev/null || echo g++
    command -v objdump >/dev/null || echo binutils
    command -v clang-format >/dev/null || echo clang-format
    command -v valgrind >/dev/null || echo valgrind
    if ! command -v clang >/dev/null; then
        echo clang
    elif ! compgen -G "$(clang -print-resource-dir)/lib/*/*clang_rt.asan*" >/dev/null; then
        echo "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
    fi
}

install_packages() {
    local wanted
    # Twice: which runtime belongs to clang is known once clang is there.
    for _ in 1 2; do
        python=$(find_python)
        read -r -d '' -a wanted < <(missing_packages) || true
        [ ${#wanted[@]} -gt 0 ] || return 0
        if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
            echo "setup: please install these first (names as in Debian): ${wanted[*]}" >&2
            exit 1
        fi
        echo "setup: installing ${wanted[*]}"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
    done
    python=$(find_python)
    read -r -d '' -a wanted < <(missing_packages) || true
    if [ ${#wanted[@]} -gt 0 ]; then
        echo "setup: still missing after the installation: ${wanted[*]}" >&2
        exit 1
    fi
}

# What the build, the package and its extras ask for, one requirement a line.
requirements() {
    .venv/bin/python - <<'PY'
try:
    import tomllib
except ImportError:
    from pip._vendor import tomli as tomllib

with open("pyproject.toml", "rb") as file:
    described = tomllib.load(file)
project = described["project"]
groups = [described["build-system"]["requires"], project["dependencies"], *project["optional-dependencies"].values()]
print("\n".join(sorted({line for group in groups for line in group if not line.startswith(project["name"])})))
PY
}

stamp_is() {
    [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]
}

make_venv() {
    local state
    state=$("$python" -VV && sha256sum pyproject.toml tools/setup.sh)
    if stamp_is .venv/stamp-requirements "$state" && .venv/bin/python -c '' 2>/dev/null; then
        return
    fi
    echo "setup: making .venv with $("$python" -V)"
    rm -rf .venv
    "$python" -m venv .venv
    requirements >.venv/requirements.txt
    # Debian's pip does not know -C yet, nor the same setting given twice.
    .venv/bin/python -m pip install -q --disable-pip-version-check 'pip>=23.1' -r .venv/requirements.txt
    printf '%s\n' "$state" >.venv/stamp-requirements
}

install_package() {
    local state
    if [ ! -f python/kohakuvault/meson.build ]; then
        echo "setup: python/kohakuvault/meson.build is not there yet, so the Python package is not installed"
        return
    fi
    state=$(find meson.build meson_options.txt pyproject.toml README.md LICENSE include src pyext python -type f \
        ! -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
    if stamp_is .venv/stamp-package "$state"; then
        return
    fi
    echo "setup: building the Python package"
    rm -f .venv/stamp-package
    PATH="$PWD/.venv/bin:$PATH" .venv/bin/python -m pip install -q --disable-pip-version-check --no-build-isolation \
        --no-deps --force-reinstall -Cbuild-dir=build/python -Ccompile-args=-j2 .
    printf '%s\n' "$state" >.venv/stamp-package
}

install_packages
make_venv
install_package
echo "setup: ready in $SECONDS s"
