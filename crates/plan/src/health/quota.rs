//! ResourceQuotas: pods that are made before a quota is counted are refused.

use serde_json::Value;

use super::Health;
use super::read::at;

/// A quota is healthy when its controller has counted all that it limits. Names are compared, not
/// amounts: the two may be written differently.
pub(super) fn assess(object: &Value) -> Health {
    let Some(hard) = at(object, &["spec", "hard"]).and_then(Value::as_object) else {
        return Health::healthy();
    };
    if hard.keys().all(|name| at(object, &["status", "hard", name]).is_some()) {
        return Health::healthy();
    }
    Health::progressing("its use has not been counted yet")
}
