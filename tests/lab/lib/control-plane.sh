# shellcheck shell=bash
# etcd, API server, controller manager and scheduler; used by the lab itself
# and by the throw-away control planes of tests.
#
# The caller sets PLANE (a directory), PLANE_IP (an address of this network
# namespace), KUBE_BIN, and enters the namespace with the words in PLANE_ENTER.

readonly PLANE_USERS=(admin kubectl mimeo)

plane_directories() { mkdir -p "$PLANE"/{run,log,pki,config,volumes}; }

# One certificate authority, one serving certificate, one key for service
# account tokens, one token per user: requests can be told apart in the audit
# log by who sent them.
plane_identities() {
  local pki=$PLANE/pki
  [[ -s $pki/tokens.csv ]] && return 0
  (
    umask 077
    cd "$pki" || exit 1
    openssl ecparam -name prime256v1 -genkey -noout -out ca.key
    openssl req -x509 -new -key ca.key -days 3650 -subj /CN=mimeo-lab -out ca.crt \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
    openssl ecparam -name prime256v1 -genkey -noout -out server.key
    openssl req -new -key server.key -subj /CN=kube-apiserver -out server.csr
    printf '%s\n' "subjectAltName=IP:$PLANE_IP,IP:127.0.0.1,IP:$SERVICE_IP,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local" \
      extendedKeyUsage=serverAuth keyUsage=critical,digitalSignature >server.ext
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile server.ext -out server.crt
    openssl genrsa -out service-accounts.key 2048
    local user
    {
      for user in "${PLANE_USERS[@]}"; do
        printf '%s,%s,%s,system:masters\n' "$(token)" "$user" "$user"
      done
      # The cluster's own parts have the names that Kubernetes' default roles are bound to.
      printf '%s,%s,%s\n' \
        "$(token)" system:kube-controller-manager controller-manager \
        "$(token)" system:kube-scheduler scheduler \
        "$(token)" system:kube-proxy proxy \
        "$(token)" mimeo-lab:dns dns
      printf '%s,%s,%s,%s\n' \
        "$(token)" "system:node:$NODE_NAME" kubelet system:nodes \
        "$(token)" mimeo-lab:kwok kwok system:masters
    } >tokens.new
    mv tokens.new tokens.csv
  ) >"$PLANE/log/pki.log" 2>&1
}

token() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

# kubeconfig USER-ID PATH: complete in itself, so that it can be copied.
kubeconfig() {
  local token
  token=$(awk -F, -v id="$1" '$3 == id {print $1}' "$PLANE/pki/tokens.csv")
  write "$2" 0600 <<E
apiVersion: v1
kind: Config
clusters:
- name: mimeo-lab
  cluster:
    server: https://$PLANE_IP:6443
    certificate-authority-data: $(base64 -w0 "$PLANE/pki/ca.crt")
users:
- name: $1
  user:
    token: $token
contexts:
- name: mimeo-lab
  context:
    cluster: mimeo-lab
    user: $1
current-context: mimeo-lab
E
}

plane_config() {
  local user
  for user in "${PLANE_USERS[@]}"; do kubeconfig "$user" "$PLANE/$user.kubeconfig"; done
  for user in controller-manager scheduler proxy dns kubelet kwok; do kubeconfig "$user" "$PLANE/config/$user.kubeconfig"; done
  # Who did what to which object: request counts, preconditions and the use of
  # rights are read from this log. Bodies are not in it, so no secrets either.
  write "$PLANE/config/audit.yaml" <<'E'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
E
}

plane_daemon() { # NAME COMMAND…
  local name=$1
  shift
  recorded "$PLANE/run" "$name" >/dev/null || daemon "$PLANE/run" "$name" "$PLANE/log/$name.log" "${PLANE_ENTER[@]}" "$@"
}

plane_kubectl() { "$KUBE_BIN/kubectl" --kubeconfig "$PLANE/admin.kubeconfig" --request-timeout=5s "$@"; }

# Nothing here outlives the lab, so nothing is forced to disk.
start_etcd() {
  plane_daemon etcd "$KUBE_BIN/etcd" --data-dir "$PLANE/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster default=http://127.0.0.1:2380
}

start_apiserver() { # ARGUMENT…
  plane_daemon apiserver "$KUBE_BIN/kube-apiserver" \
    --etcd-servers=http://127.0.0.1:2379 --advertise-address="$PLANE_IP" --secure-port=6443 \
    --tls-cert-file="$PLANE/pki/server.crt" --tls-private-key-file="$PLANE/pki/server.key" --cert-dir="$PLANE/pki" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$PLANE/pki/service-accounts.key" \
    --service-account-signing-key-file="$PLANE/pki/service-accounts.key" \
    --service-cluster-ip-range="$SERVICE_NET" --token-auth-file="$PLANE/pki/tokens.csv" \
    --authorization-mode=Node,RBAC --allow-privileged=true --kubelet-preferred-address-types=InternalIP \
    --audit-policy-file="$PLANE/config/audit.yaml" --audit-log-path="$PLANE/audit.log" "$@"
}

start_controller_manager() { # WORD… to enter a place where the volumes' folder is the plane's own
  plane_daemon controller-manager "$@" env LAB_VOLUMES="$PLANE/volumes" "$KUBE_BIN/kube-controller-manager" \
    --kubeconfig="$PLANE/config/controller-manager.kubeconfig" \
    --service-account-private-key-file="$PLANE/pki/service-accounts.key" --root-ca-file="$PLANE/pki/ca.crt" \
    --use-service-account-credentials=true --bind-address=127.0.0.1 --leader-elect=false \
    --enable-hostpath-provisioner=true
}

start_scheduler() {
  plane_daemon scheduler "$KUBE_BIN/kube-scheduler" --kubeconfig="$PLANE/config/scheduler.kubeconfig" \
    --bind-address=127.0.0.1 --leader-elect=false
}

plane_is_ready() { plane_kubectl get --raw /readyz; }

# What a user's cluster brings along, too: a default storage class.
plane_objects() { plane_kubectl apply --server-side -f "$LAB_DIR/cluster.yaml" >/dev/null; }
