//! Environments whose record somebody removed by hand: what their inventory names is still there, or may be.

use spec::{Category, Diagnostic};

use crate::{Result, Session};

/// So many objects are named.
const NAMED: usize = 10;

/// Refuses where one of these names or ids is that of an environment which has an inventory and no record: no
/// receipt of an earlier life speaks for it. The record is not made up again from here, since it alone says whose
/// the namespace is.
///
/// # Errors
/// `ENV028`, with the objects that the inventory names; any failure of a request.
pub async fn forsaken(session: &Session, names: &[&str]) -> Result<()> {
    let ids = session.records.forsaken().await?;
    let Some(id) = ids.into_iter().find(|id| names.iter().any(|name| means(name, id))) else {
        return Ok(());
    };
    let stored = session.records.inventory_remains(&id).await?;
    let entries = &stored.inventory.entries;
    let cause = format!(
        "its record was removed by hand, and its inventory inv-{id}-0 in namespace {} still names objects: {}",
        session.records.namespace(),
        entries.len()
    );
    let mut diagnostic = Diagnostic::new("ENV028", Category::Refused, cause)
        .on(names.first().copied().unwrap_or_default().to_owned())
        .help(
            "Nothing was deleted. Restore the record from a backup, or delete by hand what is listed if nobody needs it, \
             then the Inventory objects",
        );
    diagnostic.detail = entries.iter().take(NAMED).map(|entry| entry.object.to_string()).collect();
    if entries.len() > NAMED {
        diagnostic.detail.push(format!("and {} more", entries.len() - NAMED));
    }
    Err(diagnostic.into())
}

/// Whether this is the id, or a name that ends with the id's first eight digits.
fn means(name: &str, id: &str) -> bool {
    let digits = name.rsplit_once('-').map(|(_, digits)| digits);
    name == id || digits.is_some_and(|digits| digits.len() == 8 && id.starts_with(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_the_id_with_its_digits() {
        let id = "6d6bcf17aaaabbbbccccddddeeeeffff";
        assert!(means(id, id) && means("qa-flights-base-6d6bcf17", id));
        assert!(!means("qa-flights-base-6d6bcf18", id));
        assert!(!means("qa-6d6bcf1", id) && !means("6d6bcf17", id) && !means("qa-", id));
    }
}
