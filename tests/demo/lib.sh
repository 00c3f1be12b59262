#!/usr/bin/env bash
# Small things the demo's walk is told with: progress, figures from a cluster, edits of the scratch clone.

BEGUN=$EPOCHREALTIME
STEP_BEGUN=
STEP=
STEPS=8

elapsed() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.1f s", b - a}'; }

step() {
  [[ ! $STEP ]] || say "($(elapsed "$STEP_BEGUN"))"
  STEP=$1 STEP_BEGUN=$EPOCHREALTIME
  printf '\n[%s/%s] %s\n' "$1" "$STEPS" "$2"
}

say() { printf '  %s\n' "$*"; }

# die CAUSE [COMMAND…]: the cause, and what to type.
die() {
  printf '\nerror: %s\n' "$1" >&2
  shift
  ((!$#)) || printf '  %s\n' "$@" >&2
  exit 1
}

ended() {
  (($1 == 0)) && return
  printf '\nThe demo stopped in step %s after %s.\n' "${STEP:-0}" "$(elapsed "$BEGUN")" >&2
  [[ ! ${WROTE:-} ]] || printf 'What it made is left to be looked at; another run removes it.\n' >&2
}

indent() { sed -u 's/^/  /'; }

prefix() { sed -u "s|^|  [$1] |"; }

# Shows a command's talk only when the command fails: the reader's pipe decides nothing, pipefail does.
quietly() {
  local talk
  talk=$(cat)
  printf '%s\n' "$talk" >>"$WORK/talk.log"
  ! grep -qi '^error' <<<"$talk" || printf '%s\n' "$talk" | indent >&2
}

apply() { "${KUBECTL[@]}" apply --server-side --force-conflicts --field-manager=mimeo-demo -f - >/dev/null; }

git_() { git -C "$REPOSITORY" -c user.name="mimeo demo" -c user.email=demo@localhost -c commit.gpgsign=false "$@"; }

# edit FILE SED-SCRIPT: fails when the script changes nothing.
edit() {
  sed -i "$2" "$REPOSITORY/$1"
  ! git_ diff --quiet -- "$1" || die "$1 has no line for: $2"
}

commit() { git_ commit --quiet --all --message "$1"; }

# One value of a database: NAMESPACE STATEFULSET QUERY.
sql() { "${KUBECTL[@]}" exec -n "$1" "statefulset/$2" -- psql -X -At -U postgres -d flights -c "$3"; }

# A kubeconfig for the same cluster, with a token in the place of its user.
as_user() {
  python3 -c '
import json, sys
config = json.load(sys.stdin)
cluster = config["clusters"][0]
print(json.dumps({
    "apiVersion": "v1", "kind": "Config", "current-context": "demo", "clusters": [cluster],
    "users": [{"name": "demo", "user": {"token": sys.argv[1]}}],
    "contexts": [{"name": "demo", "context": {"cluster": cluster["name"], "user": "demo"}}],
}))' "$1"
}

# environments FIELD NAME…: that field of the environments of these branches or repositories, from `mimeo list -o json`.
environments() {
  python3 -c '
import json, sys
field, names = sys.argv[1], sys.argv[2:]
for item in json.load(sys.stdin)["items"]:
    if item["spec"] == "qa" and (item["ref"] in names or item["repository"] in names):
        print(item[field])' "$@"
}

audit_size() { [[ ! $AUDIT ]] || stat -c %s "$AUDIT"; }

# Uid and version of everything that somebody could have touched.
fingerprint() {
  "${KUBECTL[@]}" get statefulsets,jobs,services,configmaps,secrets,persistentvolumeclaims -n "$1" \
    -o 'jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.uid} {.metadata.resourceVersion}{"\n"}{end}'
}
