#!/usr/bin/env bash
# Prints the address of the Debian mirror this machine's own package sources name, or DEBIAN_MIRROR where it is set.
set -euo pipefail
mirror=${DEBIAN_MIRROR:-}
if [ -z "$mirror" ] && command -v apt-get >/dev/null; then
    # shellcheck disable=SC2016  # the dollars are apt's
    mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" {print $2; exit}')
fi
if [ -z "$mirror" ]; then
    echo "DEBIAN_MIRROR=: needed here, because this system's own package sources name no Debian mirror; expected its address, in the environment, not in .env" >&2
    exit 2
fi
printf '%s\n' "${mirror%/}"
