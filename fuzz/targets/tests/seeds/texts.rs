//! What people and meters write: telegrams, files of homes, configurations.

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::{Corpus, top};

const AGENT: &str = include_str!("../../../../docs/samples/meter-agent.toml");
const COLLECTOR: &str = include_str!("../../../../docs/samples/collector.toml");
const BROKER: &str = include_str!("../../../../broker.toml");

pub(crate) fn telegrams() -> Corpus {
    let mut corpus = Corpus::of("telegram");
    let folder = top().join("meter-agent/tests/telegrams");
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let bytes = fs::read(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        corpus.add(name.trim_start_matches("bad-"), &bytes);
    }
    let sweden = fs::read(top().join("meter-agent/tests/telegrams/sweden.txt")).unwrap();
    let with_cr = String::from_utf8(sweden.clone()).unwrap().replace('\n', "\r\n");
    corpus.add("with-carriage-returns", &with_cr);
    let even = |b: &u8| if b.count_ones().is_multiple_of(2) { *b } else { *b | 0x80 };
    let parity: Vec<u8> = with_cr.bytes().map(|b| even(&b)).collect();
    corpus.add("with-parity-bits", &parity);
    let mut broken = parity.clone();
    broken[30] ^= 1;
    corpus.add("with-a-broken-parity-bit", &broken);
    corpus.add("two", [&sweden[..], &sweden[..]].concat());
    corpus.add("cut-and-whole", [&sweden[..200], &sweden[..]].concat());
    corpus.add("noise", (0..=255).collect::<Vec<u8>>());
    corpus.add("empty", []);
    corpus.add("smallest", "/ABC5\n1-0:1.8.0(1*kWh)\n!\n");
    corpus.add("largest-stand", "/ABC5\n1-0:1.8.0(18446744073709551.615*kWh)\n!\n");
    corpus.add(
        "sum-of-tariffs-too-large",
        "/ABC5\n1-0:1.8.1(18446744073709551*kWh)\n1-0:1.8.2(18446744073709551*kWh)\n!\n",
    );
    corpus.add("no-date", "/ABC5\n0-0:1.0.0(000000000000W)\n1-0:1.8.0(1*kWh)\n!\n");
    corpus.add("first-date", "/ABC5\n0-0:1.0.0(000101000000S)\n1-0:1.8.0(1*kWh)\n!\n");
    corpus.add("nothing-but-marks", "/!/!\n!\n/\n!");
    corpus
}

pub(crate) fn files_of_homes() -> Corpus {
    let mut corpus = Corpus::of("csv");
    let gzip = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let homes = "slot,a,b\nw_0,0.001,1.5\nw_1,0.002,-1\nw_2,0.0035,2\n";
    corpus.add("homes", homes);
    corpus.add("carriage-returns", homes.replace('\n', "\r\n"));
    corpus.add("byte-order-mark", format!("\u{feff}{homes}"));
    corpus.add("gzip", gzip(homes));
    corpus.add("gzip-of-two-members", [gzip("slot,a\n"), gzip("0,1\n")].concat());
    corpus.add("gzip-cut-off", &gzip(homes)[..20]);
    corpus.add("gzip-of-empty-lines", gzip(&format!("a,a\n{}1,1\n", "\n".repeat(5_000))));
    corpus.add("empty", "");
    corpus.add("names-alone", "slot,a\n");
    corpus.add("no-home", "slot\n0\n");
    corpus.add("homes-of-one-name", "slot,a,a\n0,1,2\n");
    corpus.add("empty-lines", "\n\nslot,a\n\n \n0,1\n\n1,2\n\n");
    corpus.add("quotes", "\"slot, UTC\",\"a \"\"1\"\"\"\r\n\"0,0\",\"1\"\r\n");
    corpus.add("open-quote", "slot,a\n0,\"1\n1,2\n");
    corpus.add("open-quote-in-names", "slot,\"a\n0,1\n");
    corpus.add("ragged", "slot,a\n0,1,2\n1\n2,3\n");
    corpus.add("no-last-line-end", "slot,a\n0,1");
    corpus.add("no-numbers", "s,a\n0,\n1,-0\n2,+1\n3,1e3\n4,.5\n5,5.\n6,1.2.3\n7,NaN\n8,--1\n");
    corpus.add("limits", "s,a\n0,4294967.295\n1,4294967.2955\n2,4294967295\n3,4294967296\n4,007\n");
    corpus.add("rounding", "s,a\n0,0.0005\n1,0.00049999\n2,0.9995\n3,2.5\n4,1.2340000\n");
    corpus.add("long-label", format!("s,a\n{},x\n", "é".repeat(60)));
    corpus.add("not-utf8", b"s,a\n\xff\xfe,1\n\x00,2\n");
    corpus.add("long-line", format!("s,a\n0,{}\n", "1".repeat(300)));
    corpus
}

