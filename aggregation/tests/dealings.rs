//! What a dealer or a complainant of threshold ElGamal cannot get away with.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says so")]

mod common;

use aggregation::elgamal::{Complaint, Dealing};
use aggregation::{
    Canonical, Context, DecodeError, DeviceSecret, ElGamal, GroupError, Participant, Rng, Scheme,
    Sharing, Stored,
};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use common::{Ceremony, DEALING, complaint_about};
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use merlin::Transcript;
use rand::SeedableRng;

type Elections = Ceremony<ElGamal>;

/// Where the fields of a dealing begin, with a threshold of 2 of 3.
const C0: usize = 2;
const C1: usize = 34;
const A: usize = 66;
const Z: usize = 98;
const D: usize = 130;
const SEALED: usize = 162;

fn field(dealing: &Dealing, at: usize) -> [u8; 32] {
    *dealing.to_bytes()[at..].first_chunk().unwrap()
}

/// `dealing` with other bytes from one position on.
fn with(dealing: &Dealing, at: usize, bytes: &[u8]) -> Result<Dealing, DecodeError> {
    let mut all = dealing.to_bytes();
    all[at..at + bytes.len()].copy_from_slice(bytes);
    Dealing::from_bytes(&all)
}

fn decode(bytes: [u8; 32]) -> RistrettoPoint {
    CompressedRistretto(bytes).decompress().unwrap()
}

fn scalar(secret: &impl Stored) -> Scalar {
    let bytes = <[u8; 32]>::try_from(secret.to_stored().as_slice()).unwrap();
    Scalar::from_canonical_bytes(bytes).unwrap()
}

impl Elections {
    /// The cipher that seals the share of `recipient` in the dealing of
    /// `dealer`, made from the recipient's side and from the description.
    fn cipher(&self, dealer: u16, recipient: u16) -> ChaCha20Poly1305 {
        let secret = scalar(&self.secrets[usize::from(recipient)]);
        let dealer_key = field(&self.dealings[usize::from(dealer)], D);
        let shared = (decode(dealer_key) * secret).compress();
        let recipient_key = RistrettoPoint::mul_base(&secret).compress();
        let mut transcript = Transcript::new(b"hushgrid/1/threshold-elgamal/seal");
        transcript.append_message(b"context", DEALING.0);
        transcript.append_u64(b"dealer", dealer.into());
        transcript.append_u64(b"recipient", recipient.into());
        transcript.append_message(b"D", &dealer_key);
        transcript.append_message(b"E", recipient_key.as_bytes());
        transcript.append_message(b"K", shared.as_bytes());
        let mut key = [0; 32];
        transcript.challenge_bytes(b"key", &mut key);
        ChaCha20Poly1305::new(&key.into())
    }

    fn opened(&self, dealer: u16, recipient: u16) -> [u8; 32] {
        let at = SEALED + 48 * usize::from(recipient);
        let sealed = self.dealings[usize::from(dealer)].to_bytes()[at..at + 48].to_vec();
        let (mut text, tag) = (field_of(&sealed), <[u8; 16]>::try_from(&sealed[32..]).unwrap());
        self.cipher(dealer, recipient)
            .decrypt_inout_detached(&[0; 12].into(), &[], text.as_mut_slice().into(), &tag.into())
            .unwrap();
        text
    }

    /// The dealer seals these bytes for the recipient, whatever they are.
    fn reseal(&mut self, dealer: u16, recipient: u16, mut text: [u8; 32]) {
        let tag = self
            .cipher(dealer, recipient)
            .encrypt_inout_detached(&[0; 12].into(), &[], text.as_mut_slice().into())
            .unwrap();
        let dealing = &mut self.dealings[usize::from(dealer)];
        let at = SEALED + 48 * usize::from(recipient);
        *dealing = with(dealing, at, &[text.as_slice(), &tag].concat()).unwrap();
    }

    fn shift(&mut self, dealer: u16, recipient: u16, by: Scalar) {
        let share = Scalar::from_canonical_bytes(self.opened(dealer, recipient)).unwrap();
        self.reseal(dealer, recipient, (share + by).to_bytes());
    }

    /// Whether 2 complains about 1 and is believed.
    fn convicts_dealer_1(&mut self) -> bool {
        let complaint = self.complaint(2, 1);
        self.convicts(2, 1, &complaint, &complaint_about(Participant(1)))
    }
}

fn field_of(bytes: &[u8]) -> [u8; 32] {
    *bytes.first_chunk().unwrap()
}

