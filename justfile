# What is here
default:
    @just --list --unsorted

# Everything that CI runs, once its tools are installed
check: fmt test clippy doc deny demo

# The formatting of every crate
fmt:
    cargo fmt --all -- --check

# The tests, as the README names them
test:
    cargo test --workspace --locked

# The lints, where a warning is an error
clippy:
    cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

# The documentation, where a broken link is an error
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Licences, banned crates and sources of the dependencies
deny:
    cargo deny --locked check --hide-inclusion-graph licenses bans sources

# Known vulnerabilities of the dependencies; fetches the advisory database
advisories:
    cargo deny --locked check advisories

# A whole neighbourhood on this machine
demo:
    cargo run --release -p neighbourhood