/// A sample without its comments.
fn bare(text: &str) -> String {
    let is_said = |line: &&str| !line.starts_with('#') && !line.is_empty();
    text.lines().filter(is_said).flat_map(|line| [line, "\n"]).collect()
}

/// Seeds that differ from `sample` in one place each.
fn bent_text(corpus: &mut Corpus, sample: &str, changes: &[(&str, &str, &str)]) {
    for (name, from, to) in changes {
        assert!(sample.contains(from), "{name}: {from}");
        corpus.add(name, sample.replacen(from, to, 1));
    }
}

pub(crate) fn agent_configs() -> Corpus {
    let mut corpus = Corpus::of("agent_config");
    let sample = bare(AGENT);
    corpus.add("sample", &sample);
    corpus.add("commented", &AGENT[..1_500]);
    corpus.add("empty", "");
    corpus.add("not-utf8", b"region = \"\xff\"");
    corpus.add("unfinished", &sample[..sample.len() - 9]);
    bent_text(
        &mut corpus,
        &sample,
        &[
            ("name-with-a-slash", "meter = \"m-01\"", "meter = \"m/01\""),
            ("name-collector", "meter = \"m-01\"", "meter = \"collector\""),
            ("short-key", "registrar = \"d75a", "registrar = \"00"),
            ("key-that-is-no-point", "registrar = \"d75a", "registrar = \"0002"),
            ("key-twice", "[broker]", "state_interval_s = 1\n[broker]"),
            ("misspelt-key", "state_interval_s", "state_intervall_s"),
            ("interval-0", "state_interval_s = 60", "state_interval_s = 0"),
            ("interval-float", "state_interval_s = 60", "state_interval_s = 60.0"),
            (
                "interval-too-large",
                "state_interval_s = 60",
                "state_interval_s = 9223372036854775808",
            ),
            ("https", "mqtt://127.0.0.1:1883", "https://127.0.0.1"),
            ("password", "mqtt://127.0.0.1:1883", "mqtt://me:secret@127.0.0.1:1883"),
            ("ipv6", "mqtt://127.0.0.1:1883", "mqtt://[::1]"),
            ("one-contributor", "min_contributors = 10", "min_contributors = 1"),
            ("negative-seed", "seed = 1", "seed = -1"),
            ("fastest", "speedup = 1", "speedup = 96"),
            ("too-fast", "speedup = 1", "speedup = 97"),
            ("solar", "solar_peak_w = 0", "solar_peak_w = 20000"),
            ("no-such-kind", "kind = \"simulated\"", "kind = \"gas\""),
        ],
    );
    let (head, _) = sample.split_once("[source]").unwrap();
    for (name, source) in [
        ("csv-by-place", "kind = \"csv\"\nfile = \"homes.csv\"\nhome = 0\nunit = \"wh\""),
        ("csv-by-name", "kind = \"csv\"\nfile = \"homes.csv\"\nhome = \"a\""),
        ("csv-of-home-minus-1", "kind = \"csv\"\nfile = \"homes.csv\"\nhome = -1"),
        ("p1-device", "kind = \"p1\"\ndevice = \"/dev/ttyUSB0\"\nbaud = 9600\ncrc = \"auto\""),
        ("p1-tcp", "kind = \"p1\"\ntcp = \"bridge:23\"\nsilence_s = 10\nrating_w = 1000"),
        ("p1-file", "kind = \"p1\"\nfile = \"capture\"\nspeedup = 3600\ninterval_ms = 1"),
        ("p1-of-two-lines", "kind = \"p1\"\nfile = \"capture\"\ndevice = \"/dev/ttyUSB0\""),
        ("p1-without-port", "kind = \"p1\"\ntcp = \"bridge\""),
    ] {
        corpus.add(name, format!("{head}[source]\n{source}\n"));
    }
    corpus
}

