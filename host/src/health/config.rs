//! Where a daemon is asked for its health.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Deserializer};

/// The table `[health]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthConfig {
    /// Where to listen, if it is said.
    listen: Option<Listen>,
}

impl HealthConfig {
    /// Where to listen; on this port unless it is said.
    #[must_use]
    pub fn listen_or_on(&self, port: u16) -> Listen {
        self.listen.unwrap_or_else(|| Listen::On((Ipv4Addr::LOCALHOST, port).into()))
    }
}

/// Where to listen: an address and port of this machine's loopback, or `"off"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// Here; port 0 is any that is free.
    On(SocketAddr),
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "off" {
            return Ok(Self::Off);
        }
        let address = text.parse::<SocketAddr>().ok().filter(|address| address.ip().is_loopback());
        address.map(Self::On).ok_or_else(|| serde::de::Error::custom(NotLoopback(text)))
    }
}

struct NotLoopback(String);

impl fmt::Display for NotLoopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not accepted: it has neither secrets nor a password, and is for this machine \
             alone. Accepted are a loopback address with a port, as in \"127.0.0.1:9871\" or \
             \"[::1]:9871\", and \"off\"",
            self.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Result<Listen, toml::de::Error> {
        toml::from_str(text).map(|config: HealthConfig| config.listen_or_on(9871))
    }

    #[test]
    fn without_a_word_it_listens_on_its_own_port_of_the_loopback() {
        assert_eq!(listen("").unwrap(), Listen::On("127.0.0.1:9871".parse().unwrap()));
    }

    #[test]
    fn it_can_be_turned_off_and_moved() {
        assert_eq!(listen("listen = \"off\"").unwrap(), Listen::Off);
        let moved = listen("listen = \"[::1]:7\"").unwrap();
        assert_eq!(moved, Listen::On("[::1]:7".parse().unwrap()));
    }

    #[test]
    fn an_address_that_others_could_reach_is_refused() {
        for at in ["0.0.0.0:9871", "192.0.2.7:9871", "[::]:9871", "localhost:9871", "9871", ""] {
            let refusal = listen(&format!("listen = \"{at}\"")).unwrap_err().to_string();
            assert!(refusal.contains("loopback"), "{refusal}");
        }
        assert!(listen("port = 9871").unwrap_err().to_string().contains("unknown field `port`"));
    }
}
