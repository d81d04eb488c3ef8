//! Ids that the stored documents carry.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::crypt::hex;
use crate::error::{Error, Result};

/// Names a repository and proves what it is: the digest of its first trust document. Its text form
/// is hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryId([u8; 32]);

/// Names one copy of a repository. Its text form is hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyId([u8; 16]);

impl CopyId {
    /// A fresh one.
    pub fn generate() -> Result<Self> {
        crate::crypt::random().map(Self)
    }
}

macro_rules! hex_id {
    ($name:ident, $length:literal, $what:literal) => {
        impl $name {
            /// The id of these bytes.
            pub fn new(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            /// `Invalid` for anything but the exact number of lower-case hex digits.
            fn from_str(text: &str) -> Result<Self> {
                hex::decode(text).map(Self).ok_or_else(|| {
                    Error::invalid(concat!("this is no ", $what, " id")).help(concat!(
                        "give ",
                        stringify!($length),
                        " bytes as lower-case hex digits"
                    ))
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

hex_id!(RepositoryId, 32, "repository");
hex_id!(CopyId, 16, "copy");
