//! One live object as an expression sees it.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use cel::{Context, Env, Value, objects::Key, objects::Map};
use serde_json::Value as Json;

use crate::cost::Size;

/// Names of the parts of an object that can be written without `object.` in front.
const PARTS: [&str; 3] = ["metadata", "spec", "status"];

/// What an expression may name: one object.
pub struct Scope {
    context: Context<'static, 'static>,
    size: Size,
}

impl Scope {
    /// Makes an object readable by expressions. A part that is absent is empty: what is looked for in it is
    /// missing, which is no mistake of the expression.
    #[must_use]
    pub fn of(object: &Json) -> Self {
        let mut context = Context::with_env(environment());
        context.add_variable_from_value("object", value(object));
        for part in PARTS {
            let known = object.get(part).filter(|part| part.is_object());
            let known = known.map_or_else(|| Value::Map(HashMap::<Key, Value>::new().into()), value);
            context.add_variable_from_value(part, known);
        }
        Self { context, size: Size::of(object) }
    }

    pub(crate) fn context(&self) -> &Context<'static, 'static> {
        &self.context
    }

    pub(crate) fn size(&self) -> Size {
        self.size
    }
}

/// The names of the object and its parts.
pub(crate) fn variables() -> impl Iterator<Item = &'static str> {
    ["object"].into_iter().chain(PARTS)
}

/// The functions and macros of the CEL specification, without any of time.
pub(crate) fn environment() -> Arc<Env> {
    static HELD: OnceLock<Arc<Env>> = OnceLock::new();
    Arc::clone(HELD.get_or_init(|| Arc::new(Env::stdlib())))
}

/// JSON as CEL has it. Whole numbers are `int`, as in Kubernetes' own expressions.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::UInt(number),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(value).collect())),
        Json::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| (Key::from(name.as_str()), value(field)));
            Value::Map(Map { map: Arc::new(fields.collect()) })
        }
    }
}
