//! What the ceremony of an epoch sends, and what it costs each party.

use crate::figures::{CEREMONIES, Ceremony};
use crate::{Results, maybe, thousands};

pub(crate) fn section(results: &Results) -> String {
    let mut page = "\n## The key ceremony\n\n".to_owned();
    page += "Command: `cargo bench --bench ceremony` in `benches/`. Two thirds of the members open\n\
             a sum. What is passed on reaches each member: the invitation, all key parts, all\n\
             dealings, the roster. The processor time is the sum of the figures above.\n\n";
    page += "| members | threshold | a member sends | is passed on to each | a member's processor time | the collector's |\n";
    page += "|---|---|---|---|---|---|\n";
    page.extend(CEREMONIES.iter().map(|ceremony| row(ceremony, results)));
    page
}

fn row(Ceremony { members, threshold }: &Ceremony, results: &Results) -> String {
    let [deal, receive, collector] =
        ["deal", "receive", "collector"].map(|what| format!("ceremony/{what}-{members}"));
    let [sent, heard] = [&deal, &receive].map(|id| {
        results.bytes(id).map_or("not measured".to_owned(), |bytes| thousands(bytes) + " B")
    });
    let member = results.median(&deal).zip(results.median(&receive)).map(|(a, b)| a + b);
    let [member, collector] = [member, results.median(&collector)].map(maybe);
    format!("| {members} | {threshold} | {sent} | {heard} | {member} | {collector} |\n")
}
