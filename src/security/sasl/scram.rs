//! SCRAM, RFC 5802, with the hashes of RFC 7677 and its SHA-512 sibling: the server's side.
//!
//! ```text
//! client  n,,n=alice,r=<client nonce>
//! server  r=<client nonce><server nonce>,s=<salt>,i=<iterations>
//! client  c=biws,r=<both nonces>,p=<proof>
//! server  v=<signature>
//! ```
//!
//! A name without a user goes the same way with a made-up record and fails where a wrong password fails. Channel
//! binding needs TLS and is refused. Of Kafka's extensions `tokenauth` (delegation tokens) is refused by name,
//! since ignoring it would check a token's secret as a password; other optional ones are ignored, as RFC 5802 asks.

use base64::{Engine, engine::general_purpose::STANDARD};
use subtle::{Choice, ConstantTimeEq};

use super::super::credential::{ScramHash, ScramRecord};
use super::super::principal::{Principal, UserName};
use super::super::secret::fill_random;
use super::super::users::Users;
use super::SaslFailure;

/// Longest client nonce taken. Clients draw 16 to 32 bytes.
const MAX_NONCE_BYTES: usize = 256;
/// Bytes drawn for the server's share of the nonce; base64 makes a third more of them.
const SERVER_NONCE_BYTES: usize = 24;

/// One SCRAM login, waiting for the client's next message.
#[derive(Debug)]
pub(super) struct ScramServer {
    hash: ScramHash,
    state: State,
}

#[derive(Debug)]
enum State {
    First,
    Final(Box<Challenge>),
}

/// What the server asked, kept to judge the answer.
#[derive(Debug)]
struct Challenge {
    name: UserName,
    /// Whether there is such a user: if not, `record` is made up.
    exists: bool,
    record: ScramRecord,
    gs2_header: String,
    nonce: String,
    /// `client-first-message-bare "," server-first-message`, the start of what both sides sign.
    signed_so_far: String,
}

#[derive(Debug)]
pub(super) enum Next {
    Continue(ScramServer, Vec<u8>),
    Done { principal: Principal, token: Vec<u8> },
}

impl ScramServer {
    pub(super) fn new(hash: ScramHash) -> Self {
        Self { hash, state: State::First }
    }

    pub(super) fn step(self, users: &Users, token: &[u8]) -> Result<Next, SaslFailure> {
        let text = std::str::from_utf8(token).map_err(|_| malformed("it is not UTF-8"))?;
        match self.state {
            State::First => {
                let mut drawn = [0; SERVER_NONCE_BYTES];
                fill_random(&mut drawn).map_err(|_| SaslFailure::Internal)?;
                Self::challenge(self.hash, users, text, &STANDARD.encode(drawn))
            }
            State::Final(challenge) => challenge.judge(self.hash, text),
        }
    }

    fn challenge(
        hash: ScramHash,
        users: &Users,
        text: &str,
        server_nonce: &str,
    ) -> Result<Next, SaslFailure> {
        let first = ClientFirst::parse(text)?;
        // Made in either case, for the time it takes.
        let decoy = users.decoy(hash, first.name.as_str());
        let found = users.find(first.name.as_str()).and_then(|user| user.record(hash)).cloned();
        let exists = found.is_some();
        let record = found.unwrap_or(decoy);

        let nonce = format!("{}{server_nonce}", first.nonce);
        let server_first = format!("r={nonce},s={},i={}", STANDARD.encode(&record.salt), record.iterations);
        let challenge = Challenge {
            exists,
            record,
            gs2_header: first.gs2_header.to_owned(),
            nonce,
            signed_so_far: format!("{},{server_first}", first.bare),
            name: first.name,
        };
        let next = Self { hash, state: State::Final(Box::new(challenge)) };
        Ok(Next::Continue(next, server_first.into_bytes()))
    }
}

impl Challenge {
    fn judge(&self, hash: ScramHash, text: &str) -> Result<Next, SaslFailure> {
        let last = ClientFinal::parse(text, hash)?;
        if last.channel_binding != self.gs2_header.as_bytes() {
            return Err(malformed("the channel binding differs from the first message's"));
        }
        if !bool::from(last.nonce.as_bytes().ct_eq(self.nonce.as_bytes())) {
            return Err(malformed("the nonce is not the one that was sent"));
        }
        let signed = format!("{},{}", self.signed_so_far, last.without_proof);
        let client_signature = hash.hmac(self.record.stored_key.expose(), signed.as_bytes());
        let client_key: Vec<u8> =
            last.proof.iter().zip(client_signature.expose()).map(|(proof, sign)| proof ^ sign).collect();
        let stored_key = hash.digest(&client_key);
        let server_signature = hash.hmac(self.record.server_key.expose(), signed.as_bytes());

        let fits = stored_key.expose().ct_eq(self.record.stored_key.expose());
        if !bool::from(fits & Choice::from(u8::from(self.exists))) {
            return Err(SaslFailure::InvalidCredentials);
        }
        let token = format!("v={}", STANDARD.encode(server_signature.expose())).into_bytes();
        Ok(Next::Done { principal: Principal::user(&self.name), token })
    }
}

