//! Pods that carry a key to the API server which nobody asked for.

use spec::Diagnostic;

use super::{Found, World};
use crate::subject::Fault;

pub(crate) fn check<'a>(world: &World<'a>) -> Found<'a> {
    let mut found = Vec::new();
    for subject in &world.subjects {
        let Some(pods) = subject.pods() else { continue };
        let spec = pods.spec();
        let account =
            spec["serviceAccountName"].as_str().or(spec["serviceAccount"].as_str()).unwrap_or("default");
        let by_account = || {
            let known = world.all("", "ServiceAccount").find(|it| it.name == account)?;
            known.manifest()["automountServiceAccountToken"].as_bool()
        };
        let mounted = spec["automountServiceAccountToken"].as_bool().or_else(by_account).unwrap_or(true);
        if !mounted || has_rights(world, account) {
            continue;
        }
        let cause =
            format!("the token of service account `{account}` is mounted, and nothing gives it rights");
        let help = "set `automountServiceAccountToken: false` in the pod's spec";
        let finding = Diagnostic::error("OBJ011", cause).warning().help(help);
        let at = pods.field(&["automountServiceAccountToken"]);
        found.push((subject.object, Fault::new(at, finding)));
    }
    found
}

/// Whether a role is bound to a service account of the environment.
fn has_rights(world: &World<'_>, account: &str) -> bool {
    let binds = |it: &&crate::subject::Subject<'_>| matches!(it.kind, "RoleBinding" | "ClusterRoleBinding");
    world.subjects.iter().filter(binds).any(|binding| {
        let subjects = binding.manifest()["subjects"].as_array().into_iter().flatten();
        subjects.into_iter().any(|subject| subject["kind"] == "ServiceAccount" && subject["name"] == account)
    })
}
