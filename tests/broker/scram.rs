//! Users that log in by SCRAM, described and altered; who keeps them is made up here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tollgate::broker::scram::{ScramChange, ScramCredential, ScramMechanism, ScramStore};
use tollgate::broker::{ApiError, Broker, BrokerConfig};
use tollgate::storage::{Storage, StorageConfig};
use tollgate::wire::api::alter_user_scram_credentials as alter;
use tollgate::wire::api::describe_user_scram_credentials as describe;
use tollgate::wire::types::Sensitive;
use tollgate::wire::{ErrorCode, Str};

use crate::bench::*;

#[derive(Debug, Default)]
struct Kept {
    users: Mutex<BTreeMap<(Str, ScramMechanism), u32>>,
    broken: Mutex<bool>,
}

impl ScramStore for Kept {
    fn credentials(&self) -> Result<Vec<ScramCredential>, String> {
        if *self.broken.lock().unwrap() {
            return Err("the disk is gone".to_owned());
        }
        let users = self.users.lock().unwrap();
        let credential = |((name, mechanism), iterations): (&(Str, ScramMechanism), &u32)| ScramCredential {
            name: name.clone(),
            mechanism: *mechanism,
            iterations: *iterations,
        };
        Ok(users.iter().map(credential).collect())
    }

    fn alter(&self, changes: Vec<ScramChange>) -> Result<Vec<Option<ApiError>>, String> {
        let mut users = self.users.lock().unwrap();
        let done = changes.into_iter().map(|change| match change {
            // Somebody was quicker.
            ScramChange::Put { name, .. } if name == "taken" => {
                Some(ErrorCode::UNACCEPTABLE_CREDENTIAL.into())
            }
            ScramChange::Put { name, mechanism, iterations, .. } => {
                users.insert((name, mechanism), iterations);
                None
            }
            ScramChange::Delete { name, mechanism } => {
                users.remove(&(name, mechanism)).is_none().then(|| ErrorCode::RESOURCE_NOT_FOUND.into())
            }
        });
        Ok(done.collect())
    }
}

async fn bench(store: Option<Arc<dyn ScramStore>>) -> Bench {
    let bench = Bench::new().await;
    let files = bench.files.fork();
    bench.broker.shutdown(std::time::Duration::from_secs(10)).await.unwrap();
    files.crash(tollgate::storage::files::Crash::Process);
    let config =
        StorageConfig { committers: 1, clock: bench.clock.for_storage(), ..StorageConfig::default() };
    let storage = Storage::open(Arc::new(files), "/data", config).unwrap();
    let config = BrokerConfig { clock: bench.clock.clone(), scram: store, ..BrokerConfig::default() };
    let broker = Broker::open(config, storage).await.unwrap();
    Bench { broker, ..bench }
}

fn put(name: &str, mechanism: i8, iterations: i32) -> alter::ScramCredentialUpsertion {
    let sensitive = || Sensitive(Bytes::from_static(b"0123456789abcdef"));
    let (salt, salted_password) = (sensitive(), sensitive());
    alter::ScramCredentialUpsertion {
        name: name.into(),
        mechanism,
        iterations,
        salt,
        salted_password,
        ..Default::default()
    }
}

fn gone(name: &str, mechanism: i8) -> alter::ScramCredentialDeletion {
    alter::ScramCredentialDeletion { name: name.into(), mechanism, ..Default::default() }
}

type Told = Vec<(String, i16, String)>;

async fn altered(
    bench: &Bench,
    deletions: Vec<alter::ScramCredentialDeletion>,
    upsertions: Vec<alter::ScramCredentialUpsertion>,
) -> Told {
    let request = alter::Request { deletions, upsertions, ..Default::default() };
    let answer = answer!(AlterUserScramCredentials, bench.ask(0, request).await);
    let told = |r: alter::AlterUserScramCredentialsResult| {
        (r.user.to_string(), r.error_code, r.error_message.unwrap_or_default().to_string())
    };
    answer.results.into_iter().map(told).collect()
}

