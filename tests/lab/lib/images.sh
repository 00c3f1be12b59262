# shellcheck shell=bash
# Images built from Debian and PyPI packages, kept outside the checkout under
# the hash of their recipe, and imported into the lab's containerd when it does
# not have them yet.
#
# A recipe is tests/lab/images/NAME/recipe: REF, FROM (base unless set), a
# function `build` that fills $ROOT, and a function `inputs` that prints files
# the result depends on besides the recipe's own folder. With ALONE=yes, `build`
# starts from an empty folder and its files are laid over FROM as they are.

readonly IMAGES=(pause busybox postgres dbt)
# What the rest of the catalogue runs: built and imported when it is asked for.
readonly CATALOGUE=(s3 kafka dagster airflow)
readonly STORE=$CACHE/images
readonly IMAGE_TOOL=$LAB_DIR/images/image
# python3 of Debian, whatever else is called python3 here.
image_tool() { /usr/bin/python3 "$IMAGE_TOOL" "$@"; }

# Runs a shell script as root inside $ROOT, with the network, the package
# manager's proxy settings, pip's settings and the certificates of this
# machine. Its mounts and processes end with it.
inside() {
  local settings=() name value
  while IFS='=' read -r name value; do
    case $name in
      http_proxy | https_proxy | no_proxy | HTTP_PROXY | HTTPS_PROXY | NO_PROXY | PIP_*) settings+=("$name=$value") ;;
    esac
  done < <(env)
  local certificates=/etc/ssl/certs/ca-certificates.crt
  for value in "${PIP_CERT:-}" "${SSL_CERT_FILE:-}" "${REQUESTS_CA_BUNDLE:-}" "${CURL_CA_BUNDLE:-}"; do
    if [[ -f $value ]]; then certificates=$value; break; fi
  done
  # Files and folders that pip's settings name must exist inside, too.
  local shared=()
  for value in "${PIP_CONFIG_FILE:-}" "${PIP_FIND_LINKS:-}" /etc/pip.conf "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf"; do
    if [[ $value == /* && -e $value ]]; then shared+=("$value"); fi
  done
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child bash -euc '
    root=$1 apt=$2 certificates=$3 script=$4 shared=$5; shift 5
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    mount --bind "$(readlink -f /etc/resolv.conf)" "$root/etc/resolv.conf"
    cp "$apt" "$root/run/apt.conf"
    cp "$certificates" "$root/run/certificates.crt"
    # Named by their own path, so shown under it: below a folder of the image
    # that would keep an empty mount point, they are copied to /run instead.
    pip=()
    for path in $shared; do
      case $path in
        */pip.conf|"${PIP_CONFIG_FILE:-none}") cp "$path" "$root/run/pip.conf"; pip=(PIP_CONFIG_FILE=/run/pip.conf) ;;
        *) mkdir "$root/run/links"; mount --rbind "$path" "$root/run/links"; pip+=(PIP_FIND_LINKS=/run/links) ;;
      esac
    done
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
      DEBIAN_FRONTEND=noninteractive APT_CONFIG=/run/apt.conf "$@" "${pip[@]}" \
      PIP_CERT=/run/certificates.crt SSL_CERT_FILE=/run/certificates.crt REQUESTS_CA_BUNDLE=/run/certificates.crt \
      chroot "$root" bash -c "$script"
  ' inside "$ROOT" "$APT_OPTIONS" "$certificates" "$1" "${shared[*]}" "${settings[@]}"
}

# Reads recipe NAME: sets RECIPE, REF, FROM, ENTRY (where its result lies) and
# BASE_ENTRY.
recipe() {
  local name=$1 base_key='' files=()
  RECIPE=$LAB_DIR/images/$name
  FROM=base
  ALONE=
  [[ $name != base ]] || FROM=
  BASE_ENTRY=
  inputs() { :; }
  # shellcheck disable=SC1090,SC1091
  source "$RECIPE/recipe"
  local own=("$REF" "$FROM")
  if [[ $FROM ]]; then
    base_key=$(image_key base)
    BASE_ENTRY=$STORE/base-$base_key.json
  fi
  mapfile -t files < <(inputs)
  ENTRY=$STORE/$name-$(content_key "${own[*]} $base_key $(uname -m)" "$IMAGE_TOOL" "$RECIPE/recipe" "$RECIPE/config.json" "${files[@]}").json
}

image_key() ( # NAME, in a subshell: recipes define functions of the same names
  recipe "$1"
  key=${ENTRY##*-}
  printf '%s\n' "${key%.json}"
)

image_entry() (
  recipe "$1"
  printf '%s\n' "$ENTRY"
)

# Builds image NAME unless it is there. Runs in a subshell.
build_image() (
  name=$1
  recipe "$name"
  [[ ! -s $ENTRY ]] || exit 0
  case $name in
    base) usual="first build, usually 30-60 seconds" ;;
    postgres) usual="first build, usually about a minute" ;;
    dbt) usual="first build, usually 1-2 minutes" ;;
    s3) usual="first build, usually 2-4 minutes" ;;
    kafka | dagster | airflow) usual="first build, usually 2-3 minutes" ;;
    *) usual="" ;;
  esac
  if [[ $usual ]]; then
    long "$name image" "$usual" make_image "$name"
  else
    make_image "$name" >"$CACHE/log/$name-image.log" 2>&1
  fi
)

