# shellcheck shell=bash
# A throw-away control plane for a test: etcd, API server, controller manager
# and scheduler in network, process and mount namespaces of their own. Nodes
# and pods are played by kwok: a pod runs and is ready at once, a Job's pod
# ends well. Nothing is left of it but a directory, and that goes, too; when
# this process is killed, the kernel ends all that belongs to the plane.

readonly PLANE_ADDRESS=10.9.9.1

plane() {
  local keep='' http1='' dir status=0 inside
  while (($#)); do
    case $1 in
      --keep) keep=${2:?--keep needs a directory}; shift 2 ;;
      --http1-only) http1=yes; shift ;;
      --) shift; break ;;
      *) die "plane: unexpected $1" "lab plane [--keep DIR] [--http1-only] -- COMMAND…" ;;
    esac
  done
  (($#)) || die "plane: no command" "lab plane [--keep DIR] [--http1-only] -- COMMAND…"
  ((EUID == 0)) || die "plane: must run as root: it makes namespaces"
  binary_kubernetes >&2
  export KUBE_BIN=${BINARY%/*}
  binary_kwok >&2
  export KWOK_BIN=${BINARY%/*}
  sweep_planes
  if [[ $keep ]]; then
    mkdir -p "$keep"
    dir=$(cd "$keep" && pwd)
  else
    dir=$(mktemp -d "${TMPDIR:-/tmp}/mimeo-plane.XXXXXX")
  fi
  # Held as long as this process lives: by it, a later plane knows that the
  # directory is in use.
  exec 7>"$dir/.in-use"
  flock 7
  # In the background, so that a signal is acted on at once.
  setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --mount-proc \
    "$LAB_DIR/lab" plane-inside "$dir" "$http1" "$@" <&0 7>&- &
  inside=$!
  # shellcheck disable=SC2064
  trap "kill -9 $inside 2>/dev/null; STOPPED=yes" INT TERM HUP
  STOPPED=
  wait "$inside" || status=$?
  if [[ $STOPPED ]]; then status=130; fi
  [[ $keep ]] || remove_plane "$dir"
  exit "$status"
}

# Processes of the plane may be ending still.
remove_plane() {
  local _
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf --one-file-system "$1" 2>/dev/null && return 0
    sleep 0.1
  done
}

# Directories of planes that were killed.
sweep_planes() {
  local dir
  for dir in "${TMPDIR:-/tmp}"/mimeo-plane.*; do
    [[ -e $dir/.in-use ]] || continue
    (
      exec 6<"$dir/.in-use"
      if flock -n 6; then rm -rf --one-file-system "$dir"; fi
    ) 2>/dev/null || true
  done
}

plane_context() {
  PLANE=$MIMEO_PLANE_DIR
  PLANE_IP=$PLANE_ADDRESS
  PLANE_ENTER=()
}

# The first process of the plane's namespaces.
plane_inside() {
  export MIMEO_PLANE_DIR=$1
  export MIMEO_PLANE_HTTP1=$2
  shift 2
  plane_context
  ip link set lo up
  ip addr add "$PLANE_ADDRESS/32" dev lo
  plane_directories
  # The provisioner's folder is fixed; the plane has one of its own under it.
  if [[ -L /tmp/hostpath_pv && ! -d /tmp/hostpath_pv ]]; then rm -f /tmp/hostpath_pv; fi
  mkdir -p /tmp/hostpath_pv
  mount --bind "$PLANE/volumes" /tmp/hostpath_pv
  plane_start
  export KUBECONFIG=$PLANE/admin.kubeconfig PATH=$KUBE_BIN:$PATH
  local status=0
  "$@" || status=$?
  exit "$status"
}

# Starts what does not run: all of it at first, and what a test has killed.
plane_start() {
  [[ ${MIMEO_PLANE_DIR:-} ]] || die "plane-start works inside \`lab plane -- COMMAND\` only"
  plane_context
  plane_identities
  plane_config
  local arguments=()
  if [[ ${MIMEO_PLANE_HTTP1:-} ]]; then arguments=(--disable-http2-serving); fi
  start_etcd
  start_apiserver "${arguments[@]}"
  wait_for 60 "the API server (see $PLANE/log/apiserver.log; lab plane --keep DIR keeps it)" plane_is_ready || exit 1
  start_controller_manager
  start_scheduler
  # Without a lease of its node that is renewed, all its pods count as lost after 50 s.
  plane_daemon kwok "$KWOK_BIN/kwok" --kubeconfig "$PLANE/config/kwok.kubeconfig" --config "$LAB_DIR/plane-stages.yaml" \
    --manage-all-nodes --node-lease-duration-seconds 40 --node-ip "$PLANE_ADDRESS" --cidr 10.128.0.0/12
  plane_objects
  plane_kubectl apply --server-side -f "$LAB_DIR/plane.yaml" >/dev/null
  # Without this account the namespace takes no pods.
  wait_for 30 "the controller manager (see $PLANE/log/controller-manager.log)" plane_kubectl get serviceaccount default
  wait_for 30 "the played node (see $PLANE/log/kwok.log)" \
    plane_kubectl wait --for=condition=Ready node/played --timeout=2s
}