async fn described(bench: &Bench, users: Option<&[&str]>) -> Vec<(String, i16, Vec<(i8, i32)>)> {
    let named = |name: &&str| describe::UserName { name: (*name).into(), ..Default::default() };
    let users = users.map(|users| users.iter().map(named).collect());
    let answer = answer!(
        DescribeUserScramCredentials,
        bench.ask(0, describe::Request { users, ..Default::default() }).await
    );
    assert_eq!(answer.error_code, 0);
    let told = |r: describe::DescribeUserScramCredentialsResult| {
        let infos = r.credential_infos.iter().map(|info| (info.mechanism, info.iterations)).collect();
        (r.user.to_string(), r.error_code, infos)
    };
    answer.results.into_iter().map(told).collect()
}

fn told(user: &str, code: i16, message: &str) -> (String, i16, String) {
    (user.to_owned(), code, message.to_owned())
}

#[tokio::test]
async fn users_are_put_described_and_deleted() {
    let bench = bench(Some(Arc::new(Kept::default()))).await;
    assert_eq!(altered(&bench, vec![], vec![]).await, []);
    let made = altered(&bench, vec![], vec![put("ada", 1, 4096), put("bo", 2, 16384)]).await;
    assert_eq!(made, [told("ada", 0, ""), told("bo", 0, "")]);
    assert_eq!(altered(&bench, vec![], vec![put("ada", 2, 8192)]).await, [told("ada", 0, "")]);
    let ada = ("ada".to_owned(), 0, vec![(1, 4096), (2, 8192)]);
    let bo = ("bo".to_owned(), 0, vec![(2, 16384)]);
    assert_eq!(described(&bench, None).await, [ada.clone(), bo.clone()]);
    assert_eq!(described(&bench, Some(&[])).await, [ada.clone(), bo]);
    let asked = described(&bench, Some(&["bo", "ada", "bo", "cy"])).await;
    assert_eq!(asked, [ada, ("bo".to_owned(), 92, vec![]), ("cy".to_owned(), 91, vec![])]);
    assert_eq!(altered(&bench, vec![gone("ada", 1)], vec![]).await, [told("ada", 0, "")]);
    assert_eq!(described(&bench, Some(&["ada"])).await, [("ada".to_owned(), 0, vec![(2, 8192)])]);
}

#[tokio::test]
async fn what_is_wrong_is_said_of_each_user_in_kafkas_words() {
    let bench = bench(Some(Arc::new(Kept::default()))).await;
    altered(&bench, vec![], vec![put("ada", 1, 4096)]).await;
    let missing = "Attempt to delete a user credential that does not exist";
    let twice = "A user credential cannot be altered twice in the same request";
    let wrong = altered(
        &bench,
        vec![gone("x", 1), gone("ada", 1), gone("", 9), gone("ada2", 9)],
        vec![
            put("x", 1, 4096),
            put("ada", 1, 4096),
            put("few", 1, 4095),
            put("good", 1, 4096),
            put("many", 1, 16385),
            put("odd", 3, 4096),
            put("thrice", 1, 4096),
            put("thrice", 2, 4096),
            put("thrice", 1, 4096),
            put("taken", 1, 4096),
        ],
    )
    .await;
    let expected = [
        told("", 93, "Username must not be empty"),
        told("ada", 92, twice),
        told("ada2", 33, "Unknown SCRAM mechanism"),
        told("few", 93, "Too few iterations"),
        told("good", 0, ""),
        told("many", 93, "Too many iterations"),
        told("odd", 33, "Unknown SCRAM mechanism"),
        told("taken", 93, ""),
        told("thrice", 92, twice),
        told("x", 91, missing),
    ];
    assert_eq!(wrong, expected);
    let names: Vec<_> = described(&bench, None).await.into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["ada", "good"]);
}

#[tokio::test]
async fn a_store_that_fails_fails_the_request() {
    let kept = Arc::new(Kept::default());
    let bench = bench(Some(kept.clone())).await;
    *kept.broken.lock().unwrap() = true;
    let answer = answer!(DescribeUserScramCredentials, bench.ask(0, describe::Request::default()).await);
    assert_eq!(answer.error_code, -1);
    assert!(!answer.error_message.unwrap().contains("disk"));
    assert_eq!(altered(&bench, vec![], vec![put("ada", 1, 4096)]).await[0].1, -1);
}

#[tokio::test]
async fn a_broker_without_users_says_so() {
    let bench = bench(None).await;
    assert_eq!(described(&bench, None).await, []);
    assert_eq!(altered(&bench, vec![], vec![put("ada", 1, 4096)]).await[0].1, 54);
}
