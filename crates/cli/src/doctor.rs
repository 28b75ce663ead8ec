//! `afterimage doctor`.

use afterimage::{ErrorKind, Role, Verdict, examine};
use comfy_table::{Table, presets};
use serde_json::json;

use crate::{args, failure::Failure, output::Output};

pub(crate) fn run(arguments: &args::Doctor, output: &mut Output) -> Result<(), Failure> {
    let role = match arguments.role {
        args::DoctorRole::Capture => Role::Capture,
        args::DoctorRole::Replicate => Role::Replicate,
        args::DoctorRole::Restore => Role::Restore,
    };
    let findings = examine(&arguments.url, role);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for finding in &findings {
        let word = finding.verdict.word();
        output.value(&json!({"check": finding.what, "verdict": word, "said": finding.said}))?;
        table.add_row([finding.what, word, &finding.said]);
    }
    output.note(&table.to_string())?;
    let is_bad = |verdict: Verdict| verdict == Verdict::Bad;
    match findings.iter().find(|finding| is_bad(finding.verdict)) {
        None => Ok(()),
        Some(finding) => Err(Failure::new(
            finding.error.unwrap_or(ErrorKind::Invalid),
            format!("{}: {}: {}", arguments.url, finding.what, finding.said),
        )),
    }
}
