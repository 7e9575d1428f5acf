//! The state machines in virtual time, with every fault.
