//! Bytes in and out over MQTT 3.1.1.
