//! Names that an expression may use: a mistyped one would otherwise read as "not yet" for ever.

use std::collections::BTreeSet;

use cel::common::ast::{EntryExpr, Expr, IdedExpr};

use crate::{Mistake, scope};

/// Functions of the CEL specification that are there, but for operators.
const FUNCTIONS: [&str; 17] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "hasValue",
    "int",
    "matches",
    "or",
    "orValue",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
    "value",
];

/// Types by their names, as `type(x) == string` has them, and what is written before `.of()` and `.none()`.
const TYPES: [&str; 11] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "optional", "string", "type", "uint"];

/// Functions of `optional`.
const OPTIONAL: [&str; 3] = ["none", "of", "ofNonZeroValue"];

/// Refuses names that mean nothing.
pub(crate) fn check(expression: &IdedExpr) -> Result<(), Mistake> {
    walk(expression, &mut BTreeSet::new())
}

fn walk<'a>(expression: &'a IdedExpr, bound: &mut BTreeSet<&'a str>) -> Result<(), Mistake> {
    match &expression.expr {
        Expr::Ident(name) => variable(name, bound),
        Expr::Select(select) => walk(&select.operand, bound),
        Expr::Call(call) => {
            function(&call.func_name)?;
            call.target.as_deref().into_iter().chain(&call.args).try_for_each(|part| walk(part, bound))
        }
        Expr::List(list) => list.elements.iter().try_for_each(|part| walk(part, bound)),
        Expr::Map(map) => map.entries.iter().try_for_each(|entry| walk_entry(&entry.expr, bound)),
        Expr::Struct(made) => made.entries.iter().try_for_each(|entry| walk_entry(&entry.expr, bound)),
        Expr::Comprehension(comprehension) => {
            walk(&comprehension.iter_range, bound)?;
            walk(&comprehension.accu_init, bound)?;
            let own = [
                Some(&comprehension.iter_var),
                comprehension.iter_var2.as_ref(),
                Some(&comprehension.accu_var),
            ];
            let fresh: Vec<&str> =
                own.into_iter().flatten().map(String::as_str).filter(|name| bound.insert(name)).collect();
            for part in [&comprehension.loop_cond, &comprehension.loop_step, &comprehension.result] {
                walk(part, bound)?;
            }
            for name in fresh {
                bound.remove(name);
            }
            Ok(())
        }
        Expr::Unspecified | Expr::Literal(_) => Ok(()),
    }
}

fn walk_entry<'a>(entry: &'a EntryExpr, bound: &mut BTreeSet<&'a str>) -> Result<(), Mistake> {
    match entry {
        EntryExpr::StructField(field) => walk(&field.value, bound),
        EntryExpr::MapEntry(entry) => {
            walk(&entry.key, bound)?;
            walk(&entry.value, bound)
        }
    }
}

fn variable(name: &str, bound: &BTreeSet<&str>) -> Result<(), Mistake> {
    if name.starts_with('@') || bound.contains(name) || TYPES.contains(&name) {
        return Ok(());
    }
    if scope::variables().any(|known| known == name) {
        return Ok(());
    }
    let mut known: Vec<&str> = Vec::new();
    for one in bound {
        known.push(one);
    }
    for one in scope::variables() {
        known.push(one);
    }
    Err(unknown("name", name, &known))
}

fn function(name: &str) -> Result<(), Mistake> {
    let operator = !name.chars().all(|c| c.is_ascii_alphanumeric());
    if operator || FUNCTIONS.contains(&name) || OPTIONAL.contains(&name) {
        return Ok(());
    }
    Err(unknown("function", name, &FUNCTIONS))
}

fn unknown(what: &str, name: &str, known: &[&str]) -> Mistake {
    let near = known.iter().map(|one| (strsim::damerau_levenshtein(name, one), one)).min();
    let help = match near {
        Some((distance, near)) if distance <= 2 => format!("did you mean `{near}`?"),
        _ => format!("known are {}", known.join(", ")),
    };
    Mistake { cause: format!("there is no {what} `{name}`"), help: Some(help) }
}
