//! How one spec extends another, and how values extend defaults: one rule for both.
//!
//! Mappings are merged key by key at any depth, everything else (lists too) is replaced, and `null` removes.
//! Merging is associative as long as there is no `null` and no key is a mapping in one place and something
//! else in another.

use crate::node::{Kind, Node};

/// Lays `over` on `base`. Places stay those of the file each value came from.
#[must_use]
pub fn merge(base: &Node, over: &Node) -> Node {
    let (Kind::Map(base_entries), Kind::Map(over_entries)) = (&base.kind, &over.kind) else {
        return over.clone();
    };
    let mut entries = base_entries.clone();
    for entry in over_entries {
        let found = entries.iter().position(|known| known.key.value == entry.key.value);
        match (found, &entry.value.kind) {
            (Some(index), Kind::Null) => {
                entries.remove(index);
            }
            (None, Kind::Null) => {}
            (Some(index), _) => {
                let value = merge(&entries[index].value, &entry.value);
                // The key is shown where the value was last touched.
                entries[index].key = entry.key.clone();
                entries[index].value = value;
            }
            (None, _) => {
                let mut added = entry.clone();
                added.value = without_nulls(&entry.value);
                entries.push(added);
            }
        }
    }
    Node { spot: over.spot.clone(), kind: Kind::Map(entries) }
}

/// Drops what a `null` would have removed, where there is nothing to remove.
fn without_nulls(node: &Node) -> Node {
    let Kind::Map(entries) = &node.kind else { return node.clone() };
    let kept = entries
        .iter()
        .filter(|entry| entry.value.kind != Kind::Null)
        .map(|entry| {
            let mut entry = entry.clone();
            entry.value = without_nulls(&entry.value);
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
