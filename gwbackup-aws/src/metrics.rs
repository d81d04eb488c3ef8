//! Metrics in CloudWatch: by its API, or by lines of a log that it reads.

mod cloudwatch;
mod emf;
mod series;

pub use cloudwatch::CloudWatch;
pub use emf::EmfLines;
pub(crate) use series::namespace;
