# shellcheck shell=bash
# The Go programs of the lab, built from pinned modules and kept outside the
# checkout under the hash of what they are made of.

readonly KUBERNETES_VERSION=1.35.4
readonly KUBERNETES_PARTS=(etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)
readonly STAMP=k8s.io/component-base/version
# Without the stamp clients and kubelet see version v0.0.0.
readonly KUBERNETES_FLAGS="-s -w -X $STAMP.gitVersion=v$KUBERNETES_VERSION -X $STAMP.gitMajor=1 -X $STAMP.gitMinor=35"

readonly GITEA_VERSION=1.26.2
# SQLite is C; the second tag makes it wait for a lock within the process, too.
readonly GITEA_TAGS="sqlite sqlite_unlock_notify"
readonly GITEA_FLAGS="-s -w -X main.Version=$GITEA_VERSION -X 'main.Tags=$GITEA_TAGS'"

# One binary: folder, name, linker flags, package, how long it takes, and build
# tags when it has parts in C.
binary_kubernetes() { binary kubernetes kube "$KUBERNETES_FLAGS" . "first build, usually 6-10 minutes"; }
binary_dns() { binary dns coredns "-s -w" . "first build, usually 2-3 minutes"; }
binary_kwok() { binary kwok kwok "-s -w" sigs.k8s.io/kwok/cmd/kwok "first build, usually 2-3 minutes"; }
binary_pause() { binary images/pause pause "-s -w" . "first build, usually a few seconds"; }
# Optional: only `lab images` and `lab build` ask for it.
binary_s3() { binary s3 versitygw "-s -w" github.com/versity/versitygw/cmd/versitygw "first build, usually 2-3 minutes"; }
# Optional: only `lab forge` and `lab build` ask for it.
binary_gitea() { binary gitea gitea "$GITEA_FLAGS" code.gitea.io/gitea "first build, usually 3-5 minutes" "$GITEA_TAGS"; }

# Sets BINARY to the path of the program; builds it when it is not there yet.
binary() {
  local folder=$1 name=$2 flags=$3 package=$4 usual=$5 tags=${6:-} key
  key=$(content_key "$flags $package $(uname -m)${tags:+ $tags}" "$LAB_DIR/$folder"/*.go "$LAB_DIR/$folder"/go.*)
  BINARY="$CACHE/bin/$name-$key/$name"
  [[ ! -x $BINARY ]] || return 0
  mkdir -p "$CACHE"
  # Another checkout, or a test's control plane, may be building the same.
  (
    flock 8
    [[ -x $BINARY ]] || long "$name binary" "$usual" build_binary "$LAB_DIR/$folder" "$flags" "$package" "$BINARY" "$tags"
  ) 8>"$CACHE/build.lock"
}

build_binary() {
  local folder=$1 flags=$2 package=$3 target=$4 tags=$5 work
  mkdir -p "$CACHE/bin"
  work=$(mktemp -d "$CACHE/bin/.new.XXXXXX")
  if ! (cd "$folder" && CGO_ENABLED=$([[ $tags ]] && echo 1 || echo 0) \
    nice go build -buildvcs=false -trimpath -tags "$tags" -ldflags "$flags" -o "$work/${target##*/}" "$package"); then
    rm -rf "$work"
    return 1
  fi
  if [[ ${target##*/} == kube ]]; then
    local part
    for part in "${KUBERNETES_PARTS[@]}"; do ln -s kube "$work/$part"; done
  fi
  if [[ ${target##*/} == gitea ]] && ! gitea_files "$folder" "$work"; then
    rm -rf "$work"
    return 1
  fi
  chmod 755 "$work"
  # A directory is renamed over nothing only; who lost the race drops his.
  mv -T "$work" "${target%/*}" 2>/dev/null || rm -rf "$work"
  [[ -x $target ]]
}

# What Gitea reads while it runs lies in its module, whose copy in Go's module
# cache may be cleaned away (and is read-only, as this copy must not be).
gitea_files() { # FOLDER TARGET
  local module
  module=$(cd "$1" && go list -m -f '{{.Dir}}' code.gitea.io/gitea) &&
    cp -R "$module"/{options,templates,public} "$2/" && chmod -R u+w "$2"
}

# All programs that a lab runs, one after another: two builds at once would only fight for
# the same cores. Sets KUBE_BIN, DNS_BIN, KWOK_BIN.
binaries() {
  binary_pause
  binary_kubernetes
  KUBE_BIN=${BINARY%/*}
  binary_dns
  DNS_BIN=${BINARY%/*}
  binary_kwok
  KWOK_BIN=${BINARY%/*}
}
