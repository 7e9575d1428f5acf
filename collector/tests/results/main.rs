//! What `collector` hands on of the results that it keeps.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that fails says so")]

mod hub;
mod report;
mod transcript;
