//! Objects of a kind that the spec's own policy denies: `up` refuses them.

use spec::deny::denied;
use spec::{Category, Diagnostic};

use super::{Found, World};
use crate::subject::{Fault, path};

pub(crate) fn check<'a>(world: &World<'a>) -> Found<'a> {
    let rules = &world.rendered.policy.deny;
    let all = world.subjects.iter();
    all.filter_map(|subject| {
        let of_type = subject.manifest()["spec"]["type"].as_str();
        let rule = denied(rules, subject.group, subject.kind, of_type)?;
        let cause = format!("the policy denies {rule}, and component {} has it", subject.object.component);
        let finding = Diagnostic::new("POL001", Category::Refused, cause)
            .help("leave it out of the template, or change `policy.deny` where the policy stands");
        let place = if rule.contains('/') { path(&["spec", "type"]) } else { path(&["kind"]) };
        Some((subject.object, Fault::new(place, finding)))
    })
    .collect()
}
