//! CronJobs: always healthy, since a schedule waits for its hour. The Jobs it makes have no say here.

use serde_json::Value;

use super::Health;
use super::read::flag;

/// A CronJob is healthy from the start.
pub(super) fn assess(object: &Value) -> Health {
    if flag(object, &["spec", "suspend"]) {
        Health::noted("its schedule is suspended")
    } else {
        Health::healthy()
    }
}
