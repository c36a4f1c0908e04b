//! A client written from RFC 5802 for the server to meet, and the exchanges the RFCs and Kafka's client print.

use super::super::super::credential::MIN_ITERATIONS;
use super::super::super::secret::SecretString;
use super::super::super::users::User;
use super::*;
use proptest::prelude::*;
use std::sync::LazyLock;

const HASHES: [ScramHash; 2] = [ScramHash::Sha256, ScramHash::Sha512];
const RFC_CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const RFC_SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

fn users() -> &'static Users {
    static USERS: LazyLock<Users> = LazyLock::new(make_users);
    &USERS
}

fn make_users() -> Users {
    let mut users = Users::new().unwrap();
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    users.insert(
        "user".parse().unwrap(),
        User {
            scram_sha_256: Some(ScramRecord::derive(ScramHash::Sha256, b"pencil", salt.clone(), 4096)),
            scram_sha_512: Some(ScramRecord::derive(ScramHash::Sha512, b"pencil", salt, 4096)),
        },
    );
    let odd = User::with_password(&SecretString::new("p,=w".into()), MIN_ITERATIONS).unwrap();
    users.insert("a,b=c".parse().unwrap(), odd);
    users
}

fn first(hash: ScramHash, text: &str) -> Result<(ScramServer, String), SaslFailure> {
    match ScramServer::new(hash).step(users(), text.as_bytes())? {
        Next::Continue(server, token) => Ok((server, String::from_utf8(token).unwrap())),
        Next::Done { .. } => panic!("done after one message"),
    }
}

fn rfc_first(hash: ScramHash) -> (ScramServer, String) {
    let text = format!("n,,n=user,r={RFC_CLIENT_NONCE}");
    match ScramServer::challenge(hash, users(), &text, RFC_SERVER_NONCE).unwrap() {
        Next::Continue(server, token) => (server, String::from_utf8(token).unwrap()),
        Next::Done { .. } => panic!("done after one message"),
    }
}

/// What a client makes of the server's challenge: its final message and the signature it expects back.
fn answer(hash: ScramHash, gs2: &str, bare: &str, server_first: &str, password: &str) -> (String, String) {
    let field = |key: &str| {
        let found = server_first.split(',').find_map(|a| a.strip_prefix(key)).unwrap();
        found.to_owned()
    };
    let (nonce, salt, iterations) = (field("r="), STANDARD.decode(field("s=")).unwrap(), field("i="));
    let salted = hash.salted_password(password.as_bytes(), &salt, iterations.parse().unwrap());
    let client_key = hash.hmac(salted.expose(), b"Client Key");
    let stored_key = hash.digest(client_key.expose());
    let without_proof = format!("c={},r={nonce}", STANDARD.encode(gs2));
    let signed = format!("{bare},{server_first},{without_proof}");
    let signature = hash.hmac(stored_key.expose(), signed.as_bytes());
    let proof: Vec<u8> = client_key.expose().iter().zip(signature.expose()).map(|(a, b)| a ^ b).collect();
    let server_key = hash.hmac(salted.expose(), b"Server Key");
    let expected = hash.hmac(server_key.expose(), signed.as_bytes());
    (
        format!("{without_proof},p={}", STANDARD.encode(proof)),
        format!("v={}", STANDARD.encode(expected.expose())),
    )
}

/// A whole login; the client also checks the server's signature.
fn login(hash: ScramHash, gs2: &str, bare: &str, password: &str) -> Result<Principal, SaslFailure> {
    let (server, challenge) = first(hash, &format!("{gs2}{bare}"))?;
    let (last, expected) = answer(hash, gs2, bare, &challenge, password);
    match server.step(users(), last.as_bytes())? {
        Next::Done { principal, token } => {
            assert_eq!(String::from_utf8(token).unwrap(), expected);
            Ok(principal)
        }
        Next::Continue(..) => panic!("a third message is asked for"),
    }
}

