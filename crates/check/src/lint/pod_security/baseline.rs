//! Level `baseline`: what leads out of the container.

use serde_json::Value;

use super::select::{Set, below, of_both, of_containers, of_pod};
use super::{Breach, has_user_namespace};
use crate::subject::{Pods, dotted, path};
use crate::version::Version;

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];
const SELINUX_TYPES: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
const PROFILES: [&str; 2] = ["RuntimeDefault", "Localhost"];
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
/// Where a probe or a hook of a container may name another host.
const HOSTS: [&str; 5] =
    ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop"];

pub(super) fn breaches(pods: &Pods<'_>, version: Version) -> Vec<Breach> {
    let mut found = Vec::new();
    let mut refuse = |sets: Vec<Set<'_>>, allowed: &dyn Fn(&Value) -> bool, help: &'static str| {
        for set in sets.into_iter().filter(|set| !allowed(set.value)) {
            let cause = format!("`{}` may not be {}", dotted(&set.at), set.value);
            found.push(Breach { at: set.at, cause, help });
        }
    };
    let off = |value: &Value| value != &Value::Bool(true);
    let one_of = |words: &'static [&'static str]| {
        move |value: &Value| value.as_str().is_some_and(|word| words.contains(&word))
    };
    let empty = |value: &Value| value.as_str().is_some_and(str::is_empty);
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        refuse(of_pod(pods, field), &off, "remove it");
    }
    refuse(of_containers(pods, "securityContext.privileged"), &off, "remove it");
    refuse(of_both(pods, "securityContext.windowsOptions.hostProcess"), &off, "remove it");
    let capabilities = of_containers(pods, "securityContext.capabilities.add.*");
    refuse(capabilities, &one_of(&CAPABILITIES), "use only those a container has by default");
    refuse(of_pod(pods, "volumes.*.hostPath"), &|_| false, "use a claim, or emptyDir");
    refuse(of_containers(pods, "ports.*.hostPort"), &|value| value.as_u64() == Some(0), "use a Service");
    refuse(of_both(pods, "securityContext.seLinuxOptions.type"), &one_of(&SELINUX_TYPES), "remove it");
    for field in ["securityContext.seLinuxOptions.user", "securityContext.seLinuxOptions.role"] {
        refuse(of_both(pods, field), &empty, "remove it");
    }
    refuse(of_both(pods, "securityContext.appArmorProfile.type"), &one_of(&PROFILES), "use RuntimeDefault");
    refuse(app_armor(pods), &|value| value.as_str().is_some_and(is_app_armor), "remove it");
    refuse(of_both(pods, "securityContext.seccompProfile.type"), &one_of(&PROFILES), "use RuntimeDefault");
    refuse(
        of_pod(pods, "securityContext.sysctls.*.name"),
        &one_of(&SYSCTLS),
        "remove it: it reaches the node",
    );
    if !has_user_namespace(pods, version) {
        refuse(of_containers(pods, "securityContext.procMount"), &one_of(&["Default"]), "remove it");
    }
    if version >= Version::minor(34) {
        for (place, action) in HOSTS.iter().flat_map(|place| [(place, "httpGet"), (place, "tcpSocket")]) {
            let hosts = of_containers(pods, &format!("{place}.{action}.host"));
            refuse(hosts, &empty, "remove it: a pod is asked at its own address");
        }
    }
    found
}

/// The annotations that AppArmor profiles were once given by.
fn app_armor<'a>(pods: &Pods<'a>) -> Vec<Set<'a>> {
    let at: Vec<String> = pods.path.iter().cloned().chain(path(&["metadata", "annotations"])).collect();
    let mut sets = below(&pods.template["metadata"]["annotations"], &at, "*");
    sets.retain(|set| set.at.last().is_some_and(|key| key.starts_with(APP_ARMOR)));
    sets
}

fn is_app_armor(profile: &str) -> bool {
    profile.is_empty() || profile == "runtime/default" || profile.starts_with("localhost/")
}
