//! Explains messages field by field, for a person who debugs with stock
//! tools. Nothing is verified and no key is needed.

mod text;

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use anyhow::Context as _;
use protocol::envelope::{Envelope, Message, Rejection};
use protocol::evidence::Evidence;
use protocol::members::MemberSet;
use protocol::message::{
    Challenge, Claim, Complaint, Confirmation, Contribution, Dealing, Dealings, Endorsement,
    FinalListing, Inquiry, Invitation, Invited, KeyPart, KeyParts, Kind, Listing, Member, Omission,
    Outcome, Proof, Recall, Receipt, Recollection, Refusal, Request, Roster, Share, State, Status,
    Unproven,
};
use protocol::parameters::{Parameters, Threshold};
use protocol::reading::Register;
use protocol::tariff::{Step, Tariff, write_times};
use protocol::topic;
use serde_bytes::ByteBuf;
use serde_json::{Map, Value, json};

use text::text;

/// Length of an encoded point or scalar.
const ELEMENT: usize = 32;

/// Reads the lines of `mosquitto_sub -F '%t %x'` and writes what they say: as
/// text, or as one JSON object a line.
///
/// # Errors
/// Where input or output fail; a line that is no message is said to be none.
pub fn lines(input: impl BufRead, mut output: impl Write, as_json: bool) -> anyhow::Result<()> {
    for line in input.lines() {
        let line = line.context("cannot read standard input")?;
        let said = explain_line(&line);
        let written =
            if as_json { writeln!(output, "{said}") } else { text(&mut output, &said, 0) };
        if let Err(error) = written.and_then(|()| output.flush()) {
            let closed = error.kind() == std::io::ErrorKind::BrokenPipe;
            return if closed { Ok(()) } else { Err(error).context("cannot write") };
        }
    }
    Ok(())
}

fn explain_line(line: &str) -> Value {
    let (topic, payload) = line.split_once(' ').unwrap_or((line, ""));
    let Ok(bytes) = hex::decode(payload.trim()) else {
        return json!({ "topic": topic, "error": "no hexadecimal payload: use -F '%t %x'" });
    };
    let mut said = json!({ "topic": topic, "bytes": bytes.len() });
    let body = if topic::is_json(topic) {
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(view) => json!({ "view": view }),
            Err(error) => json!({ "error": error.to_string() }),
        }
    } else {
        match Envelope::parse(&bytes).and_then(|envelope| explain(&envelope)) {
            Ok(body) => body,
            Err(rejection) => json!({ "error": rejection.to_string() }),
        }
    };
    if let (Value::Object(said), Value::Object(body)) = (&mut said, body) {
        said.extend(body);
    }
    said
}

fn explain(envelope: &Envelope) -> Result<Value, Rejection> {
    let header = envelope.header();
    let body = match header.kind {
        Kind::Invitation
        | Kind::KeyPart
        | Kind::Roster
        | Kind::KeyParts
        | Kind::Dealing
        | Kind::Dealings
        | Kind::Complaint
        | Kind::Confirmation => of_ceremony(envelope)?,
        _ => of_epoch(envelope)?,
    };
    Ok(json!({
        "kind": header.kind.as_str(),
        "region": header.region,
        "epoch": header.epoch,
        "sender": header.sender.to_string(),
        "signature": "not checked",
        "body": body,
    }))
}

fn of_ceremony(envelope: &Envelope) -> Result<Value, Rejection> {
    Ok(match envelope.header().kind {
        Kind::Invitation => invitation(&envelope.peek()?),
        Kind::KeyPart => {
            let body: KeyPart = envelope.peek()?;
            json!({ "part": elements(&body.part, &["Y", "A", "z"]) })
        }
        Kind::KeyParts => {
            let body: KeyParts = envelope.peek()?;
            json!({ "messages": body.messages.len(), "senders": senders(&body.messages) })
        }
        Kind::Dealing => {
            let body: Dealing = envelope.peek()?;
            json!({ "parts": body.parts, "dealing": sealed(&body.dealing) })
        }
        Kind::Dealings => {
            let body: Dealings = envelope.peek()?;
            json!({ "first": body.first, "senders": senders(&body.messages) })
        }
        Kind::Complaint => {
            let body: Complaint = envelope.peek()?;
            json!({ "dealer": body.dealer, "complaint": elements(&body.complaint, &["K", "e", "z"]) })
        }
        Kind::Confirmation => {
            let body: Confirmation = envelope.peek()?;
            json!({ "dealings": body.dealings, "group": body.group })
        }
        Kind::Roster => roster(&envelope.peek()?),
        _ => return Err(Rejection::Kind),
    })
}