#[test]
fn a_sealed_share_is_the_polynomials_value_as_described() {
    let ceremony = Elections::new(2, 3);
    let [c0, c1] = [C0, C1].map(|at| decode(field(&ceremony.dealings[1], at)));
    let share = Scalar::from_canonical_bytes(ceremony.opened(1, 2)).unwrap();
    assert_eq!(RistrettoPoint::mul_base(&share), c0 + c1 * Scalar::from(3_u8));
}

#[test]
fn a_dealer_whose_share_opens_but_does_not_fit_is_convicted() {
    let mut ceremony = Elections::new(2, 3);
    ceremony.shift(1, 2, Scalar::ONE);
    assert!(ceremony.convicts_dealer_1());
}

#[test]
fn a_dealer_that_seals_no_canonical_scalar_is_convicted() {
    let mut ceremony = Elections::new(2, 3);
    ceremony.reseal(1, 2, [0xff; 32]);
    assert!(ceremony.convicts_dealer_1());
}

#[test]
fn a_dealer_that_deals_another_polynomial_is_convicted() {
    let mut ceremony = Elections::new(2, 3);
    let other = ceremony.deal(1, DEALING).to_bytes();
    ceremony.dealings[1] = with(&ceremony.dealings[1], SEALED, &other[SEALED..]).unwrap();
    assert!(ceremony.convicts_dealer_1());
}

#[test]
fn errors_of_two_dealers_that_cancel_harm_nobody() {
    let mut ceremony = Elections::new(2, 3);
    ceremony.shift(0, 2, Scalar::ONE);
    ceremony.shift(1, 2, -Scalar::ONE);
    let members = ceremony.members();
    let public = RistrettoPoint::mul_base(&scalar(&members.secrets[2])).compress();
    let expected = members.group.public_share(Participant(2));
    assert_eq!(expected.as_deref(), Some(public.as_bytes().as_slice()));
}

#[test]
fn a_share_that_fits_convicts_nobody_even_with_a_true_proof() {
    let mut ceremony = Elections::new(2, 3);
    let Ceremony { parts, secrets, dealings, rng, .. } = &mut ceremony;
    // Whoever reads a dealing in another context complains about every share.
    let misread: Vec<_> = dealings.iter().map(|one| (Context(b"elsewhere"), one)).collect();
    let sharing = Sharing { threshold: 2, parts };
    let received =
        ElGamal::receive(sharing, Participant(2), &secrets[2], &misread, complaint_about, rng);
    let complaint = received.err().unwrap().remove(&Participant(1)).unwrap();
    let about = complaint_about(Participant(1));
    let judge = |context: &[u8]| {
        let dealing = (Context(context), &ceremony.dealings[1]);
        let parties = (Participant(2), Participant(1));
        ElGamal::judge(ceremony.sharing(), parties, &complaint, dealing, Context(&about))
    };
    assert!(judge(b"elsewhere"), "the proof is true");
    assert!(!judge(DEALING.0));
}

#[test]
fn a_complaint_with_another_shared_point_convicts_nobody() {
    let mut ceremony = Elections::new(2, 3);
    ceremony.shift(1, 2, Scalar::ONE);
    let about = complaint_about(Participant(1));
    let bytes = ceremony.complaint(2, 1).to_bytes();
    let [shared, proof @ ..] = bytes.as_chunks::<32>().0 else { panic!() };
    let moved = decode(*shared) + RistrettoPoint::mul_base(&Scalar::ONE);
    let bytes = [moved.compress().as_bytes().as_slice(), proof.as_flattened()].concat();
    let complaint = Complaint::from_bytes(&bytes).unwrap();
    assert!(!ceremony.convicts(2, 1, &complaint, &about));
}

#[test]
fn a_complaint_about_one_dealing_convicts_for_no_other_of_the_same_dealer() {
    let mut ceremony = Elections::new(2, 3);
    ceremony.shift(1, 2, Scalar::ONE);
    let complaint = ceremony.complaint(2, 1);
    ceremony.shift(1, 0, Scalar::ONE);
    let about = complaint_about(Participant(1));
    assert!(!ceremony.convicts(2, 1, &complaint, &about));
}

#[test]
fn a_dealer_that_copies_anothers_commitments_has_no_proof() {
    let ceremony = Elections::new(2, 3);
    let [own, other] = [&ceremony.dealings[1], &ceremony.dealings[0]];
    let bytes = other.to_bytes();
    let copied = with(own, C0, &bytes[C0..A]).unwrap();
    assert!(!ceremony.verifies(1, &copied));
    let copied = with(&copied, A, &bytes[A..D]).unwrap();
    assert!(!ceremony.verifies(1, &copied), "with the proof");
    assert!(!ceremony.verifies(1, other), "as it is");
}