pub(crate) fn collector_configs() -> Corpus {
    let mut corpus = Corpus::of("collector_config");
    let sample = bare(COLLECTOR);
    corpus.add("sample", &sample);
    corpus.add("no-region", "region = []\n");
    corpus.add("empty", "");
    corpus.add("cut-off", &sample[..sample.len() - 3]);
    let (_, region) = sample.split_once("[[region]]").unwrap();
    let south = region.replace("\"north\"", "\"south\"");
    corpus.add("two-regions", format!("{sample}[[region]]{south}"));
    corpus.add("region-twice", format!("{sample}[[region]]{region}"));
    let (_, members) = region.split_once("members").unwrap();
    corpus.add(
        "defaults",
        format!(
            "[[region]]
name = \"north\"
members{members}"
        ),
    );
    bent_text(
        &mut corpus,
        &sample,
        &[
            ("other-broker", "[broker]\n", "[broker]\nurl = \"mqtt://192.0.2.10\"\nport = 1883\n"),
            ("port-0", "[broker]\n", "[broker]\nport = 0\n"),
            ("member-twice", "m-02", "m-01"),
            ("too-few-members", "min_contributors = 10", "min_contributors = 11"),
            ("member-misspelt", "id = \"m-01\"", "idd = \"m-01\""),
            ("slots-of-0-s", "slot_seconds = 900", "slot_seconds = 0"),
            ("longest-window", "window_slots = 10", "window_slots = 35136"),
            ("window-below-bill", "window_slots = 10", "window_slots = 9"),
            ("no-register", "registers = [\"import\"]", "registers = []"),
            ("both-registers", "registers = [\"import\"]", "registers = [\"export\", \"import\"]"),
            ("register-twice", "registers = [\"import\"]", "registers = [\"import\", \"import\"]"),
            ("register-gas", "registers = [\"import\"]", "registers = [\"gas\"]"),
            ("range-proofs", "range_proofs = \"audit\"", "range_proofs = \"all\""),
            ("largest-reading", "max_wh_per_slot = 65535", "max_wh_per_slot = 4294967295"),
            ("reading-between", "max_wh_per_slot = 65535", "max_wh_per_slot = 70000"),
            ("longest-deadline", "grace_s = 120", "grace_s = 86400\ndeadline_s = 31622400"),
            ("name-with-a-plus", "name = \"north\"", "name = \"+\""),
        ],
    );
    tariffs(&mut corpus, &sample);
    corpus
}

/// Two steps in windows of a week.
fn tariffs(corpus: &mut Corpus, sample: &str) {
    let one = "[{ name = \"all\" }]";
    let day =
        |times: &str| format!("[{{ name = \"day\", times = [{times}] }}, {{ name = \"rest\" }}]");
    let week = sample.replace("window_slots = 10", "window_slots = 672");
    bent_text(
        corpus,
        &week,
        &[
            ("two-steps", one, &day("\"mon-fri 07:00-22:00\"")),
            ("step-over-midnight", one, &day("\"22:00-06:00:30\", \"sun 06:00:30-22:00\"")),
            ("step-of-no-days", one, &day("\"mo-fr 07:00-22:00\"")),
            ("step-without-times", one, &day("")),
            ("step-of-few-slots", one, &day("\"mon 07:00-08:00\"")),
            ("times-that-overlap", one, &day("\"07:00-22:00\", \"mon 08:00-09:00\"")),
        ],
    );
}

pub(crate) fn broker_configs() -> Corpus {
    let mut corpus = Corpus::of("broker_config");
    let sample = bare(BROKER);
    corpus.add("shipped", &sample);
    corpus.add("empty", "");
    corpus.add("two-listeners", {
        let (_, listener) = sample.split_once("[v4.local]").unwrap();
        let second = format!("[v4.local]{listener}").replace("v4.local", "v4.second");
        format!("{sample}{second}")
    });
    bent_text(
        &mut corpus,
        &sample,
        &[
            ("everywhere", "127.0.0.1:1883", "0.0.0.0:1883"),
            ("another-host", "127.0.0.1:1883", "192.168.1.5:1883"),
            ("ipv6-loopback", "127.0.0.1:1883", "[::1]:1883"),
            ("mapped-loopback", "127.0.0.1:1883", "[::ffff:127.0.0.1]:1883"),
            ("scoped-loopback", "127.0.0.1:1883", "[::1%1]:1883"),
            ("another-loopback", "127.0.0.1:1883", "127.255.255.254:65535"),
            ("port-0", "127.0.0.1:1883", "127.0.0.1:0"),
            ("host-name", "127.0.0.1:1883", "localhost:1883"),
            ("misspelt-key", "max_payload_size", "max_payload_sise"),
            ("segment-too-small", "max_segment_size = 8388608", "max_segment_size = 1023"),
            ("negative", "max_segment_count = 8", "max_segment_count = -1"),
            ("no-connections", "max_connections = 4096", "max_connections = 0"),
            ("payload-too-small", "= 1114112", "= 20480"),
            ("id-as-text", "id = 0", "id = \"0\""),
        ],
    );
    for (name, section) in [
        ("tls", "[v4.local.tls]\ncertpath = \"c\"\nkeypath = \"k\""),
        ("websockets", "[ws.1]\nname = \"ws\""),
        ("console", "[console]\nlisten = \"127.0.0.1:3030\""),
        ("accounts", "[v4.local.connections.auth]\nuser = \"pw\""),
        ("bridge", "[bridge]\nname = \"b\""),
        ("segments-of-topics", "[router.custom_segment.a]\nmax_segment_size = 1"),
    ] {
        corpus.add(name, format!("{sample}{section}\n"));
    }
    corpus
}
