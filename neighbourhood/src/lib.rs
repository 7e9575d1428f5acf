//! A whole neighbourhood on one machine over real MQTT.