#[test]
fn a_dealer_that_cancels_the_others_constant_terms_has_no_proof() {
    let ceremony = Elections::new(2, 3);
    let [first, own, last] = [0, 1, 2].map(|dealer| field(&ceremony.dealings[dealer], C0));
    let rogue = (decode(own) - decode(first) - decode(last)).compress();
    let dealing = with(&ceremony.dealings[1], C0, rogue.as_bytes()).unwrap();
    assert!(!ceremony.verifies(1, &dealing));
}

#[test]
fn a_dealer_that_uses_anothers_dealer_key_has_no_proof() {
    let ceremony = Elections::new(2, 3);
    let [own, other] = [&ceremony.dealings[1], &ceremony.dealings[0]];
    let dealing = with(own, D, &field(other, D)).unwrap();
    assert!(!ceremony.verifies(1, &dealing));
}

/// The transcript of the proof of a dealing of participant 1, as described,
/// and the weight of D in it.
fn possession(ceremony: &Elections, c: &[[u8; 32]], d: [u8; 32]) -> (Transcript, Scalar) {
    let mut transcript = Transcript::new(b"hushgrid/1/threshold-elgamal/dealing");
    transcript.append_message(b"context", DEALING.0);
    for (label, number) in [(&b"dealer"[..], 1), (b"threshold", 2), (b"participants", 3)] {
        transcript.append_u64(label, number);
    }
    for part in &ceremony.parts {
        transcript.append_message(b"E", &part.to_bytes()[..32]);
    }
    for one in c {
        transcript.append_message(b"C", one);
    }
    transcript.append_message(b"D", &d);
    let weight = challenge(&mut transcript, b"weight");
    (transcript, weight)
}

