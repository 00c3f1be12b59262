//! The order in which objects are applied and printed.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::kinds;
use crate::rendered::{HookPoint, RenderedObject};

/// By level, then hooks before and after the rest, then by kind as Helm installs, then by name.
pub(crate) fn sort(objects: &mut [RenderedObject], levels: &BTreeMap<String, usize>) {
    objects.sort_by_cached_key(|object| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = text(&object.manifest["kind"]);
        let hook = match object.hook {
            Some(HookPoint::Before) => 0,
            None => 1,
            Some(HookPoint::After) => 2,
            Some(HookPoint::BeforeDelete) => 3,
        };
        let level = levels.get(&object.component).copied().unwrap_or_default();
        let name = text(&object.manifest["metadata"]["name"]);
        (level, hook, kinds::rank(&kind), kind, name, text(&object.manifest["apiVersion"]))
    });
}
