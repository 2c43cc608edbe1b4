//! The S3 bucket or local folder that holds an archive: opens it, checks that it honours
//! conditional writes, and reads and writes its objects.
//!
//! Invariant: a bucket (or prefix) holds the archive of one group only; the marker object names it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::client::{ClientOptions, HttpClient, HttpConnector};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, RetryConfig};
use pricedrop_model::Cause;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::error::{Error, s3_code};
use crate::name::{MARKER, PROBES};

/// Version of the layout that this build reads and writes.
const FORMAT: u32 = 1;
/// Rounds of the check for conditional writes.
const PROBE_ROUNDS: usize = 3;
/// Concurrent writers of one object in each round.
const PROBE_WRITERS: usize = 4;
/// How long a request is retried before its error is returned.
const RETRY_FOR: Duration = Duration::from_secs(20);

/// Where the archive is, and how to access it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `s3://bucket/prefix`, or `file:///folder`.
    pub url: String,
    /// The endpoint of a server other than Amazon's, such as `https://s3.example:9000`.
    pub endpoint: Option<String>,
    /// The region. `None` means that of the environment, else `us-east-1`.
    pub region: Option<String>,
    /// The access key. `None` means the credentials of the environment, which `object_store` reads.
    pub access_key: Option<AccessKey>,
}

/// An access key of S3. `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// The access key id.
    pub id: String,
    /// The secret access key.
    pub secret: String,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccessKey({})", self.id)
    }
}

/// The content of the marker object.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    format: u32,
    group: String,
}

/// An opened bucket or folder.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    url: String,
    /// Set once the bucket was probed and its marker names this group.
    claimed: Arc<OnceCell<()>>,
}

/// Makes `object_store` use the engine's HTTP client, with its TLS and timeouts.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

impl Bucket {
    /// Opens a bucket or a folder; creates the folder if it is missing. Sends no request yet.
    ///
    /// # Errors
    /// The URL is neither `s3:` nor `file:`, or the folder cannot be created: the operator corrects
    /// the configuration.
    pub fn open(options: &Options, client: reqwest::Client) -> Result<Bucket, Error> {
        let url = options.url.clone();
        let refused = |why: &str| Error::Refused(format!("the archive's URL {url:?} {why}").into());
        let parsed = Url::parse(&url)
            .map_err(|_| refused("is not a URL; write s3://bucket/prefix or file:///folder"))?;
        let store: Arc<dyn ObjectStore> = match parsed.scheme() {
            "file" => {
                let folder = parsed.to_file_path().map_err(|()| refused("names no folder"))?;
                Arc::new(folder_store(folder)?)
            }
            "s3" => {
                let bucket = parsed.host_str().ok_or_else(|| refused("names no bucket"))?;
                let prefix =
                    Path::from_url_path(parsed.path()).map_err(|error| refused(&error.to_string()))?;
                Arc::new(PrefixStore::new(s3_store(options, bucket, client)?, prefix))
            }
            other => {
                return Err(refused(&format!("begins with {other}:; s3: and file: are supported")));
            }
        };
        Ok(Bucket { store, url, claimed: Arc::default() })
    }

    /// The URL from the configuration.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Checks that the server honours conditional writes, and claims the bucket for this group.
    /// After a success, further calls do nothing.
    ///
    /// # Errors
    /// The server cannot be reached, denies access or ignores `If-None-Match`, or the bucket holds
    /// the archive of another group.
    pub async fn claim(&self, group: &str) -> Result<(), Error> {
        self.claimed.get_or_try_init(|| self.claim_now(group)).await.copied()
    }

    async fn claim_now(&self, group: &str) -> Result<(), Error> {
        self.probe().await?;
        let marker = Marker { format: FORMAT, group: group.to_owned() };
        let json = serde_json::to_vec(&marker).expect("texts and numbers can be written as JSON");
        if self.put_new(&Path::from(MARKER), json.into()).await? {
            return Ok(());
        }
        self.check_marker(Some(group)).await
    }

    /// Checks that the bucket holds an archive that this build can read, of this group or (none) of
    /// any group.
    ///
    /// # Errors
    /// There is no archive, or it has another group or another format.
    pub async fn check_marker(&self, group: Option<&str>) -> Result<(), Error> {
        let url = &self.url;
        let Some(json) = self.get(&Path::from(MARKER)).await? else {
            return Err(Error::Refused(format!("{url} holds no archive: {MARKER} is missing").into()));
        };
        let found: Marker = serde_json::from_slice(&json)
            .map_err(|error| Error::damaged(&Path::from(MARKER), Cause::of(error)))?;
        if found.format != FORMAT {
            return Err(Error::Refused(
                format!(
                    "{url} holds an archive of format {}; this version reads format {FORMAT}",
                    found.format
                )
                .into(),
            ));
        }
        match group.filter(|group| *group != found.group) {
            Some(group) => Err(Error::Refused(format!(
                "{url} holds the archive of the group {}, and this one is {group}; give each group a prefix \
                 of its own",
                found.group
            ).into())),
            None => Ok(()),
        }
    }

