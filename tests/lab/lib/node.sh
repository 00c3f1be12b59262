# shellcheck shell=bash
# The node: containerd, kubelet, kube-proxy and the cluster's name server. They
# share the lab's network namespace and keep all they write below $STATE.

# The provisioner of the controller manager always makes volumes here.
readonly VOLUMES_LINK=/tmp/hostpath_pv

node_config() {
  mkdir -p "$STATE"/{cni,kubelet,containerd,pods}
  write "$STATE/config/containerd.toml" <<E
version = 2
root = "$STATE/containerd"
state = "$STATE/containerd-state"
[grpc]
  address = "$STATE/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/mimeo/pause:1"
  # Where the process lacks CAP_SYS_RESOURCE, every sandbox dies without this.
  restrict_oom_score_adj = true
  # Else the pods' network namespaces lie among the host's own.
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$STATE/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
E
  write "$STATE/cni/10-bridge.conflist" <<E
{
  "cniVersion": "0.4.0",
  "name": "$NETNS",
  "plugins": [
    {
      "type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
      "ipam": {
        "type": "host-local", "dataDir": "$STATE/addresses",
        "ranges": [[{"subnet": "$POD_NET"}]], "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
E
  # cgroupsPerQOS and enforceNodeAllocatable off: nothing is made at the root
  # of the cgroups, and hosts with cgroup v1 are accepted. The kubelet's port
  # is reachable inside the lab's network namespace only, so it needs no
  # client certificates for logs and exec. Images are never collected: there
  # is no registry to fetch them from again.
  write "$STATE/config/kubelet.yaml" <<E
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$STATE/containerd.sock
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
podCIDR: $POD_NET
maxPods: 250
clusterDNS: ["$NODE_IP"]
clusterDomain: cluster.local
resolvConf: $STATE/config/resolv.conf
podLogsDir: $STATE/pods
volumePluginDir: $STATE/kubelet/plugins-exec
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "100Mi"}
E
  printf 'nameserver %s\n' "$NODE_IP" | write "$STATE/config/resolv.conf"
  write "$STATE/config/proxy.yaml" <<E
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $STATE/config/proxy.kubeconfig}
clusterCIDR: 10.244.0.0/16
mode: iptables
iptables: {minSyncPeriod: 100ms}
hostnameOverride: $NODE_NAME
nodePortAddresses: ["$LINK_NET"]
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
E
  write "$STATE/config/Corefile" <<E
.:53 {
  bind $NODE_IP
  errors
  health 127.0.0.1:8080
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $STATE/config/dns.kubeconfig mimeo-lab
    pods insecure
    ttl 5
  }
  cache 5
}
E
}

# The kubelet sets some of the machine's kernel settings; they are noted here
# and put back when the lab is stopped.
readonly KERNEL_SETTINGS=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

save_kernel_settings() {
  [[ ! -s $STATE/kernel-settings ]] || return 0
  sysctl -e "${KERNEL_SETTINGS[@]}" 2>/dev/null | write "$STATE/kernel-settings"
}

restore_kernel_settings() {
  [[ -s $STATE/kernel-settings ]] || return 0
  sysctl -qe -p "$STATE/kernel-settings" >/dev/null 2>&1 || true
  rm -f "$STATE/kernel-settings"
}

start_containerd() { plane_daemon containerd containerd --config "$STATE/config/containerd.toml"; }

containerd_is_up() { lab_ctr version; }

start_kubelet() {
  save_kernel_settings
  plane_daemon kubelet "$KUBE_BIN/kubelet" --config="$STATE/config/kubelet.yaml" --kubeconfig="$STATE/config/kubelet.kubeconfig" \
    --hostname-override="$NODE_NAME" --root-dir="$STATE/kubelet" --cert-dir="$STATE/kubelet/pki" --node-ip="$NODE_IP"
}

start_proxy() { plane_daemon proxy "$KUBE_BIN/kube-proxy" --config="$STATE/config/proxy.yaml"; }

start_dns() { plane_daemon dns "$DNS_BIN/coredns" -conf "$STATE/config/Corefile"; }

node_exists() { plane_kubectl get node "$NODE_NAME"; }

node_is_ready() {
  [[ $(plane_kubectl get node "$NODE_NAME" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]]
}

link_volumes() {
  mkdir -p "$STATE/volumes"
  [[ $(readlink "$VOLUMES_LINK") == "$STATE/volumes" ]] && return 0
  rmdir "$VOLUMES_LINK" 2>/dev/null || true
  ln -sT "$STATE/volumes" "$VOLUMES_LINK" 2>/dev/null ||
    die "$VOLUMES_LINK exists and is not the lab's" "the controller manager's host path provisioner always uses it: move it away"
}
