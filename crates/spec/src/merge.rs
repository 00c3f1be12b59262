//! How one spec extends another, and how values extend defaults: one rule for both.
//!
//! Mappings are merged key by key at any depth, everything else (lists too) is replaced, and `null` removes.
//! Merging is associative as long as there is no `null` and no key is a mapping in one place and something
//! else in another.

use crate::node::{Kind, Node};

/// Lays `over` on `base`. Places stay those of the file each value came from.
#[must_use]
pub fn merge(base: &Node, over: &Node) -> Node {
    lay(base, over, Nulls::Remove)
}

/// The same for what stands under `spec` of two specs. Inside of a component's parameters a `null` stays: it is
/// the template's default, known only later, that it removes from (as with Helm, whose values files are merged
/// with one another first and then laid over those of the chart).
#[must_use]
pub fn merge_specs(base: &Node, over: &Node) -> Node {
    lay(base, over, Nulls::RemoveAbove(&PARAMETERS))
}

/// Where the parameters of components stand below `spec`; an empty step is any name.
const PARAMETERS: [&str; 4] = ["components", "", "values", ""];

/// What becomes of a `null`.
#[derive(Debug, Clone, Copy)]
enum Nulls {
    /// It removes what it is laid over, and goes.
    Remove,
    /// The same, but it stays below this path.
    RemoveAbove(&'static [&'static str]),
    /// It stays, for what it is yet to be laid over.
    Stay,
}

impl Nulls {
    /// The rule for what a key leads to.
    fn below(self, key: &str) -> Self {
        match self {
            Self::RemoveAbove([step]) if step.is_empty() || *step == key => Self::Stay,
            Self::RemoveAbove([step, rest @ ..]) if step.is_empty() || *step == key => {
                Self::RemoveAbove(rest)
            }
            Self::RemoveAbove(_) => Self::Remove,
            same => same,
        }
    }
}

fn lay(base: &Node, over: &Node, nulls: Nulls) -> Node {
    let (Kind::Map(base_entries), Kind::Map(over_entries)) = (&base.kind, &over.kind) else {
        return without_nulls(over, nulls);
    };
    let mut entries = base_entries.clone();
    for entry in over_entries {
        let found = entries.iter().position(|known| known.key.value == entry.key.value);
        let removes = entry.value.kind == Kind::Null && !matches!(nulls, Nulls::Stay);
        match found {
            Some(index) if removes => {
                entries.remove(index);
            }
            None if removes => {}
            Some(index) => {
                let value = lay(&entries[index].value, &entry.value, nulls.below(&entry.key.value));
                // The key is shown where the value was last touched.
                entries[index].key = entry.key.clone();
                entries[index].value = value;
            }
            None => {
                let mut added = entry.clone();
                added.value = without_nulls(&entry.value, nulls.below(&entry.key.value));
                entries.push(added);
            }
        }
    }
    Node { spot: over.spot.clone(), kind: Kind::Map(entries) }
}

/// Drops what a `null` would have removed, where there is nothing to remove.
fn without_nulls(node: &Node, nulls: Nulls) -> Node {
    let Kind::Map(entries) = &node.kind else { return node.clone() };
    let kept = entries
        .iter()
        .filter(|entry| entry.value.kind != Kind::Null || matches!(nulls, Nulls::Stay))
        .map(|entry| {
            let mut entry = entry.clone();
            entry.value = without_nulls(&entry.value, nulls.below(&entry.key.value));
            entry
        })
        .collect();
    Node { spot: node.spot.clone(), kind: Kind::Map(kept) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::Spot;

    fn merged(base: &Value, over: &Value) -> Value {
        let spot = Spot::default();
        merge(&Node::from_value(base, &spot), &Node::from_value(over, &spot)).to_value()
    }

    #[test]
    fn rules() {
        let base = json!({"a": {"b": 1, "c": 2}, "l": [1, 2], "s": "x"});
        assert_eq!(
            merged(&base, &json!({"a": {"b": 3}})),
            json!({"a": {"b": 3, "c": 2}, "l": [1, 2], "s": "x"})
        );
        assert_eq!(merged(&base, &json!({"l": [9]}))["l"], json!([9]));
        assert_eq!(merged(&base, &json!({"a": null})), json!({"l": [1, 2], "s": "x"}));
        assert_eq!(merged(&base, &json!({"a": {"c": null}}))["a"], json!({"b": 1}));
        assert_eq!(merged(&json!({}), &json!({"n": {"x": null}})), json!({"n": {}}));
        assert_eq!(merged(&base, &json!({"s": {"deep": true}}))["s"], json!({"deep": true}));
    }

    #[test]
    fn a_null_inside_a_parameter_waits_for_the_default() {
        let specs = |base: Value, over: Value| {
            let spot = Spot::default();
            let values =
                |values| Node::from_value(&json!({"components": {"web": {"values": values}}}), &spot);
            let merged = merge_specs(&values(base), &values(over)).to_value();
            merged["components"]["web"]["values"].clone()
        };
        assert_eq!(specs(json!({"r": {"a": 1}}), json!({"r": {"a": null}})), json!({"r": {"a": null}}));
        assert_eq!(specs(json!({}), json!({"r": {"a": {"b": null}}})), json!({"r": {"a": {"b": null}}}));
        assert_eq!(
            specs(json!({"r": {"a": null}}), json!({"r": {"a": {"b": 1}}})),
            json!({"r": {"a": {"b": 1}}})
        );
        assert_eq!(specs(json!({"r": 1, "s": 2}), json!({"r": null})), json!({"s": 2}));
        assert_eq!(specs(json!({"r": 1}), json!(null)), Value::Null);
    }

    /// Keys `a` to `c` lead to mappings, `x` to `z` to anything else.
    fn mapping() -> impl Strategy<Value = Value> {
        let leaf = || {
            let leaf = prop_oneof![
                any::<bool>().prop_map(Value::from),
                (0..9).prop_map(Value::from),
                Just(json!([])),
                Just(json!([{"k": 1}, 2])),
            ];
            prop::collection::btree_map("[x-z]", leaf, 0..3).prop_map(|map| json!(map))
        };
        leaf().prop_recursive(3, 20, 4, move |inner| {
            (leaf(), prop::collection::btree_map("[a-c]", inner, 0..3)).prop_map(|(mut leaves, maps)| {
                maps.into_iter().for_each(|(key, value)| leaves[key] = value);
                leaves
            })
        })
    }

    proptest! {
        #[test]
        fn without_null_merging_is_associative(a in mapping(), b in mapping(), c in mapping()) {
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        }

        #[test]
        fn nothing_is_neutral_and_twice_is_once(a in mapping(), b in mapping()) {
            prop_assert_eq!(merged(&a, &json!({})), a.clone());
            prop_assert_eq!(merged(&json!({}), &a), a.clone());
            let once = merged(&a, &b);
            prop_assert_eq!(merged(&once, &b), once);
        }
    }
}