    /// Checks that the server honours `If-None-Match: *`: of several concurrent writers of one
    /// object, exactly one may succeed.
    ///
    /// # Errors
    /// The server cannot be reached, denies access, or lets a writer replace an existing object.
    pub async fn probe(&self) -> Result<(), Error> {
        for _ in 0..PROBE_ROUNDS {
            let path = Path::from(format!("{PROBES}/{:032x}", rand::random::<u128>()));
            let writers = (0..PROBE_WRITERS).map(|writer| {
                let path = &path;
                async move { Ok::<_, Error>((writer, self.put_new(path, writer.to_string().into()).await?)) }
            });
            let tried: Vec<(usize, bool)> = futures::future::try_join_all(writers).await?;
            let again = self.put_new(&path, Bytes::from_static(b"again")).await?;
            let kept = self.get(&path).await?;
            if let Err(error) = self.delete(&path).await {
                tracing::warn!(%error, url = self.url, "an object of the start-up check stays in the bucket");
            }
            let winners: Vec<usize> =
                tried.iter().filter(|(_, won)| *won).map(|(writer, _)| *writer).collect();
            if winners.is_empty() && !again {
                // A response was lost, and the retry found the object of its own first request.
                return Err(Error::Unavailable(format!("{}: a request had to be repeated", self.url).into()));
            }
            let keeps = winners.len() == 1 && kept.is_some_and(|kept| kept == winners[0].to_string());
            if again || !keeps {
                return Err(Error::Refused(format!(
                    "{} does not honour If-None-Match: * on PUT: of {PROBE_WRITERS} writers of one object {} \
                     succeeded{}. Two archivers could overwrite each other there; use a server with \
                     conditional writes, such as Amazon S3 or versitygw",
                    self.url,
                    winners.len(),
                    if again { ", and so did one that came later" } else { "" }
                ).into()));
            }
        }
        Ok(())
    }

    /// Writes an object unless one of that name exists. Returns whether it was written.
    pub(crate) async fn put_new(&self, path: &Path, bytes: Bytes) -> Result<bool, Error> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(path, bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(false)
            }
            Err(error) => Err(Error::of(path, error)),
        }
    }

    /// Reads an object; none if it does not exist.
    pub(crate) async fn get(&self, path: &Path) -> Result<Option<Bytes>, Error> {
        let read = async { self.store.get(path).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(Error::of(path, error)),
        }
    }

    /// Deletes an object. A missing object is no error.
    pub(crate) async fn delete(&self, path: &Path) -> Result<(), Error> {
        match self.store.delete(path).await {
            Ok(()) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(Error::of(path, error)),
        }
    }

    /// Lists every object below a folder, ordered by name.
    pub(crate) async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>, Error> {
        let listed: object_store::Result<Vec<ObjectMeta>> = self.store.list(Some(folder)).try_collect().await;
        let mut objects = listed.map_err(|error| Error::of(folder, error))?;
        objects.sort_by(|one, other| one.location.cmp(&other.location));
        Ok(objects)
    }

    /// Lists the folders directly in a folder.
    pub(crate) async fn folders(&self, folder: &Path) -> Result<Vec<Path>, Error> {
        let listed = self.store.list_with_delimiter(Some(folder)).await;
        Ok(listed.map_err(|error| Error::of(folder, error))?.common_prefixes)
    }
}

/// Returns whether the object is missing. A missing bucket is another error.
fn is_missing(error: &object_store::Error) -> bool {
    let is_not_found = matches!(error, object_store::Error::NotFound { .. });
    is_not_found && s3_code(&error.to_string()) != Some("NoSuchBucket")
}

fn folder_store(folder: PathBuf) -> Result<LocalFileSystem, Error> {
    let what = format!("the archive's folder {}", folder.display());
    std::fs::create_dir_all(&folder).map_err(|error| Error::Refused(Cause::new(&what, error)))?;
    let store = LocalFileSystem::new_with_prefix(&folder)
        .map_err(|error| Error::Refused(Cause::new(&what, error)))?;
    Ok(store.with_fsync(true))
}

fn s3_store(
    options: &Options,
    bucket: &str,
    client: reqwest::Client,
) -> Result<object_store::aws::AmazonS3, Error> {
    let retry = RetryConfig { retry_timeout: RETRY_FOR, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(retry)
        .with_http_connector(Connector(client));
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
    }
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let Some(AccessKey { id, secret }) = &options.access_key {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    }
    builder
        .build()
        .map_err(|error| Error::Refused(Cause::new(format!("the archive's bucket {bucket}"), error)))
}
