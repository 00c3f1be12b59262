# shellcheck shell=bash
# A real forge for the demonstration and the tests: Gitea, in the lab's network
# namespace, where the host and pods reach it under one address. A lab without
# it is healthy; it ends with the lab and its data with it.

readonly FORGE_PORT=3000
readonly FORGE_URL=http://$NODE_IP:$FORGE_PORT
readonly FORGE_ADMIN=mimeo-admin
readonly FORGE=$STATE/forge
readonly FORGE_CONFIG=$STATE/config/forge.ini
readonly FORGE_TOKEN=$STATE/forge.token

# Prints the URL and the path of the token, and nothing else on stdout.
lab_forge() {
  ((EUID == 0)) || die "must run as root: the forge's token is root's"
  forge_has_lab
  if [[ $(forge_says) != 200 ]]; then
    {
      require_machine
      require_packages
      # Before the lock: a lab may be started or stopped meanwhile.
      binary_gitea
      lab_context
      lock
      forge_has_lab
      forge_start
      forge_token
    } >&2
  fi
  printf '%s\n' "$FORGE_URL" "$FORGE_TOKEN"
}

forge_has_lab() {
  { running && network_is_up; } || die "the lab is not running" "make lab-up"
}

# The forge's HTTP status for the administrator's token: 200 when all is well,
# 401 when it is not accepted, 000 when nothing answers. The token is no
# argument, which everybody on the machine could read; proxies are not asked.
forge_says() {
  local token=
  [[ ! -s $FORGE_TOKEN ]] || token=$(<"$FORGE_TOKEN")
  curl -qs --noproxy '*' --max-time 5 -o /dev/null -w '%{http_code}' -K - "$FORGE_URL/api/v1/user" \
    <<<"header = \"Authorization: token $token\"" || true
}

forge_answers() { curl -qsf --noproxy '*' --max-time 5 -o /dev/null "$FORGE_URL/api/v1/version"; }

forge_start() {
  # One that runs and stays silent is no use to anybody.
  if recorded "$STATE/run" forge >/dev/null && ! wait_for 10 "the forge" forge_answers; then halt "$STATE/run" 10 forge; fi
  recorded "$STATE/run" forge >/dev/null && return 0
  step "starting the forge"
  forge_config
  plane_daemon forge "${FORGE_WORDS[@]}" web
  wait_for 60 "the forge (see $STATE/log/forge.log)" forge_answers || exit 1
}

# Sets FORGE_WORDS: the command line of Gitea, for the daemon and for
# administration. It gets nothing of the caller's environment: neither settings
# of git nor proxies, which cannot be reached from inside the lab.
forge_words() {
  FORGE_WORDS=(env -i "PATH=/usr/sbin:/usr/bin:/sbin:/bin" "HOME=$FORGE" LC_ALL=C.UTF-8
    "$BINARY" --config "$FORGE_CONFIG" --work-path "$FORGE")
}

