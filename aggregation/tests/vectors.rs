//! Encodings byte by byte: those of RFC 9496, and ours.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says so")]

mod common;

use std::fmt::Write as _;

use aggregation::elgamal::KeyPart;
use aggregation::plain::bend_share;
use aggregation::{Canonical, DecodeError, ElGamal, Hidden, Participant, Scheme};
use common::{Ceremony, Members, ROUND};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;

/// RFC 9496, appendix A.1: 0G, 1G, 2G, ...
const MULTIPLES: [&str; 16] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
    "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
    "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
    "da80862773358b466ffadfe0b3293ab3d9fd53c5ea6c955358f568322daf6a57",
    "e882b131016b52c1d3337080187cf768423efccbb517bb495ab812c4160ff44e",
    "f64746d3c92b13050ed8d80236a7f0007c3b3f962f5ba793d19a601ebb1df403",
    "44f53520926ec81fbd5a387845beb7df85a96a24ece18738bdcfa6a7822a176d",
    "903293d8f2287ebe10e2374dc1a53e0bc887e592699f02d077d5263cdd55601c",
    "02622ace8f7303a31cafc63f8fc48fdc16e1c8c8d234b2f0d6685282a9076031",
    "20706fd788b2720a1ed2a5dad4952b01f413bcf0e7564de8cdc816689e2db95f",
    "bce83f8ba5dd2fa572864c24ba1810f9522bc6004afe95877ac73241cafdab42",
    "e4549ee16b9aa03099ca208c67adafcafa4c3f3e4e5303de6026e3ca8ff84460",
    "aa52e000df2e16f55fb1032fc33bc42742dad6bd5a8fc0be0167436c5948501f",
    "46376b80f409b29dc2b5f6f0c52591990896e5716f41477cd30085ab7f10301e",
    "e0c418f7c8d9c4cdd7395b93ea124f3ad99021bb681dfc3302a9d99a2e53e64e",
];

