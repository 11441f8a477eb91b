#!/usr/bin/env bash
# other_engine.sh DIRECTORY STORE COMMAND…: runs a command with a Docker Engine of its own: Debian forky's, with the image
# store `containerd` or `overlay2`. It has a network of its own too, with nothing but loopback: an engine without a bridge
# removes the one it finds. Pulls work there, containers do not run.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
directory=$1 store=$2
shift 2

if [ "${OTHER_ENGINE:-}" != inside ]; then
    mirror=$("$root/scripts/debian-mirror.sh")
    apt=(-o "Dir::Etc::SourceList=$directory/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$directory/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
        -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root)
    mkdir -p "$directory/lists/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror forky main" >"$directory/sources.list"
    apt-get -qq "${apt[@]}" update
    (cd "$directory" && apt-get -qq "${apt[@]}" download docker.io containerd)
    for package in "$directory"/*.deb; do dpkg-deb --extract "$package" "$directory/root"; done
    OTHER_ENGINE=inside exec unshare --net --mount --fork --kill-child "$0" "$directory" "$store" "$@"
fi

ip link set lo up
export PATH="$directory/root/usr/bin:$directory/root/usr/sbin:$PATH" DOCKER_HOST="unix://$directory/docker.sock"
cat >"$directory/containerd.toml" <<EOF
version = 3
root = "$directory/containerd"
state = "$directory/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$directory/containerd.sock"
[ttrpc]
address = "$directory/containerd.ttrpc"
EOF
containerd --config "$directory/containerd.toml" >"$directory/containerd.log" 2>&1 &
containerd=$!
for _ in $(seq 60); do [ -S "$directory/containerd.sock" ] && break; sleep 0.5; done
echo '{}' >"$directory/daemon.json"
dockerd --config-file "$directory/daemon.json" --host "$DOCKER_HOST" --containerd "$directory/containerd.sock" \
    --data-root "$directory/docker" --exec-root "$directory/docker-state" --pidfile "$directory/docker.pid" \
    --bridge none --iptables=false --ip6tables=false \
    --feature "containerd-snapshotter=$([ "$store" = containerd ] && echo true || echo false)" >"$directory/docker.log" 2>&1 &
dockerd=$!
trap 'kill "$dockerd"; wait "$dockerd" || true; kill "$containerd"; wait "$containerd" || true' EXIT
for _ in $(seq 60); do docker info >/dev/null 2>&1 && break; sleep 0.5; done
docker info --format '{{.ServerVersion}} {{.Driver}} {{.DriverStatus}}' || { tail -n 5 "$directory/docker.log" >&2; exit 1; }
"$@"
