//! Rounds, messages and the state machines of meter and collector.
