//! A value for a person to read.

use std::io::Write;

use serde_json::Value;

/// Writes a value, its fields indented.
pub(super) fn text(output: &mut impl Write, value: &Value, depth: usize) -> std::io::Result<()> {
    let indent = "  ".repeat(depth);
    let Value::Object(fields) = value else { return writeln!(output, "{indent}{}", shown(value)) };
    for (name, field) in fields {
        let name = harmless(name);
        match field {
            Value::Object(_) => {
                writeln!(output, "{indent}{name}")?;
                text(output, field, depth + 1)?;
            }
            Value::Array(items) if items.iter().any(|item| !item.is_number()) => {
                writeln!(output, "{indent}{name} ({})", items.len())?;
                for item in items {
                    text(output, item, depth + 1)?;
                }
            }
            field => writeln!(output, "{indent}{name:<12} {}", shown(field))?,
        }
    }
    if depth == 0 { writeln!(output) } else { Ok(()) }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| harmless(&value.to_string()), harmless)
}

/// A text that anyone may have sent: it moves no terminal and forges no line.
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}
