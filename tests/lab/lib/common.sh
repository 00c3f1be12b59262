# shellcheck shell=bash
# What every stage of the lab shares: paths, messages, and processes that are
# started, recorded, found again and stopped.

# shellcheck disable=SC2034
readonly LAB_DIR # set by the caller: the folder this lab's source lies in
CHECKOUT=$(cd "$LAB_DIR/../.." && pwd)
readonly CHECKOUT

# One lab per machine: addresses, namespace and state directory are fixed.
readonly STATE=/var/lib/mimeo-lab
readonly LOCK=/run/lock/mimeo-lab.lock
readonly NETNS=mimeo-lab
readonly HOST_LINK=mimeo-lab0
readonly HOST_IP=172.31.77.1
readonly NODE_IP=172.31.77.2
readonly LINK_NET=172.31.77.0/30
readonly POD_NET=10.244.0.0/24
readonly SERVICE_NET=10.96.0.0/16
readonly SERVICE_IP=10.96.0.1
readonly NODE_NAME=lab

readonly CACHE=${MIMEO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mimeo}

# ---------------------------------------------------------------- messages

LAB_BEGAN=$SECONDS

say() { printf '%s\n' "$*"; }
note() { printf 'lab: %s\n' "$*" >&2; }
die() {
  printf 'lab: %s\n' "$1" >&2
  shift
  if (($#)); then printf '     %s\n' "$@" >&2; fi
  exit 1
}

duration() { # SECONDS → 42s, 6m12s
  local s=$1
  if ((s < 60)); then printf '%ss' "$s"; else printf '%dm%02ds' $((s / 60)) $((s % 60)); fi
}

step() { # MESSAGE: what starts now, with the time since the command began
  printf '[%6s] %s\n' "$(duration $((SECONDS - LAB_BEGAN)))" "$*"
}

# long NAME USUAL COMMAND… runs a step that takes minutes: says how long it
# usually takes, gives a sign of life every 30 seconds, keeps the output in a
# log and shows its end when the step fails.
long() {
  local name=$1 usual=$2 began=$SECONDS log pid beat status=0
  shift 2
  mkdir -p "$CACHE/log"
  log="$CACHE/log/${name// /-}.log"
  step "$name: $usual"
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  (
    while sleep 30; do
      kill -0 "$pid" 2>/dev/null || exit 0
      step "$name: still at it after $(duration $((SECONDS - began)))"
    done
  ) &
  beat=$!
  wait "$pid" || status=$?
  end_beat "$beat"
  if ((status)); then
    note "$name failed (status $status); the end of $log:"
    tail -n 25 "$log" | sed 's/^/     | /' >&2
    return 1
  fi
  step "$name: done in $(duration $((SECONDS - began)))"
}

# The sleep of a heartbeat is a child of it and would keep a pipe open.
end_beat() {
  local children
  children=$(ps -o pid= --ppid "$1" || true)
  # shellcheck disable=SC2086
  kill "$1" $children 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

# wait_for SECONDS WHAT COMMAND…: until the command succeeds.
wait_for() {
  local limit=$1 what=$2 began=$SECONDS
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS - began >= limit)); then
      note "gave up waiting for $what after $(duration "$limit")"
      return 1
    fi
    sleep 0.1
  done
}

# ------------------------------------------------------------------- files

# Writes standard input to a file at once or not at all.
write() { # PATH [MODE]
  local new
  new=$(mktemp "$1.XXXXXX")
  cat >"$new"
  chmod "${2:-0644}" "$new"
  mv -f "$new" "$1"
}

# content_key TEXT FILE…: 12 digits of a hash over a text and files' contents.
# Names count relative to the lab's folder, so that two checkouts agree.
content_key() {
  local text=$1 file name
  shift
  {
    printf '%s\n' "$text"
    for file in "$@"; do
      name=${file#"$LAB_DIR"/}
      if [[ $name == /* ]]; then name=${name##*/}; fi
      printf '%s ' "$name"
      sha256sum <"$file"
    done
  } | sha256sum | cut -c1-12
}

# --------------------------------------------------------------- processes
#
# A process is known by its pid and its start time (field 22 of its stat
# line): a pid that was given to someone else is never signalled.

started_at() { # PID → start time in clock ticks; fails when there is none
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # The second field is the command's name in brackets and may hold spaces.
  stat=${stat##*) }
  # A zombie has ended already, whoever its parent is.
  [[ $stat != Z* ]] || return 1
  awk '{print $20}' <<<"$stat"
}

# daemon RECORDS NAME LOG COMMAND…: starts a process in a session of its own
# and records it before it becomes the command, so that no moment exists in
# which it runs unrecorded. It keeps no descriptor of the caller: neither the
# lock nor a pipe that the caller's reader waits on.
daemon() {
  local records=$1 name=$2 log=$3
  shift 3
  # shellcheck disable=SC2016
  setsid bash -c '
    record=$1 log=$2; shift 2
    stat=$(cat /proc/$$/stat); stat=${stat##*) }; set -- $stat -- "$@"
    printf "%s %s\n" $$ "${20}" >"$record.new" && mv "$record.new" "$record"
    while [ "$1" != -- ]; do shift; done; shift
    for fd in /proc/$$/fd/*; do fd=${fd##*/}; ((fd > 2)) && eval "exec $fd>&-"; done 2>/dev/null
    exec "$@" </dev/null >>"$log" 2>&1
  ' daemon "$records/$name" "$log" "$@" </dev/null >/dev/null 2>&1 9>&- &
  disown
  wait_for 5 "$name to start" test -s "$records/$name"
}

recorded() { # RECORDS NAME → pid of a daemon that is alive
  local pid began
  [[ -s $1/$2 ]] || return 1
  read -r pid began <"$1/$2" || return 1
  [[ $(started_at "$pid") == "$began" ]] || return 1
  printf '%s\n' "$pid"
}

# halt RECORDS SECONDS NAME…: asks the daemons to end, insists after SECONDS,
# and returns when they are gone.
halt() {
  local records=$1 grace=$2 name pid tenth
  shift 2
  for name in "$@"; do
    if pid=$(recorded "$records" "$name"); then kill "$pid" 2>/dev/null || true; fi
  done
  for name in "$@"; do
    for ((tenth = 0; tenth < grace * 10; tenth++)); do
      recorded "$records" "$name" >/dev/null || break
      sleep 0.1
    done
    if pid=$(recorded "$records" "$name"); then kill -9 "$pid" 2>/dev/null || true; fi
    for ((tenth = 0; tenth < 50; tenth++)); do
      recorded "$records" "$name" >/dev/null || break
      sleep 0.1
    done
    rm -f "$records/$name"
  done
}
