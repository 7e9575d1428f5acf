//! The daemon beside one meter.
