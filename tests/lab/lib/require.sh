# shellcheck shell=bash
# What the machine must have. Toolchains are the user's business and are asked
# for; Debian packages are installed.

readonly PACKAGES=(
  containerd runc containernetworking-plugins iptables conntrack iproute2
  util-linux procps mmdebstrap debian-archive-keyring busybox-static
  ca-certificates openssl python3 jq
  pkg-config # for the build of mimeo itself
  gcc libc6-dev git curl # for the forge: SQLite is C, Gitea runs git
)

require_machine() {
  local missing=() hints=()
  [[ $(uname -s) == Linux && -r /etc/debian_version ]] ||
    die "this is not a Debian machine" "the lab needs Debian 12 or newer; with a cluster of your own no lab is needed (CONTEXT=name)"
  [[ $(uname -m) == x86_64 || $(uname -m) == aarch64 ]] ||
    die "no images can be built for $(uname -m)" "the lab knows x86_64 and aarch64"
  ((EUID == 0)) ||
    die "must run as root: it makes a network namespace and runs containers" "sudo -E make lab-up"
  local tool
  for tool in git make; do
    command -v "$tool" >/dev/null || { missing+=("$tool"); hints+=("apt-get install -y $tool"); }
  done
  if ! command -v go >/dev/null; then
    missing+=(go)
    hints+=("Go 1.26.3 or newer: https://go.dev/doc/install (unpack to /usr/local, PATH=/usr/local/go/bin:\$PATH)")
  else
    local version
    version=$(cd / && go env GOVERSION)
    if [[ $(printf '%s\n' go1.26.3 "$version" | sort -V | head -n1) != go1.26.3 ]]; then
      missing+=("go 1.26.3 (found $version)")
      hints+=("Go 1.26.3 or newer: https://go.dev/doc/install")
    fi
  fi
  command -v cargo >/dev/null || { missing+=(cargo); hints+=("Rust: https://rustup.rs (the checkout pins its version)"); }
  if ((${#missing[@]})); then
    die "missing: $(printf '%s, ' "${missing[@]}" | sed 's/, $//')" "${hints[@]}"
  fi
  # 8 GiB hold the Go build cache, the binaries, the images and the lab.
  local free
  mkdir -p "$CACHE"
  free=$(df --output=avail -k "$CACHE" | tail -n1)
  ((free > 8 * 1024 * 1024)) || [[ -e $CACHE/bin ]] ||
    die "only $((free / 1024 / 1024)) GiB free under $CACHE" "the first start needs 8 GiB; MIMEO_CACHE=/elsewhere moves the cache"
}

# Further packages may be named.
require_packages() {
  local package missing=() log="$CACHE/log/apt.log"
  for package in "${PACKAGES[@]}" "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  mkdir -p "$CACHE/log"
  step "Debian packages: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # Package lists are often absent or stale on a fresh machine: then they are
  # fetched, and only then. A service that a package brings is not started for
  # the lab's sake: the lab runs a containerd of its own.
  if ! apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
    apt-get update >>"$log" 2>&1 || true
    apt-get install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1 ||
      die "apt-get could not install ${missing[*]}; see $log" "apt-get update && apt-get install -y ${missing[*]}"
  fi
}
