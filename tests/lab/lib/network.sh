# shellcheck shell=bash
# A network namespace of the lab's own. The host reaches nodes, pods and
# services in it; nothing in it reaches beyond the host's end of the link:
# there is no route, so that neither a pod nor a packet to a service that
# kube-proxy does not know yet can leave the machine.

in_lab() { nsenter --net="/run/netns/$NETNS" -- "$@"; }

network_is_up() {
  [[ -e /run/netns/$NETNS ]] && ip link show "$HOST_LINK" >/dev/null 2>&1 &&
    [[ $(ip route show "$POD_NET") == *"via $NODE_IP"* && $(ip route show "$SERVICE_NET") == *"via $NODE_IP"* ]] &&
    [[ $(ip -n "$NETNS" addr show node0 2>/dev/null) == *"$NODE_IP/"* ]]
}

network_up() {
  network_is_up && return 0
  network_down
  local net route
  for net in "$LINK_NET" "$POD_NET" "$SERVICE_NET"; do
    route=$(ip route show "$net")
    [[ -z $route ]] || die "this machine already has a route for $net: $route" \
      "the lab uses $LINK_NET, $POD_NET and $SERVICE_NET; remove that route or use another machine"
  done
  ip netns add "$NETNS"
  ip -n "$NETNS" link set lo up
  ip link add "$HOST_LINK" type veth peer name node0 netns "$NETNS"
  ip addr add "$HOST_IP/30" dev "$HOST_LINK"
  ip link set "$HOST_LINK" up
  ip -n "$NETNS" addr add "$NODE_IP/30" dev node0
  ip -n "$NETNS" link set node0 up
  ip -n "$NETNS" route add unreachable default
  ip route add "$POD_NET" via "$NODE_IP"
  ip route add "$SERVICE_NET" via "$NODE_IP"
  # The node forwards between its pods and the link.
  in_lab sysctl -qw net.ipv4.ip_forward=1
}

network_down() {
  # Routes go with the link.
  ip link del "$HOST_LINK" 2>/dev/null || true
  if [[ -e /run/netns/$NETNS ]]; then
    ip netns del "$NETNS" 2>/dev/null || { umount -l "/run/netns/$NETNS" 2>/dev/null || true; rm -f "/run/netns/$NETNS"; }
  fi
}
