//! The limit for object stores: the same objects moved with `object_store` alone.
//!
//! `cargo run --release -p afterimage-benches --example move_objects -- \
//!     --endpoint http://127.0.0.1:5000 --bucket bucket --from cache/ --to copied/`
//!
//! Fetches every object below a prefix, and stores each under another one or writes it to a file where that
//! is given, so many at a time. Prints the seconds it took and the bytes. Nothing is checked or changed on the way.

use std::{error::Error, path::PathBuf, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt, aws::AmazonS3Builder, path::Path};

use clap::Parser;
use tokio::io::AsyncWriteExt;

/// Moves objects with `object_store` alone.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server.
    #[arg(long)]
    endpoint: String,
    /// The bucket.
    #[arg(long)]
    bucket: String,
    /// Where the objects are.
    #[arg(long)]
    from: String,
    /// Where they go in the bucket.
    #[arg(long)]
    to: Option<String>,
    /// The folder where they go, each a file that is durable at the end.
    #[arg(long, conflicts_with = "to")]
    to_folder: Option<PathBuf>,
    /// Deletes them and does nothing else.
    #[arg(long)]
    forget: bool,
    /// Requests at the same time.
    #[arg(long, default_value_t = 16)]
    at_once: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let store: Arc<dyn ObjectStore> = Arc::new(
        AmazonS3Builder::from_env()
            .with_bucket_name(&arguments.bucket)
            .with_endpoint(&arguments.endpoint)
            .with_region("us-east-1")
            .with_allow_http(true)
            .build()?,
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run(&arguments, &store))
}

#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it measures, and says what it measured"
)]
async fn run(arguments: &Arguments, store: &Arc<dyn ObjectStore>) -> Result<(), Box<dyn Error>> {
    let from = Path::from(arguments.from.as_str());
    let objects: Vec<_> = store.list(Some(&from)).try_collect().await?;
    if arguments.forget {
        let paths = stream::iter(objects).map(|object| Ok(object.location));
        let deleted: Vec<_> = store.delete_stream(paths.boxed()).try_collect().await?;
        println!("0 {}", deleted.len());
        return Ok(());
    }
    if let Some(folder) = &arguments.to_folder {
        tokio::fs::create_dir_all(folder).await?;
    }
    let began = std::time::Instant::now();
    let moved = stream::iter(objects)
        .map(async |object| {
            let bytes = store.get(&object.location).await?.bytes().await?;
            if let Some(to) = &arguments.to {
                let name = object.location.filename().unwrap_or_default();
                let to = Path::from(format!("{to}/{name}"));
                store.put(&to, bytes.into()).await?;
            } else if let Some(folder) = &arguments.to_folder {
                let path = folder.join(object.location.filename().unwrap_or_default());
                let mut file = tokio::fs::File::create(path).await?;
                file.write_all(&bytes).await?;
                file.sync_all().await?;
            }
            Ok::<u64, Box<dyn Error>>(object.size)
        })
        .buffer_unordered(arguments.at_once);
    let bytes: u64 = moved.try_fold(0, async |sum, size| Ok(sum + size)).await?;
    println!("{:.4} {bytes}", began.elapsed().as_secs_f64());
    if let Some(folder) = &arguments.to_folder {
        tokio::fs::remove_dir_all(folder).await?;
    }
    Ok(())
}
