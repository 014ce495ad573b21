//! The store: what was decided is durable here before it is done.
//!
//! SQLite in WAL mode with `synchronous=FULL`: a commit that returned survives a loss of power.
//! Statements use only what PostgreSQL has too.

mod append;
mod chain;
mod keep;
mod load;
mod notices;

pub use append::Commit;
pub use keep::{Dropped, Horizon};
pub use load::{Counts, Detail, Filter, Page, Recorded};
pub use notices::{DeadNotice, QueuedNotice};

use nightshift_core::ids::ClusterUid;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

/// Connections to the database: one writes, the others read.
const CONNECTIONS: u32 = 4;
/// How long a statement waits for another process that holds the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No answer for now (disk full, locked, closed, ...): trying again is right.
    #[error("the store is not available")]
    Unavailable(#[source] sqlx::Error),
    /// There is no such file, and none may be made there, or it may not be read.
    #[error("the database {} cannot be opened", .file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// What is stored is not what was written, or cannot be added to: nobody may act on it.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    /// A newer leader writes for this cluster: this one has to stop.
    #[error("fenced: a leader with epoch {newest} has taken over from epoch {ours}")]
    Fenced {
        /// Epoch of this process.
        ours: u64,
        /// The newest.
        newest: u64,
    },
    /// The URL is not one of a database that can be used. It is not shown: it may hold a password.
    #[error(
        "the database URL cannot be used: expected one such as sqlite://nightshift.db?mode=rwc"
    )]
    Url(#[source] Option<sqlx::Error>),
    /// The tables could not be created or are of another version.
    #[error("the tables could not be brought up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// The database is to be read, and its tables are of another version.
    #[error(
        "the tables are of version {found} and this program reads version {expected}: use the \
         version that wrote them, or start the agent of this version once"
    )]
    OtherVersion {
        /// Version of the tables.
        found: i64,
        /// Version that this program reads.
        expected: i64,
    },
}

/// SQLite's result codes for a damaged file (`SQLITE_CORRUPT`, `SQLITE_NOTADB`).
const DAMAGED: [&str; 2] = ["11", "26"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let broken = match &error {
            sqlx::Error::Database(db) => {
                !matches!(db.kind(), sqlx::error::ErrorKind::Other)
                    || db.code().is_some_and(|code| DAMAGED.contains(&&*code))
            }
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::RowNotFound => true,
            _ => false,
        };
        if broken {
            Self::Corrupt(error.to_string())
        } else {
            Self::Unavailable(error)
        }
    }
}

/// The store of one or many clusters. A clone shares the connections.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens the database and brings its tables up to date.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let options = options(url)?
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let store = Self::connect(options).await?;
        MIGRATIONS
            .run(&store.pool)
            .await
            .map_err(StoreError::Migrate)?;
        Ok(store)
    }

    /// Opens an existing database to read from it, beside a running agent too: nothing is made,
    /// changed or brought up to date.
    pub async fn open_to_read(url: &str) -> Result<Self, StoreError> {
        let options = options(url)?.create_if_missing(false).read_only(true);
        let store = Self::connect(options).await?;
        let found: i64 = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations")
            .fetch_one(&store.pool)
            .await?;
        let expected = MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0);
        if found == expected {
            Ok(store)
        } else {
            Err(StoreError::OtherVersion { found, expected })
        }
    }

    async fn connect(options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let file = file(&options);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(BUSY_TIMEOUT)
            .connect_with(options);
        let pool = pool.await.map_err(|error| match error.into() {
            StoreError::Unavailable(source) => StoreError::Open { file, source },
            other => other,
        })?;
        Ok(Self { pool })
    }

    /// The file that the URL names, with its whole path.
    pub fn file(url: &str) -> Result<PathBuf, StoreError> {
        Ok(file(&options(url)?))
    }

    /// Closes all connections; every later call is [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Whether a commit can be made now, by making one.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes the lead of a cluster: returns an epoch greater than any before; older ones are fenced.
    pub async fn take_lead(&self, cluster: &ClusterUid) -> Result<u64, StoreError> {
        let epoch: i64 = sqlx::query_scalar(
            "INSERT INTO leader (cluster, epoch) VALUES ($1, 1)
             ON CONFLICT (cluster) DO UPDATE SET epoch = leader.epoch + 1 RETURNING epoch",
        )
        .bind(cluster.as_str())
        .fetch_one(&self.pool)
        .await?;
        unsigned(epoch)
    }

    /// Clusters that have a journal here.
    pub async fn clusters(&self) -> Result<Vec<ClusterUid>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar("SELECT cluster FROM leader ORDER BY cluster")
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(ClusterUid::from).collect())
    }
}

/// With the folder that a relative path is in.
fn file(options: &SqliteConnectOptions) -> PathBuf {
    let name = options.get_filename();
    std::path::absolute(name).unwrap_or_else(|_| name.to_owned())
}

fn options(url: &str) -> Result<SqliteConnectOptions, StoreError> {
    // sqlx itself would take any other URL for the name of a file.
    if !url.starts_with("sqlite:") {
        return Err(StoreError::Url(None));
    }
    let options =
        SqliteConnectOptions::from_str(url).map_err(|error| StoreError::Url(Some(error)))?;
    Ok(options.busy_timeout(BUSY_TIMEOUT).foreign_keys(true))
}

/// SQL has no unsigned integers.
fn signed(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::Corrupt(format!("{value} is too large")))
}

fn unsigned(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Corrupt(format!("{value} is negative")))
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Corrupt(format!("{error} in a stored value")))
}

/// A unit variant's name as serde writes it, without quotes.
fn word<T: Serialize>(value: &T) -> Result<String, StoreError> {
    Ok(to_json(value)?.trim_matches('"').to_owned())
}

#[cfg(test)]
pub(crate) mod tests;
