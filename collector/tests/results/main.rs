//! What `collector` hands on of what it keeps.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that fails says so")]

mod backup;
mod hub;
mod report;
mod transcript;
