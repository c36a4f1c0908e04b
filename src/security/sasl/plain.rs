//! SASL PLAIN, RFC 4616: `[authzid] NUL authcid NUL passwd` in one message.
//!
//! The password crosses the wire in the clear. It is compared with the SCRAM-SHA-256 record, so the users file
//! needs nothing of its own for PLAIN.

use super::super::credential::MAX_PASSWORD_BYTES;
use super::super::principal::{Principal, UserName};
use super::{Authenticator, SaslFailure, SaslStep};

pub(super) async fn authenticate(
    authenticator: &Authenticator,
    token: &[u8],
) -> Result<SaslStep, SaslFailure> {
    let message = Message::parse(token)?;
    let name = &message.authentication_id;
    if !message.authorization_id.is_empty() && message.authorization_id != name.as_str() {
        return Err(SaslFailure::OtherAuthorizationId);
    }
    let users = authenticator.users.current();
    authenticator.verifier.verify(&users, name, message.password.as_bytes()).await?;
    Ok(SaslStep::Done { principal: Principal::user(name), token: Vec::new() })
}

struct Message<'a> {
    authorization_id: &'a str,
    authentication_id: UserName,
    password: &'a str,
}

impl<'a> Message<'a> {
    fn parse(token: &'a [u8]) -> Result<Self, SaslFailure> {
        let text = std::str::from_utf8(token).map_err(|_| SaslFailure::Malformed("it is not UTF-8"))?;
        let mut parts = text.split('\0');
        let (Some(authorization_id), Some(authentication_id), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SaslFailure::Malformed("PLAIN takes three fields separated by NUL"));
        };
        if password.is_empty() {
            return Err(SaslFailure::Malformed("the password is empty"));
        }
        if password.len() > MAX_PASSWORD_BYTES {
            return Err(SaslFailure::Malformed("the password is too long"));
        }
        let authentication_id =
            authentication_id.parse().map_err(|_| SaslFailure::Malformed("the user name is not valid"))?;
        Ok(Self { authorization_id, authentication_id, password })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::authenticator;
    use super::*;
    use proptest::prelude::*;

    async fn login(token: &[u8]) -> Result<Principal, SaslFailure> {
        match authenticate(&authenticator(), token).await? {
            SaslStep::Done { principal, token } if token.is_empty() => Ok(principal),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_messages_of_rfc_4616_parse() {
        let message = Message::parse(b"\0tim\0tanstaaftanstaaf").unwrap();
        assert_eq!(message.authorization_id, "");
        assert_eq!(message.authentication_id.as_str(), "tim");
        assert_eq!(message.password, "tanstaaftanstaaf");
        let message = Message::parse(b"Ursel\0Kurt\0xipj3plmq").unwrap();
        assert_eq!(message.authorization_id, "Ursel");
        assert_eq!(message.authentication_id.as_str(), "Kurt");
        assert_eq!(message.password, "xipj3plmq");
    }

    #[tokio::test]
    async fn the_right_password_and_no_other() {
        assert_eq!(login(b"\0alice\0wonderland").await.unwrap().as_str(), "User:alice");
        assert_eq!(login(b"alice\0alice\0wonderland").await.unwrap().as_str(), "User:alice");
        for wrong in
            [&b"\0alice\0wonderlane"[..], b"\0alice\0wonderland ", b"\0Alice\0wonderland", b"\0nobody\0x"]
        {
            assert_eq!(login(wrong).await.unwrap_err(), SaslFailure::InvalidCredentials);
        }
    }

    #[tokio::test]
    async fn nobody_acts_as_another() {
        // Even with the right password of their own.
        assert_eq!(login(b"bob\0alice\0wonderland").await.unwrap_err(), SaslFailure::OtherAuthorizationId);
    }

    #[tokio::test]
    async fn malformed_messages_are_refused() {
        let long = [b"\0alice\0".as_slice(), &[b'x'; MAX_PASSWORD_BYTES + 1]].concat();
        for bad in [
            &b""[..],
            b"alice",
            b"\0alice",
            b"\0alice\0",
            b"\0\0wonderland",
            b"\0alice\0wonderland\0",
            b"\0alice\0wonder\0land",
            b"\0al\nice\0wonderland",
            b"\0ANONYMOUS\0wonderland",
            b"\0alice\0\xff",
            &long,
        ] {
            assert!(matches!(login(bad).await.unwrap_err(), SaslFailure::Malformed(_)), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_takes_exactly_what_was_put_together(
            authzid in "[^\0]{0,20}", name in "[a-zA-Z0-9 éß]{1,20}", password in "[^\0]{1,40}",
        ) {
            let token = format!("{authzid}\0{name}\0{password}");
            let message = Message::parse(token.as_bytes()).unwrap();
            prop_assert_eq!(message.authorization_id, authzid);
            prop_assert_eq!(message.authentication_id.as_str(), name);
            prop_assert_eq!(message.password, password);
        }

        #[test]
        fn any_bytes_parse_or_fail(token in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::parse(&token);
        }
    }
}