# What is not given here, Gitea would write into its configuration itself.
forge_config() {
  local secret
  mkdir -p "$STATE/config"
  # Hashes of passwords and tokens lie in it.
  mkdir -p -m 0700 "$FORGE"
  forge_words
  # Kept as long as the data: sessions and stored secrets depend on it.
  [[ -s $FORGE/secret ]] || token | write "$FORGE/secret" 0600
  secret=$(<"$FORGE/secret")
  write "$FORGE_CONFIG" 0600 <<E
APP_NAME = mimeo lab
RUN_MODE = prod
; The lab is a test machine's and needs root anyway; the programs may lie where
; no other user can read them.
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true

[server]
PROTOCOL = http
HTTP_ADDR = $NODE_IP
HTTP_PORT = $FORGE_PORT
DOMAIN = $NODE_IP
ROOT_URL = $FORGE_URL
LOCAL_ROOT_URL = $FORGE_URL/
STATIC_ROOT_PATH = ${BINARY%/*}
APP_DATA_PATH = $FORGE/data
DISABLE_SSH = true
OFFLINE_MODE = true
GRACEFUL_HAMMER_TIME = 5s

[database]
DB_TYPE = sqlite3
PATH = $FORGE/gitea.db
; Readers do not wait for a writer, and writers wait for each other instead of
; failing: many tests use one forge at once.
SQLITE_JOURNAL_MODE = WAL
SQLITE_TIMEOUT = 30000
LOG_SQL = false

[repository]
ROOT = $FORGE/repositories
DISABLE_MIGRATIONS = true

[security]
INSTALL_LOCK = true
SECRET_KEY = $secret
INTERNAL_TOKEN = $secret
; Tests make users and clients by the dozen: their passwords are worth nothing.
PASSWORD_HASH_ALGO = pbkdf2\$100\$32
SUCCESSFUL_TOKENS_CACHE_SIZE = 1000

[oauth2]
ENABLED = false
JWT_SECRET = $(printf '%s' "$secret" | base64 -w0 | tr -d =)

[service]
DISABLE_REGISTRATION = true

[openid]
ENABLE_OPENID_SIGNIN = false
ENABLE_OPENID_SIGNUP = false

[api]
ENABLE_SWAGGER = false

[webhook]
ALLOWED_HOST_LIST = loopback,private

[mailer]
ENABLED = false

[cron]
ENABLED = false

[cron.update_checker]
ENABLED = false

[mirror]
ENABLED = false

[packages]
ENABLED = false

[actions]
ENABLED = false

[indexer]
ISSUE_INDEXER_TYPE = db

; On disk, a queue that was idle is looked at every two seconds only: tests
; would wait for that after each push. What a kill loses here is made up for at
; the start (pull requests to be checked, webhooks to be sent).
[queue]
TYPE = channel

[session]
PROVIDER = memory

[cache]
ADAPTER = memory

[git.config]
core.fsync = none

[log]
MODE = console
LEVEL = warn
ROOT_PATH = $STATE/log

[log.console]
STDERR = true
COLORIZE = false
E
}

# A token that is lost, or of an administrator whom a test removed, is made anew.
forge_token() {
  local status
  status=$(forge_says)
  [[ $status != 200 ]] || return 0
  [[ $status == 401 || $status == 403 ]] ||
    die "the forge answers with status $status" "log: $STATE/log/forge.log"
  forge_words
  if ! forge_new_token; then
    step "the forge's administrator: $FORGE_ADMIN"
    "${FORGE_WORDS[@]}" admin user create --admin --username "$FORGE_ADMIN" --email "$FORGE_ADMIN@mimeo.invalid" \
      --random-password --must-change-password=false >/dev/null 2>>"$STATE/log/forge-admin.log" || true
    forge_new_token || die "the forge gives no token" "log: $STATE/log/forge-admin.log"
  fi
  [[ $(forge_says) == 200 ]] || die "the forge does not accept the token it has just made" "log: $STATE/log/forge.log"
}

forge_new_token() {
  local new
  # A name can be used once. What Gitea says about its configuration comes first.
  new=$("${FORGE_WORDS[@]}" admin user generate-access-token --username "$FORGE_ADMIN" \
    --token-name "lab-$(date +%s%N)" --scopes all --raw 2>>"$STATE/log/forge-admin.log" | tail -n 1) || return 1
  [[ $new =~ ^[0-9a-f]{40}$ ]] || return 1
  write "$FORGE_TOKEN" 0600 <<<"$new"
}

# It is optional: nothing is said of one that was never asked for.
forge_status() {
  local pid
  if pid=$(recorded "$STATE/run" forge); then
    printf '%-20s running, pid %s, %s MB, %s\n' forge "$pid" "$(awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$pid/status")" "$FORGE_URL"
  elif [[ -e $FORGE ]]; then
    printf '%-20s not running (optional; make lab-forge starts it again)\n' forge
  fi
}
