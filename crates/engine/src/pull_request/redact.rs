//! What a program logs may hold the secrets of its environment, and a comment is read by more people than
//! those who may read them.

use base64::Engine as _;
use serde_json::Value;
use spec::Diagnostic;

use crate::{Result, Session, read};

/// Shorter values would blacken ordinary words.
const SHORTEST: usize = 4;

/// The findings without any value of the Secrets in the environment's namespace. Log lines are left out
/// altogether where the Secrets cannot be read.
pub(super) async fn redacted(
    session: &Session,
    namespace: &str,
    mut found: Vec<Diagnostic>,
) -> Vec<Diagnostic> {
    if found.iter().all(|finding| finding.detail.is_empty()) {
        return found;
    }
    match values(session, namespace).await {
        Ok(values) => {
            for finding in &mut found {
                finding.cause = without(&finding.cause, &values);
                finding.detail.iter_mut().for_each(|line| *line = without(line, &values));
            }
        }
        Err(_) => {
            for finding in &mut found {
                finding.detail =
                    vec!["(details are left out: the Secrets they may hold cannot be read)".to_owned()];
            }
        }
    }
    found
}

async fn values(session: &Session, namespace: &str) -> Result<Vec<String>> {
    let object = read::core("Namespace", None, namespace);
    let resource = session.resource(&object).await?;
    if session.cluster.get(&resource, &object).await?.is_none() {
        return Ok(Vec::new());
    }
    let secrets = read::core("Secret", Some(namespace), "");
    let resource = session.resource(&secrets).await?;
    let listing = session.cluster.list(&resource, Some(namespace), "").await?;
    let mut values: Vec<String> = listing
        .items
        .iter()
        .filter_map(|secret| secret.get("data")?.as_object())
        .flat_map(|data| data.values().filter_map(Value::as_str))
        .filter_map(|text| base64::engine::general_purpose::STANDARD.decode(text).ok())
        .filter_map(|bytes| String::from_utf8(bytes).ok())
        // Of a value with several lines, each line may be logged by itself.
        .flat_map(|value| value.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
        .filter(|value| value.len() >= SHORTEST)
        .collect();
    // A value may be a part of another one.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.dedup();
    Ok(values)
}

fn without(text: &str, values: &[String]) -> String {
    values.iter().fold(text.to_owned(), |text, value| text.replace(value, "***"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_values_go_first() {
        let values = ["s3cret-and-more".to_owned(), "s3cret".to_owned()];
        assert_eq!(without("a s3cret-and-more b s3cret", &values), "a *** b ***");
    }
}
