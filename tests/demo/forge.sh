#!/usr/bin/env bash
# The demo's side of the lab's Gitea: a user, a repository and a pull request of its own, all by API. Tokens are in
# files that only root reads, never in an argument.

FORGE_USER=mimeo-demo
FORGE_PROJECT=flights
FORGE=
FORGE_ADMIN_TOKEN=
FORGE_TOKEN=
FORGE_REPOSITORY=

# Starts the lab's Gitea unless it runs, and knows what the demo's repository on it is called.
forge() {
  local answer
  answer=$("$ROOT/tests/lab/lab" forge)
  { read -r FORGE && read -r FORGE_ADMIN_TOKEN; } <<<"$answer"
  FORGE_TOKEN=$WORK/forge.token
  FORGE_REPOSITORY=${FORGE#*://}/$FORGE_USER/$FORGE_PROJECT
  # The lab is on this machine: no proxy leads there.
  export NO_PROXY="${NO_PROXY:+$NO_PROXY,}${FORGE_REPOSITORY%%:*}"
  export no_proxy="$NO_PROXY"
}

# api TOKEN-FILE METHOD PATH [JSON]: prints the answer; fails with the forge's own words.
api() {
  local answer status body=()
  (($# < 4)) || body=(-H 'Content-Type: application/json' --data-binary "$4")
  answer=$(curl -qs --noproxy '*' --max-time 30 -X "$2" -K - -w '\n%{http_code}' "${body[@]}" "$FORGE/api/v1$3" \
    <<<"header = \"Authorization: token $(<"$1")\"")
  status=${answer##*$'\n'}
  printf '%s\n' "${answer%$'\n'*}"
  [[ $status == 2* ]]
}

# A field of a JSON document, as a Python expression on `it`.
field() { python3 -c 'import json, sys; it = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }

# What an earlier demo left on the forge, and what the cluster remembers of it.
forge_leftovers() {
  api "$FORGE_ADMIN_TOKEN" DELETE "/admin/users/$FORGE_USER?purge=true" >/dev/null || true
  "${KUBECTL[@]}" get pullrequests.mimeo.dev -n mimeo-system -o json |
    field "'\n'.join(each['metadata']['name'] for each in it['items'] if each['spec']['repository'] == '$FORGE_REPOSITORY')" |
    xargs -r "${KUBECTL[@]}" delete pullrequests.mimeo.dev -n mimeo-system >/dev/null
}

# A user with a token that can do what mimeo needs and no more, and an empty repository.
forge_repository() {
  local password
  password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  api "$FORGE_ADMIN_TOKEN" POST /admin/users "{\"username\": \"$FORGE_USER\", \"email\": \"$FORGE_USER@mimeo.invalid\",
    \"password\": \"$password\", \"must_change_password\": false}" >"$WORK/answer" || die "no user: $(<"$WORK/answer")"
  # A token is made with the password of its owner.
  (umask 077 && curl -qsf --noproxy '*' --max-time 30 -K - -H 'Content-Type: application/json' --data-binary \
    '{"name": "demo", "scopes": ["write:repository", "write:issue", "read:user"]}' \
    "$FORGE/api/v1/users/$FORGE_USER/tokens" <<<"user = \"$FORGE_USER:$password\"" |
    field "it['sha1']" >"$FORGE_TOKEN") || die "the forge gives no token"
  api "$FORGE_ADMIN_TOKEN" POST "/admin/users/$FORGE_USER/repos" \
    "{\"name\": \"$FORGE_PROJECT\", \"default_branch\": \"main\"}" >"$WORK/answer" || die "no repository: $(<"$WORK/answer")"
}

# push FROM:TO: with the token, which neither an argument nor the clone's configuration holds.
push() {
  GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0="http.$FORGE/.extraHeader" \
    GIT_CONFIG_VALUE_0="Authorization: token $(<"$FORGE_TOKEN")" GIT_CONFIG_KEY_1=http.proxy GIT_CONFIG_VALUE_1='' \
    git_ push --quiet "$FORGE/$FORGE_USER/$FORGE_PROJECT.git" "$1" 2>"$WORK/push" || die "the push failed: $(<"$WORK/push")"
}

# open_pull BRANCH TITLE: sets PULL, its number, and PULL_URL.
open_pull() {
  api "$FORGE_TOKEN" POST "/repos/$FORGE_USER/$FORGE_PROJECT/pulls" \
    "{\"head\": \"$1\", \"base\": \"main\", \"title\": \"$2\"}" >"$WORK/answer" || die "no pull request: $(<"$WORK/answer")"
  PULL=$(field "it['number']" <"$WORK/answer")
  # shellcheck disable=SC2034 # the walk gives it to mimeo
  PULL_URL=$(field "it['html_url']" <"$WORK/answer")
}

# Gitea first finds out whether it can be merged, and says "try again later" until it has.
merge_pull() {
  local tries
  for ((tries = 0; tries < 30; tries++)); do
    api "$FORGE_TOKEN" POST "/repos/$FORGE_USER/$FORGE_PROJECT/pulls/$PULL/merge" '{"Do": "merge"}' >"$WORK/answer" && return
    sleep 0.5
  done
  die "the pull request cannot be merged: $(<"$WORK/answer")"
}

# The one comment there is, as it stands on the forge.
comment() {
  api "$FORGE_TOKEN" GET "/repos/$FORGE_USER/$FORGE_PROJECT/issues/$PULL/comments" >"$WORK/comments" ||
    die "the comments cannot be read: $(<"$WORK/comments")"
  [[ $(field 'len(it)' <"$WORK/comments") == 1 ]] || die "there should be one comment: $(<"$WORK/comments")"
  field "it[0]['body']" <"$WORK/comments" >"$WORK/comment"
}

# The newest status of a commit.
status_of() {
  api "$FORGE_TOKEN" GET "/repos/$FORGE_USER/$FORGE_PROJECT/commits/$1/status" |
    field "'{context}: {status}, {description}'.format(**it['statuses'][0])"
}
