//! kong
