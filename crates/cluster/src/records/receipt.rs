//! The proofs of teardowns.

use kube::ResourceExt as _;

use super::{Records, parse, resource_of, to_value};
use crate::{EnvironmentRecord, Error, Receipt, ReceiptSpec, Result};

impl Records {
    /// Writes a receipt. Its name follows from the record, so that a teardown that was cut short and
    /// started again writes one receipt, not two.
    ///
    /// # Errors
    /// Any failure of the request but that the receipt exists.
    pub async fn write_receipt(&self, spec: ReceiptSpec) -> Result<Receipt> {
        let resource = resource_of::<Receipt>();
        let name = receipt_name(&spec.environment, &spec.record_uid);
        let object = self.object("Receipt", &name);
        let mut receipt = Receipt::new(&name, spec);
        receipt.metadata.namespace = Some(self.namespace.clone());
        match self.cluster.create(&resource, &object, &to_value(&object, &receipt)?).await {
            Ok(live) => parse(&object, live),
            // One that proves nothing yields to one that does.
            Err(Error::Api { code: 409, .. }) => match self.cluster.get(&resource, &object).await? {
                Some(live) => {
                    let known: Receipt = parse(&object, live)?;
                    if receipt.spec.proven && !known.spec.proven {
                        self.replace_receipt(&Receipt { metadata: known.metadata, ..receipt.clone() })
                            .await?;
                    }
                    Ok(receipt)
                }
                None => Ok(receipt),
            },
            Err(error) => Err(error),
        }
    }

    /// Writes a receipt that was read; 409 when somebody else wrote in between.
    ///
    /// # Errors
    /// Any failure of the request.
    pub async fn replace_receipt(&self, receipt: &Receipt) -> Result<()> {
        let object = self.object("Receipt", &receipt.name_any());
        let manifest = to_value(&object, receipt)?;
        self.cluster.replace(&resource_of::<Receipt>(), &object, &manifest).await.map(|_| ())
    }

    /// All receipts, oldest first.
    ///
    /// # Errors
    /// Any failure of the request.
    pub async fn receipts(&self) -> Result<Vec<Receipt>> {
        let listing = self.cluster.list(&resource_of::<Receipt>(), Some(&self.namespace), "").await?;
        let object = self.object("Receipt", "?");
        let mut all: Vec<Receipt> =
            listing.items.into_iter().map(|item| parse(&object, item)).collect::<Result<_>>()?;
        all.sort_by(|a, b| a.spec.finished.cmp(&b.spec.finished));
        Ok(all)
    }

    /// The receipt of a record, when its teardown came that far.
    ///
    /// # Errors
    /// Any failure of the request.
    pub async fn receipt_of(&self, record: &EnvironmentRecord) -> Result<Option<Receipt>> {
        let object =
            self.object("Receipt", &receipt_name(&record.name_any(), &record.uid().unwrap_or_default()));
        match self.cluster.get(&resource_of::<Receipt>(), &object).await? {
            Some(live) => parse(&object, live).map(Some),
            None => Ok(None),
        }
    }
}

fn receipt_name(environment: &str, record_uid: &str) -> String {
    format!("{environment}-{}", record_uid.get(..8).unwrap_or("record"))
}
