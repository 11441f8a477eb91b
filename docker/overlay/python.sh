#!/bin/sh
# Prints a program that runs the application's Python: the one that is named, its virtual environment's, or the system's.
set -eu
named=${1:-}
found=
for candidate in "$named" "${VIRTUAL_ENV:-/nowhere}/bin/python" "$PWD/.venv/bin/python" python python3; do
    [ -n "$candidate" ] || continue
    if found=$(command -v "$candidate"); then break; fi
    if [ "$candidate" = "$named" ]; then
        echo "API_PYTHON=$named: not allowed; expected a Python in the application's image" >&2
        exit 2
    fi
done
[ -n "$found" ] || {
    echo "API_IMAGE: not allowed; expected a Python application's image, with its Python in PATH, in .venv or named by API_PYTHON" >&2
    exit 2
}
# Not a link: a virtual environment is known by the path its Python is called by.
printf '#!/bin/sh\nexec %s "$@"\n' "$found"