/// SHA-256: RFC 7677, section 3. SHA-512: the same inputs through kafka-clients 4.4.0's `ScramMessages` and
/// `ScramFormatter`, which print the RFC's own values for SHA-256.
#[test]
fn the_exchange_of_rfc_7677_and_its_sha_512_twin() {
    for (hash, proof, signature) in [
        (
            ScramHash::Sha256,
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
        (
            ScramHash::Sha512,
            "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
            "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
        ),
    ] {
        let (server, challenge) = rfc_first(hash);
        assert_eq!(
            challenge,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = format!("c=biws,r={RFC_CLIENT_NONCE}{RFC_SERVER_NONCE},p={proof}");
        match server.step(users(), last.as_bytes()).unwrap() {
            Next::Done { principal, token } => {
                assert_eq!(principal.as_str(), "User:user");
                assert_eq!(token, format!("v={signature}").into_bytes());
            }
            Next::Continue(..) => panic!("a third message is asked for"),
        }
    }
}

#[test]
fn logins_of_every_legal_form() {
    for hash in HASHES {
        for (gs2, bare, password, who) in [
            ("n,,", "n=user,r=abc", "pencil", "User:user"),
            ("y,,", "n=user,r=abc", "pencil", "User:user"),
            ("n,a=user,", "n=user,r=abc", "pencil", "User:user"),
            ("n,,", "n=user,r=abc,x=ignored,tokenauth=false", "pencil", "User:user"),
            ("n,,", "n=a=2Cb=3Dc,r=abc", "p,=w", "User:a,b=c"),
            ("n,a=a=2Cb=3Dc,", "n=a=2Cb=3Dc,r=abc", "p,=w", "User:a,b=c"),
        ] {
            assert_eq!(login(hash, gs2, bare, password).unwrap().as_str(), who, "{gs2}{bare}");
        }
    }
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_alike() {
    for hash in HASHES {
        let wrong = login(hash, "n,,", "n=user,r=abc", "Pencil");
        let unknown = login(hash, "n,,", "n=nobody,r=abc", "pencil");
        assert_eq!(wrong.unwrap_err(), SaslFailure::InvalidCredentials);
        assert_eq!(unknown.unwrap_err(), SaslFailure::InvalidCredentials);
    }
}

#[test]
fn the_challenge_to_an_unknown_user_repeats_its_salt_but_not_its_nonce() {
    let ask = |name: &str| {
        let text = format!("n,,n={name},r=abc");
        match ScramServer::new(ScramHash::Sha256).step(users(), text.as_bytes()).unwrap() {
            Next::Continue(_, token) => String::from_utf8(token).unwrap(),
            Next::Done { .. } => panic!("done after one message"),
        }
    };
    let parts = |challenge: &str| {
        let (nonce, rest) = challenge.split_once(',').unwrap();
        (nonce.to_owned(), rest.to_owned())
    };
    let (nonce, rest) = parts(&ask("nobody"));
    let (other_nonce, other_rest) = parts(&ask("nobody"));
    assert_eq!(rest, other_rest);
    assert_ne!(nonce, other_nonce);
    assert_eq!(nonce.len(), parts(&ask("user")).0.len());
    assert_eq!(rest.len(), parts(&ask("user")).1.len());
}

#[test]
fn a_made_up_record_never_authenticates_even_whoever_knows_it() {
    // A client that somehow knew the decoy's stored key could compute a fitting proof only by inverting the hash;
    // what is checked here is that `exists` decides even when the record fits.
    let (server, challenge) = rfc_first(ScramHash::Sha256);
    let State::Final(mut inner) = server.state else { panic!("no challenge") };
    inner.exists = false;
    let (last, _) = answer(ScramHash::Sha256, "n,,", "n=user,r=rOprNGfwEbeRWgbNEkqO", &challenge, "pencil");
    assert_eq!(inner.judge(ScramHash::Sha256, &last).unwrap_err(), SaslFailure::InvalidCredentials);
}

#[test]
fn first_messages_that_are_refused() {
    use SaslFailure::*;
    let long_nonce = format!("n,,n=user,r={}", "x".repeat(MAX_NONCE_BYTES + 1));
    let long_name = format!("n,,n={},r=abc", "x".repeat(256));
    let malformed = Malformed("");
    for (text, why) in [
        ("p=tls-unique,,n=user,r=abc", ChannelBinding),
        ("n,a=other,n=user,r=abc", OtherAuthorizationId),
        ("n,,m=ext,n=user,r=abc", MandatoryExtension),
        ("n,,n=user,r=abc,m=ext", MandatoryExtension),
        ("n,,n=user,r=abc,tokenauth=true", DelegationToken),
        ("n,,n=user,r=abc,tokenauth=TRUE", DelegationToken),
        ("", malformed),
        ("n", malformed),
        ("n,", malformed),
        ("n,,", malformed),
        ("x,,n=user,r=abc", malformed),
        ("n,b=user,n=user,r=abc", malformed),
        ("n,a=,n=user,r=abc", malformed),
        ("n,,r=abc,n=user", malformed),
        ("n,,n=user", malformed),
        ("n,,n=,r=abc", malformed),
        ("n,,n=user,r=", malformed),
        ("n,,n=user,r=a b", malformed),
        ("n,,n=user,r=abé", malformed),
        ("n,,n=us=er,r=abc", malformed),
        ("n,,n=us=2c,r=abc", malformed),
        ("n,,n=us=,r=abc", malformed),
        ("n,,n=us\0er,r=abc", malformed),
        ("n,,n=ANONYMOUS,r=abc", malformed),
        ("n,,n=user,r=abc,", malformed),
        ("n,,n=user,r=abc,=x", malformed),
        ("n,,n=user,r=abc,x=", malformed),
        (&long_nonce, malformed),
        (&long_name, malformed),
    ] {
        let error = first(ScramHash::Sha256, text).unwrap_err();
        assert_eq!(error.label(), why.label(), "{text}");
    }
    assert!(ScramServer::new(ScramHash::Sha256).step(users(), b"n,,n=\xff,r=abc").is_err());
}

#[test]
fn final_messages_that_are_refused() {
    let bare = "n=user,r=rOprNGfwEbeRWgbNEkqO";
    let (_, challenge) = rfc_first(ScramHash::Sha256);
    let (good, _) = answer(ScramHash::Sha256, "n,,", bare, &challenge, "pencil");
    let judge = |text: &str| rfc_first(ScramHash::Sha256).0.step(users(), text.as_bytes());
    assert!(matches!(judge(&good), Ok(Next::Done { .. })));
    let (head, proof) = good.rsplit_once(",p=").unwrap();
    for (bad, label) in [
        (String::new(), "malformed"),
        (head.to_owned(), "malformed"),
        (format!("{head},p="), "malformed"),
        (format!("{head},p=AAAA"), "malformed"),
        (format!("{head},p=!{proof}"), "malformed"),
        (format!("{good},x=y"), "malformed"),
        (good.replace("c=biws", "c=eSws"), "malformed"),
        (good.replace("c=biws,", ""), "malformed"),
        (good.replace("r=rOpr", "r=rOpx"), "malformed"),
        (good.replace(RFC_SERVER_NONCE, ""), "malformed"),
        (format!("{head},m=x,p={proof}"), "mandatory_extension"),
        (format!("{head},tokenauth=true,p={proof}"), "delegation_token"),
        // Signed by the client in its place, so leaving it out or in changes the proof.
        (format!("{head},x=y,p={proof}"), "invalid_credentials"),
    ] {
        assert_eq!(judge(&bad).unwrap_err().label(), label, "{bad}");
    }
}

#[test]
fn a_proof_of_the_other_hash_is_malformed() {
    let (server, _) = rfc_first(ScramHash::Sha512);
    let last = format!("c=biws,r={RFC_CLIENT_NONCE}{RFC_SERVER_NONCE},p={}", STANDARD.encode([0; 32]));
    assert_eq!(server.step(users(), last.as_bytes()).unwrap_err().label(), "malformed");
}

#[test]
fn a_recorded_answer_does_not_fit_the_next_challenge() {
    let bare = "n=user,r=abc";
    let (_, challenge) = first(ScramHash::Sha256, &format!("n,,{bare}")).unwrap();
    let (recorded, _) = answer(ScramHash::Sha256, "n,,", bare, &challenge, "pencil");
    let (server, _) = first(ScramHash::Sha256, &format!("n,,{bare}")).unwrap();
    assert!(server.step(users(), recorded.as_bytes()).is_err());
}

#[test]
fn one_flipped_bit_of_the_proof_is_a_wrong_password() {
    for hash in HASHES {
        let (server, challenge) = rfc_first(hash);
        let State::Final(challenged) = server.state else { panic!("no challenge") };
        let (last, _) = answer(hash, "n,,", "n=user,r=rOprNGfwEbeRWgbNEkqO", &challenge, "pencil");
        let (head, proof) = last.rsplit_once(",p=").unwrap();
        let proof = STANDARD.decode(proof).unwrap();
        for bit in 0..proof.len() * 8 {
            let mut flipped = proof.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let last = format!("{head},p={}", STANDARD.encode(flipped));
            assert_eq!(challenged.judge(hash, &last).unwrap_err(), SaslFailure::InvalidCredentials);
        }
        assert!(challenged.judge(hash, &last).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_first_message_is_answered_or_refused(text in "([nyp],)?(a=[a-z]*)?,?(n=|r=|m=|,|=2C|=3D|[a-z0-9=é\0])*") {
        let _ = ClientFirst::parse(&text);
    }

    #[test]
    fn any_final_message_is_judged_or_refused(text in "(c=biws|c=|r=|p=|,|[A-Za-z0-9+/=]{0,8})*") {
        let _ = ClientFinal::parse(&text, ScramHash::Sha256);
    }

    #[test]
    fn names_survive_their_escapes(name in "[a-z,=é]{1,30}") {
        let escaped = name.replace('=', "=3D").replace(',', "=2C");
        let text = format!("n,,n={escaped},r=abc");
        let first = ClientFirst::parse(&text).unwrap();
        prop_assert_eq!(first.name.as_str(), name);
    }
}
