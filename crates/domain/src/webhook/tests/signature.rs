//! Signatures against values computed with another HMAC (Python's), and against forgers.

use proptest::prelude::*;

use super::*;

const APP_SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const BODY: &[u8] = br#"{"object":"whatsapp_business_account","entry":[{"text":"\u00e4 \/"}]}"#;
/// `hmac.new(APP_SECRET, BODY, "sha256").hexdigest()`
const HUB: &str = "sha256=112bf28d6121d95f139705badb5c1f6693d552b3729ec61b13cc819779156a4d";
/// `"whsec_" + base64.b64encode(bytes(range(32))).decode()`
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// `base64.b64encode(hmac.new(bytes(range(32)), b"msg_1.1795392000." + BODY, "sha256").digest())`
const STANDARD_SIGNATURE: &str = "v1,B97r4XHkCDh0QHDIWkSmEZ5DrU07FDzhXjX3ar74YBw=";
/// The same with `bytes(range(1, 33))`.
const OTHER_SIGNATURE: &str = "v1,PFZ7q1jSp/D/kDvM83MuVkb6U0ss+mm18i9iIbztpQ0=";
/// `hmac.new(SECRET.encode(), BODY, "sha256").hexdigest()`
const HUB_OF_SECRET: &str = "sha256=d085cd452f380feb959bc0601236801591dfd57a22a0dc467a18d7fdfc398a0a";

fn signing_secret(first: u8) -> SigningSecret {
    SigningSecret::generate(&std::array::from_fn(|index| first + u8::try_from(index).expect("below 32")))
}

#[test]
fn metas_signature_is_what_another_hmac_computes() {
    assert_eq!(hub_signature(APP_SECRET, BODY), HUB);
    let secrets = HubSecrets::new([b"another".as_slice(), APP_SECRET]);
    assert_eq!(secrets.verify([HUB.as_bytes()], BODY), Ok(1));
}

#[test]
fn the_standard_signature_is_what_another_hmac_computes() {
    let (newer, older) = (signing_secret(0), signing_secret(1));
    assert_eq!(newer.as_str(), SECRET);
    assert_eq!(standard_signature(&[&newer], "msg_1", 1_795_392_000, BODY), STANDARD_SIGNATURE);
    assert_eq!(standard_signature(&[&newer, &older], "msg_1", 1_795_392_000, BODY), format!("{STANDARD_SIGNATURE} {OTHER_SIGNATURE}"));
    let read_back = SigningSecret::parse(SECRET).expect("its own text");
    assert_eq!(standard_signature(&[&read_back], "msg_1", 1_795_392_000, BODY), STANDARD_SIGNATURE);
    assert_eq!(hub_signature(SECRET.as_bytes(), BODY), HUB_OF_SECRET);
    assert_eq!(SigningSecret::parse(SECRET).expect("a secret").hub_signature(BODY), HUB_OF_SECRET);
}

#[test]
fn there_must_be_exactly_one_well_formed_signature() {
    let secrets = HubSecrets::new([APP_SECRET]);
    assert_eq!(secrets.verify([], BODY), Err(NotSigned::Missing));
    let hub = HUB.to_owned();
    let digits = &hub["sha256=".len()..];
    for header in [
        String::new(),
        "sha256=".to_owned(),
        digits.to_owned(),
        format!("sha1={digits}"),
        format!("SHA256={digits}"),
        format!("sha256={}", digits.to_uppercase()),
        format!("sha256= {digits}"),
        format!("{hub} "),
        format!(" {hub}"),
        format!("{hub}0"),
        hub[..hub.len() - 1].to_owned(),
        hub[..hub.len() - 2].to_owned(),
        format!("{hub},{hub}"),
        format!("sha256={}", "0".repeat(64)),
        format!("sha256={}", "g".repeat(64)),
    ] {
        assert_eq!(secrets.verify([header.as_bytes()], BODY), Err(NotSigned::Wrong), "{header:?}");
    }
    assert_eq!(secrets.verify([HUB.as_bytes(), HUB.as_bytes()], BODY), Err(NotSigned::Wrong));
    assert_eq!(HubSecrets::new([b""; 0]).verify([HUB.as_bytes()], BODY), Err(NotSigned::Wrong));
}

#[test]
fn a_hundred_thousand_forged_or_altered_signatures_are_refused() {
    let secrets = HubSecrets::new([APP_SECRET, b"second"]);
    let mut accepted = 0;
    let mut next = 0x9e37_79b9_7f4a_7c15_u64;
    let mut chance = || {
        next ^= next << 13;
        next ^= next >> 7;
        next ^= next << 17;
        usize::try_from(next >> 1).expect("64 bits")
    };
    for round in 0..100_000 {
        let (mut header, mut body) = (HUB.as_bytes().to_vec(), BODY.to_vec());
        match round % 4 {
            // One bit of the signature, one bit of the body, another signature, another secret.
            0 => {
                let at = chance() % header.len();
                header[at] ^= 1 << (chance() % 8);
            }
            1 => {
                let at = chance() % body.len();
                body[at] ^= 1 << (chance() % 8);
            }
            2 => {
                for digit in &mut header["sha256=".len()..] {
                    *digit = HEX[chance() % 16];
                }
            }
            _ => header = hub_signature(&chance().to_le_bytes(), &body).into_bytes(),
        }
        accepted += usize::from(secrets.verify([header.as_slice()], &body).is_ok());
    }
    assert_eq!(accepted, 0);
}

#[test]
fn a_secret_is_whsec_and_24_to_64_bytes_of_padded_base64() {
    for bytes in [24, 32, 64] {
        let text = format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        assert_eq!(SigningSecret::parse(&text).expect("sound").as_str(), text);
    }
    let short = format!("whsec_{}", STANDARD.encode([7; 23]));
    let long = format!("whsec_{}", STANDARD.encode([7; 65]));
    let unpadded = SECRET.trim_end_matches('=');
    for text in ["", "whsec_", &SECRET[6..], "WHSEC_AAAA", &short, &long, unpadded, "whsec_!!!!", "whsec_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_"]
    {
        assert!(SigningSecret::parse(text).is_err(), "{text}");
    }
    assert_eq!(format!("{:?} {:?}", signing_secret(0), HubSecrets::new([APP_SECRET])), "SigningSecret(secret) HubSecrets(1 secrets)");
}

#[test]
fn a_bearer_is_at_least_32_visible_characters() {
    let ours = generate_bearer(&[255; 32]);
    assert!(ours.starts_with("whb_") && ours.len() == 47, "{ours}");
    assert_eq!(check_bearer(&ours), Ok(()));
    assert_eq!(check_bearer(&"x".repeat(32)), Ok(()));
    for text in [
        "x".repeat(31),
        "x".repeat(513),
        format!("{} ", "x".repeat(40)),
        "ü".repeat(32),
        format!("{}\n", "x".repeat(40)),
        SECRET.to_owned(),
    ] {
        assert!(check_bearer(&text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_what_is_changed_does_not(secret: Vec<u8>, mut body: Vec<u8>, at: usize) {
        let header = hub_signature(&secret, &body);
        let secrets = HubSecrets::new([&secret]);
        prop_assert_eq!(secrets.verify([header.as_bytes()], &body), Ok(0));
        body.insert(at % (body.len() + 1), 0);
        prop_assert_eq!(secrets.verify([header.as_bytes()], &body), Err(NotSigned::Wrong));
    }
}