/// `gs2-header client-first-message-bare`.
struct ClientFirst<'a> {
    gs2_header: &'a str,
    bare: &'a str,
    name: UserName,
    nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    fn parse(text: &'a str) -> Result<Self, SaslFailure> {
        let (binding, rest) = text.split_once(',').ok_or(malformed("there is no GS2 header"))?;
        match binding {
            // `y`: the client could bind and thinks we cannot, which is so.
            "n" | "y" => {}
            _ if binding.starts_with("p=") => return Err(SaslFailure::ChannelBinding),
            _ => return Err(malformed("the GS2 header is not valid")),
        }
        let (authorization, bare) = rest.split_once(',').ok_or(malformed("there is no GS2 header"))?;
        let header_bytes = text.len() - bare.len();
        let gs2_header = text.get(..header_bytes).unwrap_or_default();
        let authorization_id = match authorization {
            "" => None,
            _ => Some(authorization.strip_prefix("a=").ok_or(malformed("the GS2 header is not valid"))?),
        };

        let mut attributes = bare.split(',');
        let first = attributes.next().unwrap_or_default();
        if first.starts_with("m=") {
            return Err(SaslFailure::MandatoryExtension);
        }
        let name = first.strip_prefix("n=").ok_or(malformed("the user name is missing"))?;
        let name = user_name(name)?;
        let nonce = attributes.next().and_then(|a| a.strip_prefix("r="));
        let nonce = nonce.ok_or(malformed("the nonce is missing"))?;
        if nonce.is_empty() || nonce.len() > MAX_NONCE_BYTES {
            return Err(malformed("the nonce is empty or too long"));
        }
        if !nonce.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(malformed("the nonce has characters that are not printable"));
        }
        for extension in attributes {
            check_extension(extension)?;
        }
        if let Some(other) = authorization_id
            && user_name(other)? != name
        {
            return Err(SaslFailure::OtherAuthorizationId);
        }
        Ok(Self { gs2_header, bare, name, nonce })
    }
}

/// `channel-binding "," nonce ["," extensions] "," proof`.
struct ClientFinal<'a> {
    channel_binding: Vec<u8>,
    nonce: &'a str,
    proof: Vec<u8>,
    without_proof: &'a str,
}

impl<'a> ClientFinal<'a> {
    fn parse(text: &'a str, hash: ScramHash) -> Result<Self, SaslFailure> {
        // Base64 has no comma: the proof is what follows the last one.
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(malformed("the proof is missing"))?;
        let proof = STANDARD
            .decode(proof)
            .ok()
            .filter(|proof| proof.len() == hash.output_bytes())
            .ok_or(malformed("the proof is not base64 of a digest"))?;
        let mut attributes = without_proof.split(',');
        let channel_binding = attributes
            .next()
            .and_then(|a| a.strip_prefix("c="))
            .and_then(|a| STANDARD.decode(a).ok())
            .ok_or(malformed("the channel binding is missing or not base64"))?;
        let nonce = attributes.next().and_then(|a| a.strip_prefix("r="));
        let nonce = nonce.ok_or(malformed("the nonce is missing"))?;
        for extension in attributes {
            check_extension(extension)?;
        }
        Ok(Self { channel_binding, nonce, proof, without_proof })
    }
}

/// Undoes the escapes of a `saslname`.
fn user_name(escaped: &str) -> Result<UserName, SaslFailure> {
    let mut name = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((before, after)) = rest.split_once('=') {
        name.push_str(before);
        rest = if let Some(after) = after.strip_prefix("2C") {
            name.push(',');
            after
        } else if let Some(after) = after.strip_prefix("3D") {
            name.push('=');
            after
        } else {
            return Err(malformed("the user name has an = that is no escape"));
        };
    }
    name.push_str(rest);
    name.parse().map_err(|_| malformed("the user name is not valid"))
}

fn check_extension(attribute: &str) -> Result<(), SaslFailure> {
    let (key, value) = attribute.split_once('=').ok_or(malformed("an extension is not name=value"))?;
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphabetic()) || value.is_empty() {
        return Err(malformed("an extension is not name=value"));
    }
    if key == "m" {
        return Err(SaslFailure::MandatoryExtension);
    }
    if key == "tokenauth" && !value.eq_ignore_ascii_case("false") {
        return Err(SaslFailure::DelegationToken);
    }
    Ok(())
}

fn malformed(what: &'static str) -> SaslFailure {
    SaslFailure::Malformed(what)
}

#[cfg(test)]
#[path = "scram_tests.rs"]
mod tests;
