//! How much work an expression can be, at most. CEL always ends, but nested loops over a large object may
//! take hours, and the library counts nothing itself.

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use serde_json::Value;

/// Most steps that an evaluation may take: well below a tenth of a second.
const STEPS: u64 = 5_000_000;
/// Characters of text that count as one step of whatever looks through them.
const TEXT: u64 = 1024;

/// What the object adds to the cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Elements of its longest list or mapping.
    longest: u64,
    /// Bytes of its longest text.
    text: u64,
}

/// What the expression adds to the cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Its parts.
    nodes: u64,
    /// How deep its loops (`exists`, `all`, `map`, `filter`) are nested.
    depth: u32,
    /// Additions: each may make one list out of two.
    sums: u64,
    /// Additions in what is looped over.
    grown: u64,
    /// Elements of its longest own list or mapping.
    literal: u64,
}

impl Size {
    pub(crate) fn of(object: &Value) -> Self {
        match object {
            Value::String(text) => Self { longest: 1, text: text.len() as u64 },
            Value::Array(items) => Self::all(items.len(), items.iter()),
            Value::Object(fields) => Self::all(fields.len(), fields.values()),
            Value::Null | Value::Bool(_) | Value::Number(_) => Self { longest: 1, text: 0 },
        }
    }

    fn all<'a>(length: usize, values: impl Iterator<Item = &'a Value>) -> Self {
        let own = Self { longest: length.max(1) as u64, text: 0 };
        values
            .map(Self::of)
            .fold(own, |a, b| Self { longest: a.longest.max(b.longest), text: a.text.max(b.text) })
    }
}

impl Cost {
    pub(crate) fn of(expression: &IdedExpr) -> Self {
        match &expression.expr {
            Expr::Comprehension(comprehension) => {
                let range = Self::of(&comprehension.iter_range);
                let range = Self { grown: range.grown.saturating_add(range.sums), ..range };
                let parts = [&comprehension.accu_init, &comprehension.result].map(Self::of);
                let once = parts.into_iter().fold(range, Self::beside);
                let step = Self::of(&comprehension.loop_cond).beside(Self::of(&comprehension.loop_step));
                once.beside(Self { depth: step.depth.saturating_add(1), ..step })
            }
            Expr::Call(call) => {
                let inner = call.target.as_deref().into_iter().chain(&call.args).map(Self::of);
                let own = Self { sums: u64::from(call.func_name == "_+_"), ..Self::leaf() };
                inner.fold(own, Self::beside)
            }
            Expr::Select(select) => Self::leaf().beside(Self::of(&select.operand)),
            Expr::List(list) => {
                let own = Self { literal: list.elements.len() as u64, ..Self::leaf() };
                list.elements.iter().map(Self::of).fold(own, Self::beside)
            }
            Expr::Map(map) => {
                let own = Self { literal: map.entries.len() as u64, ..Self::leaf() };
                map.entries.iter().map(|entry| Self::entry(&entry.expr)).fold(own, Self::beside)
            }
            Expr::Struct(made) => {
                made.entries.iter().map(|entry| Self::entry(&entry.expr)).fold(Self::leaf(), Self::beside)
            }
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Self::leaf(),
        }
    }

    fn entry(entry: &EntryExpr) -> Self {
        match entry {
            EntryExpr::StructField(field) => Self::of(&field.value),
            EntryExpr::MapEntry(entry) => Self::of(&entry.key).beside(Self::of(&entry.value)),
        }
    }

    fn leaf() -> Self {
        Self { nodes: 1, depth: 0, sums: 0, grown: 0, literal: 0 }
    }

    fn beside(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.saturating_add(other.nodes),
            depth: self.depth.max(other.depth),
            sums: self.sums.saturating_add(other.sums),
            grown: self.grown.saturating_add(other.grown),
            literal: self.literal.max(other.literal),
        }
    }

    /// Whether an object of this size can be looked at.
    pub(crate) fn is_bearable(self, size: Size) -> bool {
        let longest = size.longest.max(self.literal).saturating_mul(self.grown.saturating_add(1));
        let rounds = longest.saturating_pow(self.depth);
        self.nodes.saturating_mul(rounds).saturating_mul(1 + size.text / TEXT) <= STEPS
    }
}
