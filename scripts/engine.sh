#!/usr/bin/env bash
# Makes sure that a Docker Engine with Compose and BuildKit answers. What is there already is left as it is.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
say() { printf '==> %s\n' "$*"; }
fail() { printf '%s\n' "$@" >&2; exit 1; }

least_compose=2.24  # the first that reads `env_file` entries with `required`
is_recent() { printf '%s\n' "$least_compose" "${1#v}" | sort --version-sort --check=quiet; }
check_compose() {
    local version; version=$(docker compose version --short)
    is_recent "$version" || fail "Docker Compose $version: too old; expected $least_compose or later"
}

# Its own client, or its socket behind Docker's.
case "$({ docker --version; docker version; } 2>/dev/null || true)" in
    *[Pp]odman*) fail "Podman: not supported; expected Docker Engine" ;;
esac

has_engine() { docker info >/dev/null 2>&1; }
has_compose() { docker compose version >/dev/null 2>&1; }
has_buildx() { docker buildx version >/dev/null 2>&1; }
# A fresh machine has no pgrep. A killed process nobody waited for still has a name, but no program.
is_running() {
    local process
    for process in /proc/[0-9]*; do
        [ "$(cat "$process/comm" 2>/dev/null)" = "$1" ] && [ -e "$process/exe" ] && return
    done
    return 1
}
has_systemd() { [ -d /run/systemd/system ]; }
if has_compose; then check_compose; fi
if has_engine && has_compose && has_buildx; then exit 0; fi

if [ "$(id -u)" != 0 ]; then
    fail "Docker is missing, not running, not yours to use, or without its Compose or Buildx plugin. As root, run:" \
        "    $here/engine.sh" \
        "    usermod -aG docker $(id -un)    # then log in again; members of this group are as powerful as root"
fi
command -v apt-get >/dev/null ||
    fail "Docker is missing and this is no Debian or Ubuntu: install Docker Engine and run this again."

# A package as this system names it, if its own sources have one that is new enough.
candidate() { apt-cache policy "$1" | awk '/Candidate:/ && $2 != "(none)" {print $2}'; }

# Debian 12 has no Compose v2 and no Buildx. Those of Debian forky are static Go programs that need only its libc.
install_from_forky() {
    local work; work=$(mktemp -d)
    # shellcheck disable=SC2064  # expanded now: the variable is local
    trap "rm -rf '$work'" RETURN
    local mirror; mirror=$("$here/debian-mirror.sh")
    local apt=(-o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$work/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
        -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root)  # a mirror may be past its date
    mkdir -p "$work/lists/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror forky main" >"$work/sources.list"
    apt-get -qq "${apt[@]}" update
    (cd "$work" && apt-get -qq "${apt[@]}" download "$@")
    "$here/apt.sh" install "$work"/*.deb
}

say "package lists"
"$here/apt.sh" update

if ! has_engine && ! command -v dockerd >/dev/null; then
    say "Docker Engine, from this system's packages"
    "$here/apt.sh" install docker.io iptables ca-certificates
fi
compose=docker-compose
[ -z "$(candidate docker-compose-v2)" ] || compose=docker-compose-v2  # Ubuntu's name for it
plugins=()
has_compose || plugins+=("$compose")
has_buildx || plugins+=(docker-buildx)
if [ ${#plugins[@]} -gt 0 ]; then
    say "Docker's plugins: ${plugins[*]}"
    if is_recent "$(candidate "$compose")" && [ -n "$(candidate docker-buildx)" ]; then
        "$here/apt.sh" install "${plugins[@]}"
    else
        install_from_forky "${plugins[@]}"
    fi
fi

if ! has_engine; then
    if has_systemd; then
        say "starting the engine: systemctl start docker"
        systemctl start docker
    else
        # No init system: by hand, detached from this terminal, over whatever a killed engine left behind.
        say "starting the engine: dockerd, its log in /var/log/dockerd.log"
        if ! is_running dockerd; then
            rm -f /run/docker.pid /run/docker.sock
            is_running containerd || rm -f /run/containerd/containerd.sock* /run/docker/containerd/containerd.{pid,sock}*
            # Its own pools hold 30 networks, those of six stacks; these hold a thousand.
            pools=(--default-address-pool "base=172.18.0.0/15,size=24"
                --default-address-pool "base=172.20.0.0/14,size=24")
            [ ! -e /etc/docker/daemon.json ] || pools=()  # which may name some
            setsid dockerd "${pools[@]}" </dev/null >>/var/log/dockerd.log 2>&1 &
        fi
    fi
    for _ in $(seq 60); do has_engine && break; sleep 1; done
    has_engine || fail "the engine does not answer after 60 s; the end of its log:" "$(tail -n 5 /var/log/dockerd.log 2>/dev/null || journalctl -u docker -n 5 --no-pager)"
fi
has_compose || fail "Docker answers, but 'docker compose version' does not"
check_compose
say "Docker Engine $(docker version --format '{{.Server.Version}}'), Compose $(docker compose version --short)"
