# Sourced by ./run and ./test: brings a fresh Debian or Ubuntu to where the project runs, and does nothing the second time.

root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else
        echo "This needs root or sudo: $*" >&2
        return 1
    fi
}

# Installs the Debian packages that are not there yet.
need_packages() {
    missing=
    for package in "$@"; do
        case $package in
            nodejs | npm) command -v "${package%js}" >/dev/null && continue ;;
        esac
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
    done
    [ -z "$missing" ] && return 0
    echo "Installing$missing …" >&2
    root apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# The newest interpreter that will do: 3.11 or later.
find_python() {
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    echo "Python 3.11 or later is needed; this machine has $(python3 --version 2>&1)." >&2
    return 1
}

# Makes .venv and installs the project into it, editable, with an optional extra; again only when a source of it changed.
install_project() {
    target=.
    [ -n "${1:-}" ] && target=".[$1]"
    [ -x .venv/bin/python ] || "$(find_python)" -m venv .venv
    stamp=".venv/installed${1:+-$1}"
    if [ -e "$stamp" ] && [ -z "$(find pyproject.toml setup.py wire sfu turnd -newer "$stamp" \
        \( -name '*.pyx' -o -name '*.px[di]' -o -name pyproject.toml -o -name setup.py \))" ]; then
        return 0
    fi
    echo "Installing the project into .venv …" >&2
    .venv/bin/python -m pip install -q --disable-pip-version-check -e "$target"
    touch "$stamp"
}

# npm packages exactly as the lock file has them.
install_node_modules() {
    stamp="$1/node_modules/.package-lock.json"
    [ -e "$stamp" ] && [ ! "$1/package-lock.json" -nt "$stamp" ] && return 0
    (cd "$1" && npm ci --no-audit --no-fund --loglevel=error)
}
