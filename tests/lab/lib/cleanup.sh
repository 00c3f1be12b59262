# shellcheck shell=bash
# Stopping, in the order in which the parts depend on each other, and removing
# what a lab that was killed left behind. Signals go only to processes that the
# lab started: recorded daemons, the shims of its containerd, and what runs on
# a root file system that lies in its state directory.

readonly DAEMONS=(etcd apiserver controller-manager scheduler containerd kubelet proxy dns)

# Shims are known by the socket of the containerd they report to.
shims() {
  local pid
  for pid in $(pgrep -f "containerd-shim-runc-v2 .*-address $STATE/containerd.sock" || true); do
    if [[ $(readlink "/proc/$pid/exe") == */containerd-shim-runc-v2* ]]; then printf '%s\n' "$pid"; fi
  done
}

# A container's processes have a root mounted from the lab's directories; the
# host's own have not. Overlay mounts name their upper directory.
contained() {
  local file
  for file in $(grep -lsF "upperdir=$STATE/containerd/" /proc/[0-9]*/mountinfo || true); do
    if awk -v upper="upperdir=$STATE/containerd/" '$5 == "/" && index($0, upper) {found = 1} END {exit !found}' "$file" 2>/dev/null; then
      file=${file#/proc/}
      printf '%s\n' "${file%/mountinfo}"
    fi
  done
}

stop_containers() {
  local pids tenth
  # shellcheck disable=SC2046
  kill -9 $(shims) 2>/dev/null || true
  for ((tenth = 0; tenth < 50; tenth++)); do
    pids=$(contained)
    [[ $pids ]] || return 0
    # shellcheck disable=SC2086
    kill -9 $pids 2>/dev/null || true
    sleep 0.1
  done
  note "processes of pods that do not end: ${pids//$'\n'/ }"
}

# Containers and their file systems, through containerd.
remove_containers() {
  local id
  for id in $(timeout 10 ctr -a "$STATE/containerd.sock" -n k8s.io tasks ls -q 2>/dev/null); do
    timeout 10 ctr -a "$STATE/containerd.sock" -n k8s.io tasks rm -f "$id" >/dev/null 2>&1 || true
  done
  # shellcheck disable=SC2046
  set -- $(timeout 10 ctr -a "$STATE/containerd.sock" -n k8s.io containers ls -q 2>/dev/null)
  (($#)) || return 0
  timeout 30 ctr -a "$STATE/containerd.sock" -n k8s.io containers rm "$@" >/dev/null 2>&1 || true
}

unmount_all() {
  local mount
  # Twice: what lies under another mount shows up when that is gone.
  for _ in 1 2; do
    while read -r mount; do
      umount -l "$mount" 2>/dev/null || true
    done < <(awk -v d="$STATE/" 'index($5, d) == 1 {print $5}' /proc/self/mountinfo | sort -r)
  done
}

# Containers' cgroups are known by the container's id.
remove_cgroups() {
  local id folder
  for id in "$STATE"/containerd-state/io.containerd.runtime.v2.task/k8s.io/*; do
    id=${id##*/}
    [[ $id =~ ^[0-9a-f]{64}$ ]] || continue
    while read -r folder; do
      find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done < <(find /sys/fs/cgroup -maxdepth 5 -type d -name "$id" 2>/dev/null)
  done
  for folder in /sys/fs/cgroup/k8s.io /sys/fs/cgroup/*/k8s.io; do
    rmdir "$folder" 2>/dev/null || true
  done
}

# What the container runtime writes outside its own directories.
remove_traces() {
  local socket link
  for socket in "$STATE"/containerd-state/io.containerd.runtime.v2.task/*/*/address; do
    [[ -s $socket ]] || continue
    socket=$(<"$socket")
    if [[ $socket == unix:///run/containerd/s/* ]]; then rm -f "${socket#unix://}"; fi
  done
  rmdir /run/containerd/s /run/containerd/runc/k8s.io /run/containerd/runc /run/containerd 2>/dev/null || true
  # Results that name a network namespace of the lab's.
  { grep -lsF "$STATE/" /var/lib/cni/results/* || true; } | xargs -r rm -f
  rmdir /var/lib/cni/results /var/lib/cni 2>/dev/null || true
  for link in /var/log/containers/*; do
    if [[ -L $link && $(readlink "$link") == "$STATE"/* ]]; then rm -f "$link"; fi
  done
  rmdir /var/log/containers 2>/dev/null || true
  if [[ $(readlink "$VOLUMES_LINK") == "$STATE/volumes" ]]; then rm -f "$VOLUMES_LINK"; fi
}

# Everything but the images that containerd has imported: they are the slow
# part of a start.
stop_lab() {
  if [[ -d $STATE ]]; then
    local run=$STATE/run item
    # Nothing depends on the forge.
    halt "$run" 10 forge
    halt "$run" 10 kubelet
    # The containers' records go while containerd can be asked; what it cannot
    # do is done below.
    if recorded "$run" containerd >/dev/null && timeout 5 ctr --address "$STATE/containerd.sock" version >/dev/null 2>&1; then
      stop_containers
      remove_containers
    fi
    halt "$run" 5 proxy dns scheduler controller-manager
    # An API server whose etcd is gone never finishes: it goes first.
    halt "$run" 10 apiserver
    halt "$run" 5 etcd
    halt "$run" 10 containerd
    stop_containers
    unmount_all
    remove_cgroups
    remove_traces
    restore_kernel_settings
    for item in "$STATE"/* "$STATE"/.[!.]*; do
      [[ $item == "$STATE/containerd" ]] || rm -rf --one-file-system "$item"
    done
  fi
  network_down
}
