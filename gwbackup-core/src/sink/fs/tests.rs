use super::*;
use crate::testing::Tampering;

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

async fn sink(path: &Path) -> DirectorySink {
    DirectorySink::open(path).await.unwrap()
}

fn files(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn reading_makes_no_directory() {
    let scratch = tempfile::tempdir().unwrap();
    let sink = sink(&scratch.path().join("absent")).await;
    let cx = Context::new();
    assert_eq!(sink.head(&cx, &name("a")).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(sink.sweep(&cx).await.unwrap(), 0);
    assert!(files(scratch.path()).is_empty());
}

#[tokio::test]
async fn a_failed_write_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let sink = sink(scratch.path()).await;
    let error = sink
        .place(&name("full"), |file| {
            file.write_all(b"some")?;
            Err(io::Error::from(io::ErrorKind::StorageFull).into())
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(error.advice().unwrap().contains("free space"));
    assert!(files(scratch.path()).is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_with_advice() {
    let mut full = File::options().write(true).open("/dev/full").unwrap();
    let error = fill(&mut full, &Context::new(), &vec![0; 10].into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(error.advice().unwrap().contains("free space"));
}

#[tokio::test]
async fn a_write_that_is_cancelled_half_way_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let sink = sink(scratch.path()).await;
    let token = tokio_util::sync::CancellationToken::new();
    let cx = Context::new().with_cancellation(token.clone());
    let body = Body::from(vec![1; 3 << 20]);
    let written = sink.place(&name("data/a"), |file| {
        fill(file, &Context::new(), &body)?;
        token.cancel();
        fill(file, &cx, &body)
    });
    assert_eq!(written.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(files(&scratch.path().join("data")).is_empty());
}

#[tokio::test]
async fn an_object_is_no_folder() {
    let scratch = tempfile::tempdir().unwrap();
    let sink = sink(scratch.path()).await;
    let cx = Context::new();
    sink.put(&cx, &name("a"), &vec![1].into()).await.unwrap();
    let error = sink.put(&cx, &name("a/b"), &vec![1].into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(sink.get(&cx, &name("a/b"), None).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_plain_file_is_no_sink() {
    let scratch = tempfile::NamedTempFile::new().unwrap();
    let error = DirectorySink::open(scratch.path()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn the_true_directory_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    let info = sink(scratch.path()).await.info();
    assert!(info.url.starts_with("file:///"));
    assert!(info.exclusive_create);
    assert_eq!(info.local_path.as_deref(), Some(scratch.path()));
    assert!(files(scratch.path()).is_empty(), "the probe leaves nothing");
}

#[tokio::test]
async fn only_old_leftovers_are_swept() {
    let scratch = tempfile::tempdir().unwrap();
    let sink = sink(scratch.path()).await;
    let cx = Context::new();
    sink.put(&cx, &name("data/a"), &vec![1].into()).await.unwrap();
    let now = std::time::SystemTime::from(cx.now());
    for (file, hours) in [("data/.tmp-old", 25), (".tmp-old", 48), ("data/.tmp-new", 23)] {
        let file = File::create(scratch.path().join(file)).unwrap();
        file.set_modified(now - std::time::Duration::from_secs(hours * 3_600)).unwrap();
    }
    assert_eq!(sink.sweep(&cx).await.unwrap(), 2);
    assert_eq!(sink.sweep(&cx).await.unwrap(), 0);
    let mut left = files(&scratch.path().join("data"));
    left.sort();
    assert_eq!(left, [".tmp-new", "a"]);
}

#[tokio::test]
async fn strangers_are_listed_but_never_opened() {
    use futures_util::TryStreamExt as _;

    let scratch = tempfile::tempdir().unwrap();
    let sink = sink(scratch.path()).await;
    let cx = Context::new();
    sink.put(&cx, &name("data/a"), &vec![1].into()).await.unwrap();
    std::fs::write(scratch.path().join("README"), "x").unwrap();
    std::fs::create_dir(scratch.path().join("lost+found")).unwrap();
    std::fs::write(scratch.path().join("data/.tmp-1"), "x").unwrap();
    let deep = scratch.path().join(["d"; 9].join("/"));
    std::fs::create_dir_all(&deep).unwrap();
    let mut all: Vec<_> = sink.list(&cx, "").try_collect().await.unwrap();
    all.sort_by_key(|listed| match listed {
        Listed::Object(meta) => meta.name.to_string(),
        Listed::Foreign(name) => name.clone(),
    });
    let foreign = |text: &str| Listed::Foreign(text.to_owned());
    assert_eq!(all[0], foreign("README"));
    assert_eq!(all[1], foreign(&format!("{}/", ["d"; 8].join("/"))));
    assert!(matches!(&all[2], Listed::Object(meta) if meta.name == name("data/a")));
    assert_eq!(all[3..], [foreign("lost+found/")]);
}

#[tokio::test]
async fn a_wrapped_sink_still_tells_its_place() {
    let scratch = tempfile::tempdir().unwrap();
    let inner = sink(scratch.path()).await;
    let outer = Tampering::new(Arc::new(inner.clone()), |_, _| {});
    assert_eq!(outer.info(), inner.info());
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[tokio::test]
    async fn files_belong_to_their_writer_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("root");
        let sink = sink(&root).await;
        sink.put(&Context::new(), &name("data/a"), &vec![1].into()).await.unwrap();
        let mode = |path: &str| std::fs::metadata(root.join(path)).unwrap().mode() & 0o777;
        assert_eq!((mode(""), mode("data"), mode("data/a")), (0o700, 0o700, 0o400));
        assert_eq!(std::fs::metadata(root.join("data/a")).unwrap().nlink(), 1);
        assert_eq!(files(&root.join("data")), ["a"]);
    }

    #[tokio::test]
    async fn links_are_never_followed() {
        use futures_util::TryStreamExt as _;

        let scratch = tempfile::tempdir().unwrap();
        let outside = scratch.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("a"), "secret").unwrap();
        let root = scratch.path().join("root");
        std::fs::create_dir(&root).unwrap();
        symlink(&outside, root.join("folder")).unwrap();
        symlink(outside.join("a"), root.join("file")).unwrap();
        symlink(outside.join("new"), root.join("dangling")).unwrap();

        let sink = sink(&root).await;
        let cx = Context::new();
        for text in ["folder/a", "file", "dangling"] {
            let name = name(text);
            assert_eq!(sink.get(&cx, &name, None).await.unwrap_err().kind(), ErrorKind::Corrupt);
            assert_eq!(sink.head(&cx, &name).await.unwrap_err().kind(), ErrorKind::Corrupt);
            assert_eq!(sink.delete(&cx, &name).await.unwrap_err().kind(), ErrorKind::Corrupt);
            assert!(sink.put(&cx, &name, &vec![1].into()).await.is_err());
        }
        assert!(sink.put(&cx, &name("folder/new"), &vec![1].into()).await.is_err());
        assert_eq!(files(&outside), ["a"]);
        assert_eq!(std::fs::read(outside.join("a")).unwrap(), b"secret");
        let all: Vec<_> = sink.list(&cx, "").try_collect().await.unwrap();
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|listed| matches!(listed, Listed::Foreign(_))));
    }

    #[tokio::test]
    async fn a_pipe_is_refused_at_once() {
        let scratch = tempfile::tempdir().unwrap();
        let pipe = scratch.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let sink = sink(scratch.path()).await;
        let error = sink.get(&Context::new(), &name("pipe"), None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_spool_has_no_name() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("state/spool");
        let file = unlinked_file(&directory).unwrap();
        assert_eq!(file.metadata().unwrap().nlink(), 0);
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        assert!(files(&directory).is_empty());
        assert_eq!(std::fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
    }
}
