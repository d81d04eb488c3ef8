//! The right to write metrics.

use gwbackup_core::Result;

use super::{Policy, Statement};

impl Policy {
    /// Writes metrics to CloudWatch, into this namespace alone. Whoever brings lines of the embedded
    /// metric format to a log needs rights on that log instead. `Invalid` when it cannot be a
    /// namespace.
    pub fn metrics(namespace: &str) -> Result<Self> {
        let namespace = crate::metrics::namespace(namespace)?;
        // The action knows no resources.
        let statement = Statement::new(&["cloudwatch:PutMetricData"], vec!["*".to_owned()]);
        Ok(Self { statements: vec![statement.when("cloudwatch:namespace", namespace)] })
    }
}
