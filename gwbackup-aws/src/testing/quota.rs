//! The documented quotas, on the double's clock.

use std::collections::BTreeMap;

use gwbackup_core::clock::Timestamp;

/// Calls per second and how many at once, by operation.
const TABLE: &[(&str, f64, f64)] = &[
    ("", 10.0, 40.0),
    ("GetResources", 2.5, 5.0),
    ("CreateRestApi", 1.0 / 3.0, 1.0),
    ("ImportRestApi", 1.0 / 3.0, 1.0),
    ("PutRestApi", 1.0, 1.0),
    ("DeleteRestApi", 1.0 / 30.0, 1.0),
    ("CreateDeployment", 0.2, 1.0),
    ("CreateResource", 5.0, 5.0),
    ("DeleteResource", 5.0, 5.0),
    ("CreateApiKey", 5.0, 5.0),
    ("DeleteApiKey", 5.0, 5.0),
    ("UpdateUsagePlan", 0.05, 1.0),
    ("CreateDomainName", 1.0 / 30.0, 1.0),
    ("UpdateDomainName", 1.0 / 30.0, 1.0),
    ("DeleteDomainName", 1.0 / 30.0, 1.0),
    ("UpdateAccount", 0.05, 1.0),
    ("CreateDocumentationVersion", 0.05, 1.0),
];

/// What is left of each.
#[derive(Debug, Default)]
pub(super) struct Quotas(BTreeMap<&'static str, (f64, f64)>);

impl Quotas {
    /// Whether a call may be made now; it counts if so.
    pub(super) fn take(&mut self, operation: &str, now: Timestamp) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a test")]
        let now = now.as_millisecond() as f64 / 1000.0;
        let mut own = Vec::new();
        for (name, rate, most) in TABLE {
            if name.is_empty() || *name == operation {
                let (left, at) = self.0.entry(*name).or_insert((*most, now));
                *left = (*left + (now - *at) * rate).min(*most);
                *at = now;
                // A thousandth for the clock's own rounding.
                if *left < 0.999 {
                    return false;
                }
                own.push(*name);
            }
        }
        for name in own {
            if let Some((left, _)) = self.0.get_mut(name) {
                *left -= 1.0;
            }
        }
        true
    }
}
