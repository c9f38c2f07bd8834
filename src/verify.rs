//! `nodpay verify`: exit 0 and the story, 1 and the broken link, 2 where the file is not evidence.

use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;
use nodpay_protocol::{EvidenceError, Report, verify_evidence};

const BROKEN: u8 = 1;
const NOT_EVIDENCE: u8 = 2;

pub(crate) fn run(anchor: &Path, file: &Path) -> ExitCode {
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let (anchor, evidence) = match (read(anchor), read(file)) {
        (Ok(anchor), Ok(evidence)) => (anchor, evidence),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("nodpay: {error}");
            return ExitCode::from(NOT_EVIDENCE);
        }
    };
    match verify_evidence(&evidence, &anchor) {
        Ok(report) => {
            print(&report);
            ExitCode::SUCCESS
        }
        Err(error @ (EvidenceError::Broken { .. } | EvidenceError::Damaged(_))) => {
            eprintln!("BROKEN  {error}");
            ExitCode::from(BROKEN)
        }
        Err(error @ (EvidenceError::NotEvidence | EvidenceError::BadAnchor(_))) => {
            eprintln!("nodpay: {error}");
            ExitCode::from(NOT_EVIDENCE)
        }
    }
}

fn print(report: &Report) {
    println!("GENUINE  {} {}", report.outcome.as_str(), report.total);
    for step in &report.story {
        let at = Timestamp::from_millisecond(step.at.unix_ms()).map_or_else(|_| "?".to_owned(), |at| at.to_string());
        println!("{at}  {}: {}", step.who, step.what);
    }
    if report.struck.is_empty() {
        println!("struck: nothing");
    } else {
        println!("struck: lines {}", report.struck.join(", "));
    }
}
