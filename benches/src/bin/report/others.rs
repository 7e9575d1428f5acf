//! The same work by other libraries.

use crate::rivals::{OTHERS, Rival};
use crate::{Results, maybe};

pub(crate) fn section(results: &Results) -> String {
    let mut page = "\n## The same work by others\n\n".to_owned();
    page += "Commands: `cargo bench --bench others` in `benches/`, and\n\
             `python3 benches/python/petlib_elgamal.py`, `python3 benches/python/phe_paillier.py`.\n\
             The same clock in the same run. What a row lacks of ours stands beside it: the\n\
             guarantees differ, and with them the price.\n\n";
    page += "| library | one reading, its sender | one reading, its receiver | help with a sum | what it is |\n";
    page += "|---|---|---|---|---|\n";
    page.extend(OTHERS.iter().map(|rival| rival_row(rival, results)));
    page
}

fn rival_row(rival: &Rival, results: &Results) -> String {
    let python = rival.file.and_then(|file| results.other(file));
    if let Some(reason) = python.as_ref().and_then(|python| python.get("skipped")) {
        let reason = reason.as_str().unwrap_or_default().replace(['\n', '|'], " ");
        return format!("| {} | skipped: {reason} | | | {} |\n", rival.library, rival.what);
    }
    let measured = |(id, per): (&str, f64)| match &python {
        Some(python) => python.get("nanoseconds")?.get(id)?.as_f64(),
        None => results.median(id).map(|ns| ns / per),
    };
    let name = python.as_ref().and_then(|python| python.get("library")?.as_str());
    let [sender, receiver, help] = rival.ids.map(|id| maybe(measured(id)));
    let name = name.unwrap_or(rival.library);
    format!("| {name} | {sender} | {receiver} | {help} | {} |\n", rival.what)
}
