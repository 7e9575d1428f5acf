//! What tests of several commands need.

pub(crate) mod street;