fn of_epoch(envelope: &Envelope) -> Result<Value, Rejection> {
    Ok(match envelope.header().kind {
        Kind::Contribution => contribution(&envelope.peek()?),
        Kind::Receipt => plain::<Receipt>(envelope)?,
        Kind::Request => request(&envelope.peek()?),
        Kind::Share => share(&envelope.peek()?),
        Kind::Claim => {
            let body: Claim = envelope.peek()?;
            let registers = ciphertexts(&body.registers);
            json!({ "portion": body.portion, "listing": body.listing, "registers": registers })
        }
        Kind::Refusal => plain::<Refusal>(envelope)?,
        Kind::Omission => {
            let body: Omission = envelope.peek()?;
            let receipt: Receipt = Envelope::parse(&body.receipt)?.peek()?;
            json!({ "slot": body.slot, "receipt": receipt, "request": body.request })
        }
        Kind::Outcome => plain::<Outcome>(envelope)?,
        Kind::Status => plain::<Status>(envelope)?,
        Kind::Listing => listing(&envelope.peek()?),
        Kind::Endorsement => {
            let body: Endorsement = envelope.peek()?;
            json!({ "portion": body.portion, "listing": body.listing })
        }
        Kind::FinalListing => {
            let body: FinalListing = envelope.peek()?;
            let said = listing(&Envelope::parse(&body.listing)?.peek()?);
            json!({ "listing": said, "endorsed_by": senders(&body.endorsements) })
        }
        Kind::Inquiry => {
            let Inquiry { portion } = envelope.peek()?;
            json!({ "portion": portion })
        }
        Kind::Evidence => {
            let body: Evidence = envelope.peek()?;
            let shown = body.check().map(|found| found.to_string());
            json!({ "shows": shown.unwrap_or_else(|error| error.to_string()) })
        }
        Kind::Challenge => {
            let body: Challenge = envelope.peek()?;
            json!({ "meter": body.meter, "slots": body.slots })
        }
        Kind::Proof => {
            let body: Proof = envelope.peek()?;
            let registers = body.registers.iter();
            let proofs = registers.map(|(of, proof)| (of.to_string(), range_proof(proof)));
            json!({ "slots": body.slots, "registers": proofs.collect::<Map<_, _>>() })
        }
        Kind::Unproven => plain::<Unproven>(envelope)?,
        Kind::Recall => recall(&envelope.peek()?),
        Kind::Recollection => recollection(&envelope.peek()?),
        Kind::State => plain::<State>(envelope)?,
        _ => return Err(Rejection::Kind),
    })
}

fn contribution(body: &Contribution) -> Value {
    let mut said = json!({ "slot": body.slot, "registers": ciphertexts(&body.registers) });
    if let (Value::Object(said), Some(proof)) = (&mut said, &body.range_proof) {
        said.insert("range_proof".to_owned(), range_proof(proof));
    }
    said
}

/// A listing: how many members were counted in each slot, in order.
fn listing(body: &Listing) -> Value {
    let counted: Vec<_> = body.sets.iter().map(MemberSet::count).collect();
    let void: Vec<_> = body.void.keys().collect();
    json!({ "portion": body.portion, "previous": body.previous, "counted": counted, "void": void })
}

/// A recall: of how many members something is held.
fn recall(body: &Recall) -> Value {
    let slots = body.slots.iter().map(|(slot, set)| (slot.to_string(), set.count().into()));
    let claims = body.claims.iter();
    let claims = claims.map(|(portion, set)| json!({ "portion": portion, "held": set.count() }));
    json!({ "held": slots.collect::<Map<_, _>>(), "claims": claims.collect::<Vec<_>>() })
}

/// A recollection: what was contributed, and which requests were answered.
fn recollection(body: &Recollection) -> Value {
    let slots = body.slots.iter().map(|(slot, said)| {
        let answered = said.answered.as_ref();
        let answered = answered
            .map(|answered| json!({ "request": answered.request, "of": answered.set.count() }));
        (slot.to_string(), json!({ "is_sent": said.is_sent, "answered": answered }))
    });
    json!({ "slots": slots.collect::<Map<_, _>>() })
}

/// Who has signed messages that are passed on.
fn senders(messages: &[ByteBuf]) -> Vec<String> {
    let sender = |message: &ByteBuf| match Envelope::parse(message) {
        Ok(envelope) => envelope.header().sender.to_string(),
        Err(rejection) => rejection.to_string(),
    };
    messages.iter().map(sender).collect()
}

/// A dealing: how many commitments, and the bytes of all.
fn sealed(dealing: &ByteBuf) -> Value {
    let commitments = dealing.first_chunk().map(|count| u16::from_be_bytes(*count));
    json!({ "commitments": commitments, "bytes": dealing.len() })
}

