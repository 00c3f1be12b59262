# shellcheck shell=bash
# The commands for the lab as a whole: one per machine, whoever starts it.

# What a running lab's configuration came from. Images are not part of it:
# they are imported into a running lab.
lab_version() {
  content_key "$NODE_IP" "$LAB_DIR"/lib/{common,network,control-plane,node}.sh "$LAB_DIR/cluster.yaml" \
    "$LAB_DIR"/{kubernetes,dns}/*.go "$LAB_DIR"/{kubernetes,dns}/go.*
}

# One start or stop at a time; the lock goes with the process that holds it.
lock() {
  mkdir -p "${LOCK%/*}"
  exec 9>>"$LOCK"
  flock -n 9 && return 0
  note "another command is starting or stopping the lab; waiting for it"
  flock 9
}

record() { jq -r ".$1 // empty" "$STATE/lab.json" 2>/dev/null || true; }

# A record from before the last boot is about processes that are gone.
running() { [[ -s $STATE/lab.json && $(record boot) == "$(</proc/sys/kernel/random/boot_id)" ]]; }

alive() { # NAME…
  local name
  for name; do recorded "$STATE/run" "$name" >/dev/null || return 1; done
}

healthy() {
  running && network_is_up && alive "${DAEMONS[@]}" && plane_is_ready >/dev/null 2>&1 && node_is_ready 2>/dev/null
}

lab_context() {
  PLANE=$STATE
  PLANE_IP=$NODE_IP
  PLANE_ENTER=(nsenter "--net=/run/netns/$NETNS" --)
  KUBE_BIN=$STATE/bin
  DNS_BIN=$STATE/bin
}

# What this command has running beside itself ends with it.
kill_tree() {
  local child
  for child in $(ps -o pid= --ppid "$1" || true); do kill_tree "$child"; done
  kill "$1" 2>/dev/null || true
}

lab_build() {
  require_machine
  require_packages
  build_all
  binary_gitea
  build_images "${CATALOGUE[@]}"
}

# Programs use the cores and images the network: side by side.
build_all() {
  local images
  mkdir -p "$CACHE/log"
  binary_pause
  build_images "${IMAGES[@]}" &
  images=$!
  # shellcheck disable=SC2064
  trap "kill_tree $images; exit 130" INT TERM
  if ! binaries; then
    kill_tree "$images"
    exit 1
  fi
  wait "$images" || exit 1
  trap - INT TERM
}

lab_up() {
  lab_context
  if ((EUID != 0)); then require_machine; fi
  lock
  # Asked twice: one slow answer of a busy machine is no illness.
  if healthy || { running && alive "${DAEMONS[@]}" && sleep 2 && healthy; }; then
    held_by_other
  else
    require_machine
    require_packages
    if alive etcd apiserver || alive apiserver containerd; then held_by_other; fi
    build_all
    bring_up
  fi
  if ! standard_images_present; then
    require_packages
    build_images "${IMAGES[@]}"
    step "importing images"
    import_standard_images
  fi
  if [[ -x $(mimeo_binary) ]]; then
    step "image of this checkout's mimeo: $(import_mimeo)"
  else
    step "no image of mimeo: $(mimeo_binary) is not built yet"
  fi
  step "the lab is ready: API server https://$NODE_IP:6443, kubeconfig $STATE/admin.kubeconfig"
}

# Another checkout's lab is used when it is the same lab.
held_by_other() {
  local version holder
  version=$(lab_version)
  holder=$(record checkout)
  [[ $(record version) != "$version" ]] || return 0
  if [[ $holder == "$CHECKOUT" ]]; then
    note "the lab's own source has changed since it was started; \`make lab-down lab-up\` applies that"
    return 0
  fi
  die "a lab of another version is running (its $(record version), this checkout's $version)" \
    "it was started $(record started) from $holder" \
    "stop it with \`make lab-down\`, in either checkout, when nobody needs it any more; then \`make lab-up\`"
}

# Repairs a lab of which parts are gone; starts anew where that is not possible.
bring_up() {
  if running && alive etcd && network_is_up; then
    step "repairing the lab: $(dead_daemons) not running or not answering"
    if start; then return 0; fi
    note "that did not help: starting anew"
  fi
  if [[ -e $STATE/lab.json || -e /run/netns/$NETNS ]]; then
    step "removing what an earlier lab left behind"
  fi
  stop_lab
  step "starting the lab"
  if start; then return 0; fi
  # Imported images may be what is broken: they are kept between starts.
  note "starting once more, with nothing kept"
  stop_lab
  rm -rf --one-file-system "$STATE"
  start || die "the lab does not start" "logs: $STATE/log/" "\`make lab-down\` removes what there is"
}

dead_daemons() {
  local name dead=()
  for name in "${DAEMONS[@]}"; do alive "$name" || dead+=("$name"); done
  printf '%s' "${dead[*]:-some part}"
}

link_programs() {
  local program
  mkdir -p "$STATE/bin"
  binary_kubernetes
  for program in "${KUBERNETES_PARTS[@]}"; do ln -sfn "${BINARY%/*}/$program" "$STATE/bin/$program"; done
  binary_dns
  ln -sfn "$BINARY" "$STATE/bin/coredns"
}

# Starts what does not run.
start() {
  plane_directories
  jq -n --arg checkout "$CHECKOUT" --arg version "$(lab_version)" --arg started "$(date '+%F %T')" \
    --arg boot "$(</proc/sys/kernel/random/boot_id)" '$ARGS.named' | write "$STATE/lab.json"
  network_up
  link_programs
  link_volumes
  plane_identities
  plane_config
  node_config
  start_etcd
  start_apiserver
  start_containerd
  wait_for 20 "containerd (see $STATE/log/containerd.log)" containerd_is_up || return 1
  # Importing takes longer than anything else on a first start: it runs while
  # the control plane comes up. The kubelet waits for the pause image only.
  import_images "$(image_entry pause)" || return 1
  import_standard_images &
  local importing=$!
  wait_for 60 "the API server (see $STATE/log/apiserver.log)" plane_is_ready || return 1
  step "API server is ready"
  start_controller_manager
  start_scheduler
  start_kubelet
  plane_objects || return 1
  start_dns
  wait_for 60 "the node to register (see $STATE/log/kubelet.log)" node_exists || return 1
  # Started earlier, it would wait 30 s for the node's address.
  start_proxy
  wait_for 60 "the node to be ready (see $STATE/log/kubelet.log)" node_is_ready || return 1
  step "node is ready"
  wait "$importing" || return 1
}

lab_down() {
  local purge=
  case ${1:-} in
    --purge) purge=yes ;;
    '') ;;
    *) die "down knows --purge only, not $1" ;;
  esac
  ((EUID == 0)) || die "must run as root"
  lab_context
  lock
  stop_lab
  [[ ! $purge ]] || rm -rf --one-file-system "$STATE"
  step "the lab is stopped and removed"
}

lab_status() {
  lab_context
  if ! running; then
    say "the lab is not running (make lab-up starts it)"
    return 1
  fi
  local name pid state=healthy
  printf '%-20s %s\n' checkout "$(record checkout)" version "$(record version)$([[ $(record version) == "$(lab_version)" ]] || echo ", this checkout's is $(lab_version)")" \
    started "$(record started)" "API server" "https://$NODE_IP:6443" kubeconfig "$STATE/admin.kubeconfig" \
    kubectl "$STATE/bin/kubectl" "request log" "$STATE/audit.log" logs "$STATE/log/"
  for name in "${DAEMONS[@]}"; do
    if pid=$(recorded "$STATE/run" "$name"); then
      printf '%-20s running, pid %s, %s MB\n' "$name" "$pid" "$(awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$pid/status")"
    else
      printf '%-20s not running\n' "$name"
      state=unhealthy
    fi
  done
  forge_status
  if [[ $state == healthy ]] && ! healthy; then state=unhealthy; fi
  if [[ $state == healthy ]]; then
    printf '%-20s %s\n' pods "$(plane_kubectl get pods -A --no-headers 2>/dev/null | wc -l)" \
      images "$(lab_ctr images ls -q | grep -v '^sha256:\|@sha256:' | tr '\n' ' ')"
  fi
  printf '%-20s %s\n' state "$state"
  [[ $state == healthy ]]
}

lab_shell() {
  running || die "the lab is not running" "make lab-up"
  # mimeo of this checkout, if it is built, and the lab's names of the images that specs mention.
  export KUBECONFIG=$STATE/admin.kubeconfig PATH=$STATE/bin:$CHECKOUT/target/release:$PATH
  export MIMEO_IMAGE_MAP=$LAB_DIR/images.yaml
  if (($#)); then exec "$@"; fi
  say "kubectl and mimeo talk to the lab; exit leaves this shell"
  exec "${SHELL:-/bin/bash}" -i
}

standard_images_present() {
  local name entry present
  present=$(lab_ctr images ls | awk '{print $1, $3}')
  for name in "${IMAGES[@]}"; do
    entry=$(image_entry "$name")
    [[ -s $entry ]] || return 1
    grep -qxF "$(jq -r '.ref + " " + .manifest' "$entry")" <<<"$present" || return 1
  done
}

lab_image_mimeo() {
  running || die "the lab is not running" "make lab-up"
  import_mimeo || die "there is no $(mimeo_binary)" "cargo build --release"
}
