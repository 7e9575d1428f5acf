# What is here
default:
    @just --list --unsorted

# Everything that CI runs, once its tools are installed
check: fmt test names sim clippy doc deny demo

# The formatting of every crate
fmt:
    cargo fmt --all -- --check

# The tests, as the README names them
test:
    cargo test --workspace --locked

# Whether every test and patch that the lists of attacks and faults name is of use; runs none
names:
    attacks/run --names
    attacks/run --names --list attacks/faults.toml

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

# Every attack of docs/threat-model.md that has a trial: one line each, pass or fail
attacks *names:
    attacks/run {{ names }}

# Takes each defence out in turn: a test of its attack has to fail
defences *names:
    attacks/run --without {{ names }}

# Every fault of docs/reliability.md: one line each, pass or fail
faults *names:
    attacks/run --list attacks/faults.toml {{ names }}

# Takes promises of docs/reliability.md out in turn: a test of their fault has to fail
promises *names:
    attacks/run --without --list attacks/faults.toml {{ names }}

# What is mutated, in a copy of the tree, and where it is noted
target_dir := env("CARGO_TARGET_DIR", justfile_directory() / "target")
mutated := "--file protocol/src/release.rs --file 'protocol/src/release/*.rs' --file protocol/src/roster.rs --file 'protocol/src/roster/*.rs' --file protocol/src/envelope.rs --file protocol/src/attendance.rs --file protocol/src/members.rs"
mutants_cargo := "cargo mutants -p protocol --profile mutants --cargo-arg=--locked --output " + quote(target_dir) + " " + mutated

# The tests that catch almost all of them: the other binaries are linked for the rest alone
mutants_near := prepend("--cargo-arg=--test=", "attendance claims dealing envelope epochs guard kept listings requests restored roster succession")

# Mutants of the release guard, the roster, the envelope and the open slots, or some of them, as with `--re check_time`; needs cargo-mutants
mutants *some:
    mkdir -p {{ quote(target_dir) }}
    -{{ mutants_cargo }} --cargo-arg=--lib {{ mutants_near }} {{ some }}
    # What is left meets every test of the crate.
    {{ mutants_cargo }} --iterate --cargo-arg=--tests {{ some }}

# Worlds in virtual time are built apart, with signatures verified once: docs/decisions/0024
worlds_dir := target_dir / "simulation"
worlds_cargo := "cargo run --release --locked -p simulator --example worlds"
worlds_once := "RUSTFLAGS='--cfg hushgrid_simulation' " + worlds_cargo + " --target-dir " + quote(worlds_dir) + " --"

# Random worlds for a minute: the same seeds every time, and one by chance
sim:
    {{ worlds_once }} --random --seeds 0..200 --budget 60

# So many random worlds of the scheme without secrecy, three for each hundred of ElGamal, and three for each thousand with everything verified by all
worlds count="1000":
    {{ worlds_once }} --seeds 0..{{ count }}
    {{ worlds_once }} --kind elgamal --seeds 0..$(({{ count }} * 3 / 100))
    {{ worlds_cargo }} -- --kind full --seeds 0..$(({{ count }} * 3 / 1000))

# One random world again, as a failure says it
world seed kind="plain" steps="200" *options:
    {{ if kind == "full" { worlds_cargo + " --" } else { worlds_once } }} --seeds {{ seed }} --kind {{ kind }} --steps {{ steps }} {{ options }}

# Ten minutes of faults among real processes: five with the embedded broker, five with mosquitto
chaos: (chaos-for "--minutes 5")

[private]
chaos-for span:
    cargo run --release --locked -p neighbourhood -- chaos {{ span }}
    cargo run --release --locked -p neighbourhood -- chaos {{ span }} --mosquitto

# A collector is killed with 5,000 meters connected: all are back and receipted within 60 s
storm:
    cargo build --release --locked -p collector
    cargo build --release {{ bench_cargo }} --bin storm
    {{ quote(bench_dir / "release/storm") }} --collector {{ quote(target_dir / "release/collector") }} --out {{ quote(bench_dir / "storm.json") }}

# A hundred thousand regions whose members attend by chance and as would serve somebody
attendance:
    cargo test --release --locked -p protocol --test attendance -- --ignored

# What takes too long for CI: run it by hand on an idle machine, and note its result with its commit
nightly: attacks defences faults promises (worlds "10000") chaos attendance mutants bench storm

# Where benchmarks are built and what they measured is kept
bench_dir := target_dir / "bench"
bench_cargo := "--manifest-path benches/Cargo.toml --target-dir " + quote(bench_dir) + " --locked"

# Every benchmark, into docs/performance.md: needs a quarter of an hour and an idle machine
bench: bench-build (bench-run "" "" "docs/performance.md")

# The same in minutes, into a page beside the results: shows that all of it runs, its numbers are worth nothing
bench-quick: bench-build (bench-run "--quick" "--meters 12 --slot-seconds 2 --slots 20" bench_dir / "performance.md")

[private]
bench-run criterion whole page:
    rm -rf {{ quote(bench_dir / "criterion") }} {{ quote(bench_dir) }}/*.json
    CRITERION_HOME={{ quote(bench_dir / "criterion") }} cargo bench {{ bench_cargo }} -- {{ criterion }}
    {{ quote(bench_dir / "python/bin/python") }} benches/python/petlib_elgamal.py > {{ quote(bench_dir / "petlib.json") }}
    {{ quote(bench_dir / "python/bin/python") }} benches/python/phe_paillier.py > {{ quote(bench_dir / "phe.json") }}
    -cargo run --release {{ bench_cargo }} --bin whole -- --out {{ quote(bench_dir / "neighbourhood.json") }} {{ whole }}
    cargo run --release {{ bench_cargo }} --bin report -- {{ quote(bench_dir) }} {{ quote(page) }}

# All that the benchmarks need, built beforehand, so that nothing is measured beside a compiler
bench-build:
    cargo build --release --locked -p neighbourhood
    cargo build --release {{ bench_cargo }} --bins
    cargo bench {{ bench_cargo }} --no-run
    python3 -m venv {{ quote(bench_dir / "python") }}
    # What does not install is skipped, and the page says so.
    -{{ quote(bench_dir / "python/bin/pip") }} install --quiet petlib==0.0.45
    -{{ quote(bench_dir / "python/bin/pip") }} install --quiet phe==1.5.0 gmpy2==2.3.2