/// A body whose own field names say enough.
fn plain<M: Message>(envelope: &Envelope) -> Result<Value, Rejection> {
    serde_json::to_value(envelope.peek::<M>()?).map_err(|_| Rejection::Body)
}

fn invitation(body: &Invitation) -> Value {
    let member = |member: &Invited| json!({ "id": member.meter, "key": member.key });
    json!({
        "previous": body.previous,
        "attempt": body.attempt,
        "collector": body.collector,
        "parameters": parameters(&body.parameters),
        "members": body.members.iter().map(member).collect::<Vec<_>>(),
    })
}

fn roster(body: &Roster) -> Value {
    let names: &[_] = match body.parameters.threshold {
        Threshold::All => &["Y", "A", "z"],
        Threshold::Of(_) => &["Y"],
    };
    let member = |member: &Member| {
        let part = elements(&member.part, names);
        json!({ "id": member.meter, "key": member.key, "part": part })
    };
    json!({
        "previous": body.previous,
        "attempt": body.attempt,
        "invitation": body.invitation,
        "dealings": body.dealings,
        "collector": body.collector,
        "first_slot": body.first_slot,
        "end_slot": body.end_slot,
        "parameters": parameters(&body.parameters),
        "group_key": hex::encode(&body.group_key),
        "members": body.members.iter().map(member).collect::<Vec<_>>(),
    })
}

fn parameters(of: &Parameters) -> Value {
    json!({
        "scheme": of.scheme,
        "threshold": of.threshold,
        "min_contributors": of.min_contributors,
        "max_corrupted": of.max_corrupted,
        "min_slots": of.min_slots,
        "slot_seconds": of.slot_seconds,
        "window_slots": of.window_slots,
        "grace_s": of.grace_s,
        "deadline_s": of.deadline_s,
        "max_wh_per_slot": of.max_wh_per_slot,
        "registers": of.registers,
        "range_proofs": of.range_proofs,
        "tariff": tariff(&of.tariff),
    })
}

fn tariff(of: &Tariff) -> Value {
    let step = |step: &Step| {
        let times = write_times(&step.spans, of.cycle_s());
        json!({ "name": step.name, "times": times })
    };
    json!({
        "cycle_s": of.cycle_s(),
        "steps": of.steps().iter().map(step).collect::<Vec<_>>(),
    })
}

fn ciphertexts(registers: &BTreeMap<Register, ByteBuf>) -> Value {
    let named = registers
        .iter()
        .map(|(register, bytes)| (register.to_string(), elements(bytes, &["C1", "C2", "A", "z"])));
    Value::Object(named.collect())
}

/// A range proof is too long to be shown.
fn range_proof(bytes: &ByteBuf) -> Value {
    json!({ "bytes": bytes.len() })
}

/// Points and scalars one after another, under their names.
fn elements(bytes: &[u8], names: &[&str]) -> Value {
    if bytes.len() != names.len() * ELEMENT {
        return json!(hex::encode(bytes));
    }
    let pairs = names.iter().zip(bytes.chunks(ELEMENT));
    Value::Object(
        pairs.map(|(name, chunk)| ((*name).to_owned(), json!(hex::encode(chunk)))).collect(),
    )
}

fn request(body: &Request) -> Value {
    let (target, messages) = match body {
        Request::Region(slot, messages) => (json!({ "slot": slot }), messages),
        Request::Bill(window, messages) => (json!({ "window": window }), messages),
    };
    let digest = protocol::release::digest(body).to_string();
    let inner = |message: &ByteBuf| match Envelope::parse(message) {
        Ok(envelope) => {
            let header = envelope.header();
            json!(format!("{} of {}, {} B", header.kind.as_str(), header.sender, message.len()))
        }
        Err(rejection) => json!(rejection.to_string()),
    };
    let entries: Vec<_> = messages.iter().map(inner).collect();
    json!({ "target": target, "digest": digest, "entries": entries })
}

/// One D for each sum, then e and z of the proof for all of them.
fn share(body: &Share) -> Value {
    let elements: Vec<_> = body.response.chunks(ELEMENT).map(hex::encode).collect();
    let (shares, proof) = elements.split_at(elements.len().saturating_sub(2));
    let mut named: Map<_, _> =
        shares.iter().enumerate().map(|(at, share)| (format!("D{at}"), json!(share))).collect();
    named
        .extend(["e", "z"].iter().zip(proof).map(|(name, part)| ((*name).to_owned(), json!(part))));
    json!({ "request": body.request.to_string(), "response": named })
}
