# shellcheck shell=sh
# A file that is on disk as a whole or not at all. Sourced.

write() { # FILE, from standard input
    cat >"$1.draft"
    sync "$1.draft"
    mv "$1.draft" "$1"
}
