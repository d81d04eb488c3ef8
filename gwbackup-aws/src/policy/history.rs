//! Rights on the history that AWS Config keeps.

use super::{Policy, Region, Statement};

impl Policy {
    /// Reads the history of the region's resources. IAM knows no right on the history of single ones:
    /// who has it reads that of all that Config records there.
    pub fn history(region: &Region) -> Self {
        let actions = ["config:GetResourceConfigHistory"];
        let statement = Statement::new(&actions, vec!["*".to_owned()]);
        Self { statements: vec![statement.when("aws:RequestedRegion", region.name.as_str())] }
    }
}
