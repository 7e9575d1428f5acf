//! Where a broker listens.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

const SCHEME: &str = "mqtt://";
const DEFAULT_PORT: u16 = 1883;

/// A broker's address, written `mqtt://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

/// A text that is no [`Address`]. It does not repeat the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a broker address has the form mqtt://HOST or mqtt://HOST:PORT \
     (port 1 to 65535, 1883 if absent), without user, password, path or TLS"
)]
pub struct AddressError;

impl Address {
    /// The name or IP address; an IPv6 address stands in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let rest = text.strip_prefix(SCHEME).ok_or(AddressError)?;
        // The colons of an IPv6 address stand before its closing bracket.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, parse_port(port)?),
            _ => (rest, DEFAULT_PORT),
        };
        if !is_host(host) {
            return Err(AddressError);
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}:{}", self.host, self.port)
    }
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(AddressError),
    }
}

fn is_host(text: &str) -> bool {
    if let Some(inner) = text.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, u16), AddressError> {
        text.parse().map(|address: Address| (address.host, address.port))
    }

    #[test]
    fn an_address_is_a_host_and_perhaps_a_port() {
        assert_eq!(parse("mqtt://broker.lan:18830"), Ok(("broker.lan".into(), 18830)));
        assert_eq!(parse("mqtt://127.0.0.1"), Ok(("127.0.0.1".into(), 1883)));
        assert_eq!(parse("mqtt://[::1]:1884"), Ok(("[::1]".into(), 1884)));
        assert_eq!(parse("mqtt://[::1]"), Ok(("[::1]".into(), 1883)));
    }

    #[test]
    fn an_address_is_written_as_it_is_read() {
        let address: Address = "mqtt://broker".parse().unwrap();
        assert_eq!(address.to_string(), "mqtt://broker:1883");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "mqtt://",
            "broker:1883",
            "mqtts://broker:8883",
            "mqtt://:1883",
            "mqtt://broker:",
            "mqtt://broker:0",
            "mqtt://broker:+1",
            "mqtt://broker:65536",
            "mqtt://broker:1883/path",
            "mqtt://user:secret@broker:1883",
            "mqtt://::1:1883",
            "mqtt://[::1:1883",
            "mqtt://bro ker",
        ] {
            assert_eq!(parse(text), Err(AddressError), "{text}");
        }
    }

    #[test]
    fn the_refusal_names_the_accepted_form_and_no_password() {
        let refusal = "mqtt://user:secret@broker".parse::<Address>().unwrap_err().to_string();
        assert!(refusal.contains("mqtt://HOST:PORT") && !refusal.contains("secret"), "{refusal}");
    }
}
