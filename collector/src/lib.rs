//! The daemon that asks for sums, with its embedded broker.