/// RFC 9496, appendix A.2.
const INVALID: [&str; 29] = [
    // Non-canonical field encodings.
    "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    // Negative field elements.
    "0100000000000000000000000000000000000000000000000000000000000000",
    "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
    "c34c4e1826e5d403b78e246e88aa051c36ccf0aafebffe137d148a2bf9104562",
    "c940e5a4404157cfb1628b108db051a8d439e1a421394ec4ebccb9ec92a8ac78",
    "47cfc5497c53dc8e61c91d17fd626ffb1c49e2bca94eed052281b510b1117a24",
    "f1c6165d33367351b0da8f6e4511010c68174a03b6581212c71c0e1d026c3c72",
    "87260f7a2f12495118360f02c26a470f450dadf34a413d21042b43b9d93e1309",
    // Non-square x^2.
    "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
    "4eac077a713c57b4f4397629a4145982c661f48044dd3f96427d40b147d9742f",
    "de6a7b00deadc788eb6b6c8d20c0ae96c2f2019078fa604fee5b87d6e989ad7b",
    "bcab477be20861e01e4a0e295284146a510150d9817763caf1a6f4b422d67042",
    "2a292df7e32cababbd9de088d1d1abec9fc0440f637ed2fba145094dc14bea08",
    "f4a9e534fc0d216c44b218fa0c42d99635a0127ee2e53c712f70609649fdff22",
    "8268436f8c4126196cf64b3c7ddbda90746a378625f9813dd9b8457077256731",
    "2810e5cbc2cc4d4eece54f61c6f69758e289aa7ab440b3cbeaa21995c2f4232b",
    // Negative xy.
    "3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e",
    "a45fdc55c76448c049a1ab33f17023edfb2be3581e9c7aade8a6125215e04220",
    "d483fe813c6ba647ebbfd3ec41adca1c6130c2beeee9d9bf065c8d151c5f396e",
    "8a2e1d30050198c65a54483123960ccc38aef6848e1ec8f5f780e8523769ba32",
    "32888462f8b486c68ad7dd9610be5192bbeaf3b443951ac1a8118419d9fa097b",
    "227142501b9d4355ccba290404bde41575b037693cef1f438c47f8fbf35d1165",
    "5c37cc491da847cfeb9281d407efc41e15144c876e0170b499a96a22ed31e01e",
    "445425117cb8c90edcbc7c1cc0e74f747f2c1efa5630a967c64f287792a48a4b",
    // s = -1.
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// A key part with these bytes as its point.
fn key_part(point: &str) -> Result<KeyPart, DecodeError> {
    let mut bytes = Members::<ElGamal>::new(1).parts[0].to_bytes();
    hex::decode_to_slice(point, &mut bytes[..32]).unwrap();
    KeyPart::from_bytes(&bytes)
}

#[test]
fn multiples_of_the_generator_are_those_of_rfc_9496() {
    for (number, expected) in MULTIPLES.into_iter().enumerate().skip(1) {
        let multiple = RistrettoPoint::mul_base(&Scalar::from(number as u64));
        assert_eq!(hex::encode(multiple.compress().as_bytes()), expected);
        let bytes = key_part(expected).unwrap().to_bytes();
        assert_eq!(hex::encode(&bytes[..32]), expected);
    }
    assert_eq!(key_part(MULTIPLES[0]), Err(DecodeError::Identity("Y")));
}

#[test]
fn the_invalid_encodings_of_rfc_9496_are_refused() {
    for invalid in INVALID {
        assert_eq!(key_part(invalid), Err(DecodeError::NotCanonical("Y")), "{invalid}");
    }
}

/// One line of hex for each field of 32 bytes.
fn fields<T: Canonical>(names: &[&str], value: &T) -> String {
    let bytes = value.to_bytes();
    let (chunks, rest) = bytes.as_chunks::<32>();
    assert_eq!((chunks.len(), rest.len()), (names.len(), 0));
    names.iter().zip(chunks).fold(String::new(), |mut lines, (name, chunk)| {
        writeln!(lines, "{name:2} {}", hex::encode(chunk)).unwrap();
        lines
    })
}

#[test]
fn a_key_part_has_these_bytes() {
    let members = Members::<ElGamal>::new(3);
    insta::assert_snapshot!(fields(&["Y", "A", "z"], &members.parts[0]), @"
    Y  122b08445ed557b325400fb3b967580e0d1eacdd5ee08f9c27e580654b811b0f
    A  eadd01dc3f4c455ca98d96976afd5e38d94f604bd3e54d9beadc69670de27028
    z  2533458f7864bd6317733aba0170b156360f5e9904a5da0ae8b08846eb918b03
    ");
}

#[test]
fn a_contribution_has_these_bytes() {
    let mut members = Members::<ElGamal>::new(3);
    let (contribution, _) = members.contribute(1234, ROUND);
    insta::assert_snapshot!(fields(&["C1", "C2", "A", "z"], &contribution), @"
    C1 72248692b80d044684b25bac8886f41f1f349da7851c3e5607d92aef43e4d86e
    C2 5a79683ed18a69b36d98ca4e253f6bbb81a27c7876200964bed0116621f1184e
    A  8c1a8abab759dac5ccd1a9b0aa69a67b353d1cdf1baca1f2a78ca134d2a2797c
    z  8f69e7d5bb9e568a3e1df42aa6e7da82407d6f5235c4a70c549a2639ca656604
    ");
}

#[test]
fn a_range_proof_has_these_bytes() {
    let mut members = Members::<ElGamal>::new(3);
    let (_, retained) = members.contribute(1234, ROUND);
    let hidden = [Hidden { context: ROUND, retained: &retained, plaintext: 1234 }];
    let proof = members.group.prove_range(&hidden, 65_535, &mut members.rng).unwrap();
    let names = ["d1", "A", "A1", "B", "r1", "s1", "L", "R", "L", "R", "L", "R", "L", "R"];
    let names = [names.as_slice(), &["A1", "A2", "zm", "zr"]].concat();
    insta::assert_snapshot!(fields(&names, &proof), @"
    d1 52b52999f38ed3e7388e430238569c36f19aca98fb2b79a58b6f7970b7d4130f
    A  d2631e75353b956b60f813a629d6cbee18e730a3803850367a28e3d2897c5c25
    A1 1442ae752de361c1c0c1f287473ea539fb29d952d3a1c3d4918938e18083df10
    B  fc6c71039033b67266e25d699f6b03afc4955b5e5517b18e853bf6c89d4f1d53
    r1 c9ade8cd4ca5428c6df8ba83c23e94945d923cdd75d6bde78e91928edf6a0209
    s1 84d7f9d1085de17ef5490c0bc019595347464b0329507c40d769daf51299c709
    L  ec404ee00d8ef58938db709f84b6469dce49aea7313b79c48fe2b4a04a968a52
    R  0a4e65383cf24e0942a129c2729d00a1218347dc875729013948801f7610f07e
    L  34e1d7370989a1ea66473bf1b13b6aac811ec23ba3527ec87552265bce841372
    R  ae84e155db820283c7506bdafb3acf3b0538fe8d25c9198b2a22ca43db9eae22
    L  f6a323e5bf71c1c739598b8c47ea839407e554f65bd97939d4e1a0bda387c41b
    R  b461fce63bb1497b48e417d9ef336160eaa9fae3bf2bc265245454232e650d4e
    L  7c1dd4cd49b4b03791d03221a8256ac0a0e82fe7043d8983b5037cb7de50644e
    R  5421a60e013022594bb4315e3a5ea902c98219cb9cbbe2998f64ae07afaebc4e
    A1 a87436f09d253c68c18c7bbeb64ecc9584e0564b8cbc76d2933aeee695f07c07
    A2 c069e7eaa34deb5ab2b6e4496ea63ad3551bac94e0e0e775946f3648a3183d1f
    zm 1bc7c5ffdb02c5cc4e66c525e9c2d3a650179e9b94827956c5cd755aac382205
    zr c3328aec6ffa7240e06775d26ea78f8ef6c8e3dc0635d0fb57cc0d1652d99504
    ");
}

#[test]
fn a_response_has_these_bytes() {
    let mut members = Members::<ElGamal>::new(3);
    let sums = [members.sum(&[1, 2]), members.sum(&[3])];
    let response = members.respond(1, &sums);
    insta::assert_snapshot!(fields(&["D", "D", "e", "z"], &response), @"
    D  aed8c1eccfffbb677112898e192902ab0fbbf63dc59e0d0fbffc4b233501ab77
    D  52ca7878287f145917d47454d5b40e66c3a1b5a42e015b662dc4dfcf4730542d
    e  ae81e3a89d6f500d867ae9be278679f7d0981bd4e1986db7c19f49f8d7d76a0f
    z  0eadd7ccd23da48d4541dae930f4658d07d9f42cb6bc4ab61e08d08cc3b1440d
    ");
}

#[test]
fn a_dealing_has_these_bytes() {
    let bytes = Ceremony::<ElGamal>::new(2, 3).dealings[1].to_bytes();
    let lengths = [("t", 2), ("C", 32), ("C", 32), ("A", 32), ("z", 32), ("D", 32)];
    let mut rest = bytes.as_slice();
    let mut lines = String::new();
    for (name, length) in lengths.into_iter().chain([("s", 48); 3]) {
        let (field, behind) = rest.split_at(length);
        writeln!(lines, "{name:2} {}", hex::encode(field)).unwrap();
        rest = behind;
    }
    assert!(rest.is_empty());
    insta::assert_snapshot!(lines, @"
    t  0002
    C  acfa32fa737a8577b725635469572f9f8474ed8884510d144c8c405c1a45dd18
    C  0205c81436028ab9f850d31787fb949d10a8b2169527ea194c77c4d1f8b72517
    A  a8e951d61c1dc2a6b509c1e2968e0db902f6d8ce9c9afc52b3168da43f39717f
    z  9b1ac9aaa0c853b42c6f37f56e19401ac8975cdd81995dcee3e75d881f1dbe09
    D  ba94d87081395b3ff7e82223723cde0995b5eff9475a122486d2e8f6df3a534b
    s  8d2882cc5d123e4648fd1023b728168ba8d30bf1b60e4bfc2f878d0fa54330d9b401a78c296bff94d18e3092b01b827e
    s  d98acfc0d592ce7f944c3e61122ed89e76c8a76b12854f7a1980971ca2d1068d7c4dc32dbaf5488c64d67ac58fd56b9c
    s  fae21beac5716dc32e0805ecf80733c4cd7785f279dfb2c736f51a843369cb12e12f21af2e093be363c77d931f5d65a1
    ");
}

#[test]
fn a_complaint_has_these_bytes() {
    let mut ceremony = Ceremony::<ElGamal>::new(2, 3);
    ceremony.dealings[1] = bend_share(&ceremony.dealings[1], 3, Participant(2)).unwrap();
    let complaint = ceremony.complaint(2, 1);
    insta::assert_snapshot!(fields(&["K", "e", "z"], &complaint), @"
    K  645ff64dc33a972967db48281b3c912b0e09813e8d487154d1d2577ccabbe15c
    e  27056b6c9b468322d688dedde4dc24b1608e8013ece1c3d4c434d45d58780f04
    z  a8cda1ff121fd2bb994d94912aee5bf3a900e1c27627127e44ae7b6eeba6db00
    ");
}