fn challenge(transcript: &mut Transcript, label: &'static [u8]) -> Scalar {
    let mut wide = [0; 64];
    transcript.challenge_bytes(label, &mut wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}

#[test]
fn the_proof_of_a_dealing_is_as_described() {
    let ceremony = Elections::new(2, 3);
    let [c0, c1, a, z, d] = [C0, C1, A, Z, D].map(|at| field(&ceremony.dealings[1], at));
    let (mut transcript, weight) = possession(&ceremony, &[c0, c1], d);
    transcript.append_message(b"A", &a);
    let e = challenge(&mut transcript, b"e");
    let z = Scalar::from_canonical_bytes(z).unwrap();
    let proven = decode(c0) + decode(d) * weight;
    assert_eq!(RistrettoPoint::mul_base(&z), decode(a) + proven * e);
}

#[test]
fn a_dealer_that_knows_no_more_than_the_sum_of_its_secrets_has_no_proof() {
    let ceremony = Elections::new(2, 3);
    let (sum, nonce) = (Scalar::from(5_u8), Scalar::from(7_u8));
    let d = field(&ceremony.dealings[0], D);
    let c0 = (RistrettoPoint::mul_base(&sum) - decode(d)).compress().to_bytes();
    let (mut transcript, _) = possession(&ceremony, &[c0, c0], d);
    let a = RistrettoPoint::mul_base(&nonce).compress().to_bytes();
    transcript.append_message(b"A", &a);
    let z = (nonce + challenge(&mut transcript, b"e") * sum).to_bytes();
    let dealing = with(&ceremony.dealings[1], C0, [c0, c0, a, z, d].as_flattened()).unwrap();
    assert!(!ceremony.verifies(1, &dealing));
}

#[test]
fn a_true_proof_for_another_number_of_commitments_is_refused() {
    let ceremony = Elections::new(2, 3);
    let (secret, nonce) = (Scalar::from(5_u8), Scalar::from(7_u8));
    let [point, a] = [secret, nonce].map(|one| RistrettoPoint::mul_base(&one).compress());
    for (count, verifies) in [(1_u16, false), (2, true), (3, false)] {
        let commitments = vec![point.to_bytes(); count.into()];
        let (mut transcript, weight) = possession(&ceremony, &commitments, point.to_bytes());
        transcript.append_message(b"A", a.as_bytes());
        let z = nonce + challenge(&mut transcript, b"e") * (secret + weight * secret);
        let fixed = [a.to_bytes(), z.to_bytes(), point.to_bytes()];
        let head = [&count.to_be_bytes(), commitments.as_flattened(), fixed.as_flattened()];
        let dealing = Dealing::from_bytes(&[head.concat(), vec![0; 3 * 48]].concat()).unwrap();
        assert_eq!(ceremony.verifies(1, &dealing), verifies, "{count}");
    }
}

#[test]
fn every_commitment_is_covered_by_the_proof() {
    let ceremony = Elections::new(2, 3);
    let own = &ceremony.dealings[1];
    let moved = decode(field(own, C1)) + RistrettoPoint::mul_base(&Scalar::ONE);
    let dealing = with(own, C1, moved.compress().as_bytes()).unwrap();
    assert!(!ceremony.verifies(1, &dealing));
}

#[test]
fn dealings_that_cancel_out_make_no_group() {
    let ceremony = Elections::new(2, 2);
    let [first, second] = [0, 1].map(|dealer| &ceremony.dealings[dealer]);
    let minus = (-decode(field(first, C0))).compress();
    let cancelling = with(second, C0, minus.as_bytes()).unwrap();
    let group = ElGamal::shared_group(2, &[first.clone(), cancelling]);
    assert_eq!(group.err(), Some(GroupError::Identity));
}

#[test]
fn identities_and_what_is_not_canonical_are_refused_in_each_position() {
    let ceremony = Elections::new(2, 3);
    let dealing = &ceremony.dealings[0];
    for (at, name) in [(C0, "C"), (C1, "C"), (A, "A"), (D, "D")] {
        assert_eq!(with(dealing, at, &[0; 32]), Err(DecodeError::Identity(name)));
        assert_eq!(with(dealing, at, &[0xff; 32]), Err(DecodeError::NotCanonical(name)));
    }
    assert_eq!(with(dealing, Z, &[0xff; 32]), Err(DecodeError::NotCanonical("z")));
    for (at, name) in ["K", "e", "z"].into_iter().enumerate() {
        let mut bytes = [[1; 32]; 3];
        bytes[0] = field(dealing, D);
        bytes[at] = [0xff; 32];
        let refused = Err(DecodeError::NotCanonical(name));
        assert_eq!(Complaint::from_bytes(bytes.as_flattened()), refused);
    }
}

#[test]
fn a_named_group_of_identities_or_what_is_not_canonical_is_refused() {
    let point = RistrettoPoint::mul_base(&Scalar::ONE).compress().to_bytes();
    let refused = |key: [u8; 32], share| ElGamal::named_group(1, &key, &[point, share]).err();
    assert_eq!(refused([0; 32], point), Some(GroupError::Key(DecodeError::Identity("Y"))));
    let odd = DecodeError::NotCanonical("Y_j");
    assert_eq!(refused(point, [0xff; 32]), Some(GroupError::Share(Participant(1), odd)));
}

#[test]
fn errors_of_two_shares_of_a_named_group_do_not_cancel() {
    let group = Elections::new(3, 5).members().group;
    let by = RistrettoPoint::mul_base(&Scalar::ONE);
    let mut shares: Vec<_> =
        (0..5).map(|of| group.public_share(Participant(of)).unwrap()).collect();
    for (of, error) in [(1, by), (3, -by)] {
        shares[of] = (decode(field_of(&shares[of])) + error).compress().to_bytes().to_vec();
    }
    let named = ElGamal::named_group(3, &group.group_key(), &shares);
    assert_eq!(named.err(), Some(GroupError::Polynomial));
}

fn dealt_by(device: u8, seed: u64, context: &[u8]) -> Dealing {
    let ceremony = Elections::new(2, 3);
    let (device, mut rng) = (DeviceSecret::new([device; 32]), Rng::seed_from_u64(seed));
    ElGamal::deal(ceremony.sharing(), Participant(0), &device, Context(context), &mut rng)
}

#[test]
fn a_generator_that_repeats_itself_does_not_repeat_a_dealing() {
    let dealing = dealt_by(1, 9, b"epoch 1");
    let others = [dealt_by(2, 9, b"epoch 1"), dealt_by(1, 8, b"epoch 1"), dealt_by(1, 9, b"2")];
    for other in others {
        for at in [C0, C1, A, D, SEALED] {
            assert_ne!(field(&dealing, at), field(&other, at));
        }
    }
}

#[test]
fn no_two_values_of_a_dealing_are_drawn_alike() {
    let dealing = dealt_by(1, 9, b"epoch 1");
    let drawn: std::collections::BTreeSet<_> = [C0, C1, A, D].map(|at| field(&dealing, at)).into();
    assert_eq!(drawn.len(), 4);
}
