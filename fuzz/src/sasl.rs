//! Tokens of a login, split at zero bytes for SCRAM (PLAIN has its own). In the second one of SCRAM `%` stands for the nonce that the server drew,
//! which no mutation could guess. Nobody gets in without the password.

use std::sync::{Arc, OnceLock};

use tokio::runtime::{Builder, Runtime};
use tollgate::security::users::{User, Users};
use tollgate::security::{Authenticator, Mechanism, SaslServer, SaslStep, SecretString, UsersStore};

const PASSWORD: &str = "wonderland";

fn shared() -> &'static (Runtime, Arc<Authenticator>) {
    static SHARED: OnceLock<(Runtime, Arc<Authenticator>)> = OnceLock::new();
    SHARED.get_or_init(|| {
        let mut users = Users::new().expect("randomness");
        let alice = User::with_password(&SecretString::new(PASSWORD.to_owned()), 4096).expect("randomness");
        users.insert("alice".parse().expect("a name"), alice);
        let authenticator = Authenticator::new(Arc::new(UsersStore::fixed(users))).expect("randomness");
        (Builder::new_current_thread().enable_all().build().expect("a runtime"), Arc::new(authenticator))
    })
}

pub fn run(data: &[u8]) {
    let Some((&mechanism, tokens)) = data.split_first() else { return };
    let mechanism = Mechanism::ALL[usize::from(mechanism) % Mechanism::ALL.len()];
    let (runtime, authenticator) = shared();
    let mut server = SaslServer::new(mechanism, Arc::clone(authenticator));
    runtime.block_on(async {
        if mechanism == Mechanism::Plain {
            if let SaslStep::Done { principal, .. } = server.step(tokens).await {
                assert_eq!(principal.as_str(), "User:alice");
                assert!(tokens.ends_with(PASSWORD.as_bytes()), "a login without the password");
            }
            return;
        }
        let mut nonce = Vec::new();
        for token in tokens.split(|byte| *byte == 0).take(4) {
            let mut sent = Vec::new();
            for byte in token {
                match byte {
                    b'%' if !nonce.is_empty() => sent.extend_from_slice(&nonce),
                    byte => sent.push(*byte),
                }
            }
            match server.step(&sent).await {
                SaslStep::Continue(challenge) => {
                    let end = challenge.iter().position(|byte| *byte == b',').unwrap_or(challenge.len());
                    nonce = challenge.get(2..end).unwrap_or_default().to_vec();
                }
                // The salt is drawn anew in every run: no input can hold a proof.
                SaslStep::Done { .. } => panic!("a login without the password"),
                SaslStep::Failed(failure) => {
                    let _ = failure.client_message(mechanism);
                }
            }
        }
    });
}
