//! Rights on places for backups and on their keys.

use gwbackup_core::{Error, Result};

use super::{Policy, Statement};
use crate::config::{partition, suffix};
use crate::s3::S3Config;

impl Policy {
    /// Writes and reads backups in the bucket that `sink` names, with what the configuration demands
    /// of each object, and ends uploads that nobody will complete. It replaces and deletes nothing.
    /// Where holds are demanded it can lift them as well: IAM has one right for both.
    ///
    /// The names of all objects of the bucket can be listed: S3 tells an object that is missing from
    /// one that is forbidden only to who may list the bucket as a whole. `Invalid` when the key
    /// that the bucket encrypts with is not named by its ARN.
    pub fn sink_writer(sink: &S3Config) -> Result<Self> {
        let mut actions = vec!["s3:GetObject", "s3:PutObject"];
        let mut listing = vec!["s3:ListBucket", "s3:ListBucketMultipartUploads"];
        if sink.protection.retention.is_some() {
            // What an incremental builds on is kept as long as itself.
            actions.extend(["s3:PutObjectRetention", "s3:GetObjectRetention"]);
            actions.push("s3:GetObjectLegalHold");
            listing.push("s3:ListBucketVersions");
        }
        actions.extend(sink.protection.hold.then_some("s3:PutObjectLegalHold"));
        actions.extend(["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]);
        let mut statements = vec![
            Statement::new(&actions, vec![objects(sink)]),
            Statement::new(&listing, vec![bucket(sink)]),
        ];
        if let Some(key) = &sink.protection.kms {
            let actions = ["kms:Decrypt", "kms:GenerateDataKey"];
            let via = format!("s3.{}.{}", sink.region, suffix(&sink.region));
            let own = Statement::new(&actions, vec![named(key)?.to_owned()]);
            statements.push(own.when("kms:ViaService", via));
        }
        Ok(Self { statements })
    }

    /// What deleting needs beside [`sink_writer`](Self::sink_writer): a role of its own, so that who
    /// writes backups can take none away. Making a repository needs it too, since it tries the place,
    /// and so does cleaning up after a backup that was given up. In a bucket with versions the bytes
    /// stay, until an [`eraser`](Self::sink_eraser) deletes their version.
    pub fn sink_deleter(sink: &S3Config) -> Self {
        Self { statements: vec![Statement::new(&["s3:DeleteObject"], vec![objects(sink)])] }
    }

    /// Lists versions, deletes single ones for good, and sees what keeps those that do not go. A role
    /// of its own, for retention runs and erasures. It gets past no lock.
    pub fn sink_eraser(sink: &S3Config) -> Self {
        let on = ["s3:DeleteObjectVersion", "s3:GetObjectLegalHold", "s3:GetObjectRetention"];
        let own = Statement::new(&on, vec![objects(sink)]);
        let statements = vec![own, Statement::new(&["s3:ListBucketVersions"], vec![bucket(sink)])];
        Self { statements }
    }

    /// Lists versions, extends their retention, and sets and lifts legal holds: a role of its own,
    /// since a hold ends when somebody lifts it.
    pub fn sink_keeper(sink: &S3Config) -> Self {
        let on = [
            "s3:GetObjectLegalHold",
            "s3:GetObjectRetention",
            "s3:PutObjectLegalHold",
            "s3:PutObjectRetention",
        ];
        let own = Statement::new(&on, vec![objects(sink)]);
        let statements = vec![own, Statement::new(&["s3:ListBucketVersions"], vec![bucket(sink)])];
        Self { statements }
    }

    /// Wraps data keys with this key of KMS (its ARN): what making a repository or a backup needs
    /// that another key opens. `repository`, its id in hexadecimal digits, ties the right to one.
    pub fn key_writer(key: &str, repository: Option<&str>) -> Self {
        keyed(&["kms:Encrypt"], key, repository)
    }

    /// Finds the ARN of a key that is named by its id or an alias: what both others need then, too.
    pub fn key_finder(key: &str) -> Self {
        keyed(&["kms:DescribeKey"], key, None)
    }

    /// Opens what was wrapped: what reading needs, and opening a repository by this key alone.
    pub fn key_reader(key: &str, repository: Option<&str>) -> Self {
        keyed(&["kms:Decrypt"], key, repository)
    }

    /// Makes wraps anew under the newest material of the key: what a rotation needs beside the right
    /// to open the repository. The wrapped keys stay unread.
    pub fn key_rotator(key: &str, repository: Option<&str>) -> Self {
        keyed(&["kms:ReEncryptFrom", "kms:ReEncryptTo"], key, repository)
    }
}

fn keyed(actions: &[&str], key: &str, repository: Option<&str>) -> Policy {
    let statement = Statement::new(actions, vec![key.to_owned()]);
    let statement = match repository {
        Some(id) => statement.when("kms:EncryptionContext:gwbackup-repository", id),
        None => statement,
    };
    Policy { statements: vec![statement] }
}

fn bucket(sink: &S3Config) -> String {
    format!("arn:{}:s3:::{}", partition(&sink.region), sink.bucket)
}

fn objects(sink: &S3Config) -> String {
    match sink.prefix.as_str() {
        "" => format!("{}/*", bucket(sink)),
        prefix => format!("{}/{prefix}/*", bucket(sink)),
    }
}

/// The ARN of a key.
fn named(key: &str) -> Result<&str> {
    if key.starts_with("arn:") && key.contains(":key/") {
        return Ok(key);
    }
    let error = Error::invalid("a policy cannot tell to whom this key belongs").on(key);
    Err(error.help("name the key by its ARN"))
}
