//! Progress bars, for when a person watches.

use std::{sync::atomic::Ordering, time::Duration};

use afterimage::RestoreProgress;
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::is_watched;

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn shown(bar: ProgressBar, quiet: bool) -> ProgressBar {
    if quiet || !is_watched() {
        ProgressBar::hidden()
    } else {
        bar
    }
}

/// A bar over bytes.
pub(crate) fn bytes(what: &str, quiet: bool) -> ProgressBar {
    let bar = ProgressBar::new(0)
        .with_message(what.to_owned())
        .with_style(style(
            "{msg} [{wide_bar}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
        ));
    shown(bar, quiet)
}

/// A bar over things.
pub(crate) fn items(what: &str, total: u64, quiet: bool) -> ProgressBar {
    let bar = ProgressBar::new(total)
        .with_message(what.to_owned())
        .with_style(style("{msg} [{wide_bar}] {pos}/{len} {eta}"));
    shown(bar, quiet)
}

/// Something that goes on.
pub(crate) fn spinner(what: &str, quiet: bool) -> ProgressBar {
    let bar = ProgressBar::new_spinner()
        .with_message(what.to_owned())
        .with_style(style("{spinner} {msg}"));
    bar.enable_steady_tick(Duration::from_millis(200));
    shown(bar, quiet)
}

/// Does `work` while a bar follows its counts.
pub(crate) fn follow<T: Send>(
    bar: &ProgressBar,
    progress: &RestoreProgress,
    work: impl FnOnce() -> T + Send,
) -> T {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let every = Duration::from_millis(100);
            while wait.recv_timeout(every) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                bar.set_length(progress.total_bytes.load(Ordering::Relaxed));
                bar.set_position(progress.done_bytes.load(Ordering::Relaxed));
            }
        });
        let outcome = work();
        drop(done);
        bar.finish_and_clear();
        outcome
    })
}

/// Does `work` while a spinner says what `line` gives, again and again.
pub(crate) fn keep_saying<T>(
    spinner: &ProgressBar,
    line: impl Fn() -> String + Send,
    work: impl FnOnce() -> T,
) -> T {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        if !spinner.is_hidden() {
            scope.spawn(move || {
                let every = Duration::from_millis(250);
                while wait.recv_timeout(every) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    spinner.set_message(line());
                }
            });
        }
        let outcome = work();
        drop(done);
        spinner.finish_and_clear();
        outcome
    })
}
