//! Messages as text: hexadecimal, one line per CBOR item (RFC 8949), each with
//! what it says.

use std::fmt::Write as _;

/// The bytes of an annotated text: everything before a `#`.
pub(crate) fn bytes_of(text: &str) -> Vec<u8> {
    let digits = text.lines().filter_map(|line| line.split('#').next());
    let digits: String = digits.flat_map(str::split_whitespace).collect();
    hex::decode(digits).unwrap()
}

/// The annotated text of a `COSE_Sign1`. `names` are those of the payload's
/// array elements, in the order in which they stand there.
pub(crate) fn annotate(message: &[u8], names: &[&'static str]) -> String {
    let mut text = String::new();
    let mut walk = Walk { bytes: message, names: names.iter(), text: &mut text, depth: 0 };
    walk.head("COSE_Sign1");
    walk.depth = 1;
    let protected = walk.byte_string("protected");
    let header = ["version", "kind", "region", "epoch"];
    let mut inner = Walk { bytes: protected, names: header.iter(), text: walk.text, depth: 2 };
    inner.item("header");
    walk.item("unprotected");
    let payload = walk.byte_string("payload");
    let names = walk.names.clone();
    let mut inner = Walk { bytes: payload, names, text: walk.text, depth: 2 };
    inner.item("body");
    assert!(inner.bytes.is_empty() && inner.names.next().is_none(), "{}", inner.text);
    walk.item("signature: R, s");
    assert!(walk.bytes.is_empty());
    text
}

/// What stands under a register, unless a name is given for it.
pub(crate) const HIDDEN: &str = "hidden: C1, C2, A, z";

struct Walk<'a> {
    bytes: &'a [u8],
    names: std::slice::Iter<'a, &'static str>,
    text: &'a mut String,
    depth: usize,
}

impl<'a> Walk<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (head, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        head
    }

    fn line(&mut self, bytes: &[u8], comment: &str) {
        let indent = "  ".repeat(self.depth);
        let line = format!("{:<66}# {indent}{comment}", hex::encode(bytes));
        writeln!(self.text, "{}", line.trim_end_matches([' ', '#'])).unwrap();
    }

    /// Major type and argument of the next item, with their bytes.
    fn start(&mut self) -> (u8, u64, &'a [u8]) {
        let (major, info) = (self.bytes[0] >> 5, self.bytes[0] & 31);
        let length = match info {
            0..24 => 0,
            24..28 => 1 << (info - 24),
            _ => panic!("no length"),
        };
        let head = self.take(1 + length);
        let argument = head[1..].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        (major, if info < 24 { info.into() } else { argument }, head)
    }

    fn head(&mut self, comment: &str) {
        let (.., head) = self.start();
        self.line(head, comment);
    }

    fn byte_string(&mut self, name: &str) -> &'a [u8] {
        let (2, length, head) = self.start() else { panic!("no byte string") };
        self.line(head, &format!("{name}: {length} bytes"));
        self.take(usize::try_from(length).unwrap())
    }

    fn item(&mut self, name: &str) {
        let (major, argument, head) = self.start();
        let length = || usize::try_from(argument).unwrap();
        match major {
            0 => self.line(head, &format!("{name}: {argument}")),
            1 => self.line(head, &format!("{name}: -{}", argument + 1)),
            2 => {
                let content = self.take(length());
                self.content(head, name, content);
            }
            3 => {
                let content = self.take(length());
                let words = std::str::from_utf8(content).unwrap();
                self.line(&[head, content].concat(), &format!("{name}: {words:?}"));
            }
            4 => self.elements(head, name, argument),
            5 => {
                self.line(head, &format!("{name}: {argument} entries"));
                self.depth += 1;
                (0..argument).for_each(|_| self.entry());
                self.depth -= 1;
            }
            _ => {
                let word = ["false", "true", "null"][length() - 20];
                self.line(head, &format!("{name}: {word}"));
            }
        }
    }

    fn elements(&mut self, head: &[u8], name: &str, count: u64) {
        self.line(head, &format!("{name}: {count} elements"));
        self.depth += 1;
        for _ in 0..count {
            let name = self.names.next().copied().unwrap_or("element");
            self.item(name);
        }
        self.depth -= 1;
    }

    /// An entry of a map: a field, a header parameter, or a register's.
    fn entry(&mut self) {
        let (major, argument, head) = self.start();
        let (key, name) = match (major, argument) {
            (0, 1) if self.depth == 3 && self.names.as_slice().first() == Some(&"version") => {
                ("1 (algorithm)".to_owned(), "alg".to_owned())
            }
            (0, 4) => ("4 (key id)".to_owned(), "kid".to_owned()),
            (0, number) => {
                let name = self.names.next().copied().unwrap_or(HIDDEN);
                let of = if number < 4 { "register" } else { "slot" };
                (format!("{number} (a {of})"), name.to_owned())
            }
            (1, number) => (format!("-{} (private)", number + 1), "context".to_owned()),
            (4, count) => {
                self.elements(head, "key", count);
                let name = self.names.next().copied().unwrap_or("value");
                return self.item(name);
            }
            _ => {
                let content = self.take(usize::try_from(argument).unwrap());
                let word = std::str::from_utf8(content).unwrap();
                self.line(&[head, content].concat(), &format!("{word:?}"));
                return self.item(word);
            }
        };
        self.line(head, &format!("key {key}"));
        self.item(&name);
    }

    /// A byte string's content, 32 bytes to a line: points, scalars, digests.
    fn content(&mut self, head: &[u8], name: &str, content: &[u8]) {
        if name == "kid" {
            let words = std::str::from_utf8(content).unwrap();
            return self.line(&[head, content].concat(), &format!("kid: {words:?}"));
        }
        let (name, parts) = name.split_once(": ").unwrap_or((name, ""));
        self.line(head, &format!("{name}: {} bytes", content.len()));
        self.depth += 1;
        let mut parts = parts.split(", ");
        for part in content.chunks(32) {
            self.line(part, parts.next().unwrap_or_default());
        }
        self.depth -= 1;
    }
}