make_image() {
  local name=$1 work layers=()
  recipe "$name"
  mkdir -p "$STORE/blobs/sha256"
  work=$(mktemp -d "$STORE/.new.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf --one-file-system '$work'" EXIT
  ROOT=$work/root
  APT_OPTIONS=$work/apt.conf
  apt-config dump 2>/dev/null | grep -iE '^Acquire::([a-z]+::)?(Proxy|CaInfo|Verify)' >"$APT_OPTIONS" || true
  mkdir -m 0755 "$ROOT"
  if [[ $FROM ]]; then
    local digest
    mapfile -t layers < <(image_tool layers "$STORE" "$BASE_ENTRY")
    if [[ ! $ALONE ]]; then
      for digest in "${layers[@]}"; do
        tar -xf "$STORE/blobs/${digest/:/\/}" -C "$ROOT" --numeric-owner --xattrs
      done
      # What is new is found by comparison with this.
      cp -a "$ROOT" "$work/base"
    fi
  fi
  (
    set -euo pipefail
    build
  )
  if [[ $FROM && ! $ALONE ]]; then
    image_tool layer --base "$work/base" "$ROOT" "$work/layer.tar"
  else
    image_tool layer "$ROOT" "$work/layer.tar"
  fi
  image_tool pack "$STORE" "$ENTRY" "$RECIPE/config.json" "$REF" "${layers[@]}" "$work/layer.tar"
}

# Every image, one after another (they share the network). The base comes
# first: the others lie on it.
build_images() {
  mkdir -p "$STORE" "$CACHE/log"
  local name
  for name in base "$@"; do build_image "$name"; done
}

lab_ctr() { ctr --address "$STATE/containerd.sock" --namespace k8s.io "$@"; }

# Imports images unless containerd holds exactly these under these names.
import_images() { # ENTRY[=REF]…
  local item entry ref present have want=()
  present=$(lab_ctr images ls | awk '{print $1, $3}')
  for item; do
    entry=${item%%=*} ref=''
    [[ $item != *=* ]] || ref=${item#*=}
    grep -qxF "${ref:-$(jq -r .ref "$entry")} $(image_tool digest "$entry")" <<<"$present" || want+=("$item")
  done
  ((${#want[@]})) || return 0
  mkdir -p "$STATE/import"
  have=$(mktemp "$STATE/import/have.XXXXXX")
  for item in "${want[@]}"; do
    entry=${item%%=*} ref=()
    [[ $item != *=* ]] || ref=("${item#*=}")
    lab_ctr content ls -q >"$have"
    # Only what containerd lacks is sent; should it have lost a part of what it
    # lists, the whole image follows.
    image_tool stream "$STORE" "$have" "$entry" "${ref[@]}" | lab_ctr images import - >/dev/null 2>&1 ||
      image_tool stream "$STORE" /dev/null "$entry" "${ref[@]}" | lab_ctr images import - >/dev/null
  done
  rm -f "$have"
}

# Images of the catalogue, all unless some are named, in a lab that runs.
lab_images() {
  ((EUID == 0)) || die "must run as root: it imports into the lab's containerd"
  running || die "the lab is not running" "make lab-up"
  local name entries=() names=("$@")
  (($#)) || names=("${CATALOGUE[@]}")
  for name in "${names[@]}"; do
    [[ " ${IMAGES[*]} ${CATALOGUE[*]} " == *" $name "* ]] ||
      die "there is no image $name" "images: ${IMAGES[*]} ${CATALOGUE[*]}"
  done
  require_packages
  build_images "${names[@]}"
  for name in "${names[@]}"; do entries+=("$(image_entry "$name")"); done
  import_images "${entries[@]}"
  step "imported: ${names[*]}"
}

import_standard_images() {
  local name entries=()
  for name in "${IMAGES[@]}"; do entries+=("$(image_entry "$name")"); done
  import_images "${entries[@]}"
}

# The image of the checkout's own binary, under the moving tag `dev` and under
# a tag that names its content. Prints the latter.
mimeo_binary() { printf '%s\n' "${MIMEO_PROGRAM:-${CARGO_TARGET_DIR:-$CHECKOUT/target}/release/mimeo}"; }

import_mimeo() {
  local key entry
  MIMEO_BINARY=$(mimeo_binary)
  export MIMEO_BINARY
  [[ -x $MIMEO_BINARY ]] || return 1
  key=$(sha256sum <"$MIMEO_BINARY" | cut -c1-12)
  build_images mimeo >&2
  entry=$(image_entry mimeo)
  import_images "$entry" "$entry=localhost/mimeo/mimeo:$key" >&2
  printf 'localhost/mimeo/mimeo:%s\n' "$key"
}
