//! What only those may read who have the right to secrets, inside records that more may read.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Vault;
use crate::context::Context;
use crate::crypt::{DataKey, KeyPurpose, Sealed, SmallSeal};
use crate::error::{Error, Result};

/// Text under a key of its own, with that key wrapped for all who have the right to secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Confidential {
    /// The signed wrap, as a file would hold it.
    wrap: String,
    text: Sealed,
}

const TYPE: &str = "confidential";

impl Vault {
    /// Seals a text that belongs to this object. `KeyUnavailable` when no key given here has the
    /// right to secrets.
    pub(crate) async fn seal_confidential(
        &self,
        cx: &Context,
        object: [u8; 16],
        plain: &[u8],
    ) -> Result<Confidential> {
        let key = DataKey::generate()?;
        let purpose = KeyPurpose::Secrets;
        let (_, file) = self.wrap(cx, purpose, object, &key, None, &mut Vec::new()).await?;
        let wrap = String::from_utf8(file.stored().to_vec())
            .map_err(|_| Error::invalid("a wrapped key cannot be written"))?;
        let text = self.confidential(key).seal(TYPE, &object, plain)?;
        Ok(Confidential { wrap, text })
    }

    /// The way back. `KeyUnavailable` without the right to secrets.
    pub(crate) async fn open_confidential(
        &self,
        cx: &Context,
        object: [u8; 16],
        sealed: &Confidential,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let wrap = sealed.wrap.clone().into_bytes().into();
        let key = self.unwrap_from(cx, KeyPurpose::Secrets, object, wrap).await?;
        self.confidential(key).open(TYPE, &object, &sealed.text).map(Zeroizing::new)
    }

    fn confidential(&self, key: DataKey) -> SmallSeal {
        SmallSeal::new(*self.id().as_bytes(), self.trust.current().suite, 1, key)
    }
}
