//! `mimeo data copy` and `mimeo data gate`: what a Job of our image runs. Hidden, because people ask `mimeo up`.
//!
//! Everything comes by environment variables, so that the request is visible in the Job and the secrets are
//! references in it. The end is written to the container's termination log, where the engine reads it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use data::{CopySummary, Error, Progress};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The kubelet cuts a termination message here.
const LONGEST_MESSAGE: usize = 4096;
const GATE_NOT_PASSED: u8 = 1;
const DATA_ERROR: u8 = 5;

/// Arguments of `mimeo data`.
#[derive(Debug, clap::Args)]
pub struct DataArgs {
    #[command(subcommand)]
    step: Step,
    /// The request, as JSON
    #[arg(long, env = "MIMEO_REQUEST", hide_env_values = true, global = true, value_name = "JSON")]
    request: Option<String>,
    /// File that receives the summary, the answer or the error as JSON
    #[arg(
        long,
        env = "MIMEO_TERMINATION_LOG",
        default_value = "/dev/termination-log",
        global = true,
        value_name = "FILE"
    )]
    termination_log: PathBuf,
}

#[derive(Debug, Clone, Copy, clap::Subcommand)]
enum Step {
    /// Copy the listed tables and columns from a source into an environment's database
    Copy,
    /// Ask one gate query
    Gate,
}

/// Runs the step and leaves its result in the termination log.
pub async fn run(args: DataArgs) -> ExitCode {
    let request = args.request.unwrap_or_default();
    let result = match args.step {
        Step::Copy => copy(&request).await,
        Step::Gate => gate(&request).await,
    };
    let (message, code) = result.unwrap_or_else(|failure| (failure.to_json(), DATA_ERROR));
    say(&message);
    if let Err(error) = std::fs::write(&args.termination_log, &message) {
        say(&format!("cannot write {}: {error}", args.termination_log.display()));
        return ExitCode::from(DATA_ERROR);
    }
    ExitCode::from(code)
}

type Outcome = Result<(String, u8), Failure>;

async fn copy(request: &str) -> Outcome {
    let request = parse(request)?;
    let (uri, password) = (secret("MIMEO_SOURCE_URI")?, secret("MIMEO_TARGET_PASSWORD")?);
    let progress = |step: Progress| say(&step.to_string());
    let summary = data::copy(&request, &uri, &password, &progress).await?;
    Ok((summary_message(summary), 0))
}

async fn gate(request: &str) -> Outcome {
    let request: data::GateRequest = parse(request)?;
    let answer = data::gate(&request, &secret("MIMEO_TARGET_PASSWORD")?).await?;
    let message =
        json!({"value": answer.value, "expect": request.expect, "passed": answer.passed}).to_string();
    Ok((message, if answer.passed { 0 } else { GATE_NOT_PASSED }))
}

struct Failure {
    code: &'static str,
    cause: String,
    help: &'static str,
}

impl Failure {
    fn to_json(&self) -> String {
        let mut cause = self.cause.clone();
        loop {
            let text = json!({"code": self.code, "cause": cause, "help": self.help}).to_string();
            if text.len() <= LONGEST_MESSAGE {
                return text;
            }
            cause = cause.chars().take(cause.chars().count() / 2).collect();
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { code: error.code(), cause: error.to_string(), help: error.help() }
    }
}

fn parse<T: DeserializeOwned>(request: &str) -> Result<T, Failure> {
    serde_json::from_str(request).map_err(|error| Failure {
        code: "DAT005",
        // The parser's own words may quote the request.
        cause: format!("MIMEO_REQUEST cannot be read (line {}, column {})", error.line(), error.column()),
        help: "this command is run by `mimeo up`, with the version of its own image; run `mimeo up` again",
    })
}

fn secret(name: &str) -> Result<String, Failure> {
    std::env::var(name).map_err(|_| Failure {
        code: "DAT005",
        cause: format!("{name} is not set"),
        help: "this command is run by `mimeo up`, which sets it from a Secret",
    })
}

/// The summary as JSON; where many tables do not fit, their list is cut and says so.
fn summary_message(mut summary: CopySummary) -> String {
    let all = summary.tables.len();
    loop {
        let mut value = serde_json::to_value(&summary).unwrap_or(Value::Null);
        if summary.tables.len() < all
            && let Value::Object(fields) = &mut value
        {
            fields.insert("tables_left_off".to_owned(), json!(all - summary.tables.len()));
        }
        let text = value.to_string();
        if text.len() <= LONGEST_MESSAGE {
            return text;
        }
        // Warnings are for people: they go only after the tables have gone.
        if summary.tables.pop().is_none() && summary.warnings.pop().is_none() {
            summary.digest = summary.digest.chars().take(128).collect();
        }
    }
}

/// A plain line on standard error. A reader that went away must not stop a copy.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use data::TableSummary;

    use super::*;

    fn summary(tables: usize) -> CopySummary {
        let table = TableSummary {
            schema: "public".into(),
            table: "flights".into(),
            columns: 20,
            rows: 336_776,
            bytes: 1 << 25,
            digest: "0".repeat(32),
        };
        CopySummary {
            digest: "d".repeat(64),
            skipped: false,
            rows: 1,
            bytes: 1,
            milliseconds: 1,
            tables: vec![table; tables],
            warnings: vec!["w".repeat(50)],
        }
    }

    #[test]
    fn a_summary_fits() {
        let few: CopySummary = serde_json::from_str(&summary_message(summary(3))).unwrap();
        assert_eq!(few, summary(3));
        let many = summary_message(summary(200));
        assert!(many.len() <= LONGEST_MESSAGE);
        let value: Value = serde_json::from_str(&many).unwrap();
        let kept = value["tables"].as_array().unwrap().len();
        assert_eq!(value["tables_left_off"], json!(200 - kept));
        assert_eq!(value["warnings"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn an_error_fits() {
        let failure = Failure { code: "DAT001", cause: "ü\"".repeat(9000), help: "h" };
        let text = failure.to_json();
        assert!(text.len() <= LONGEST_MESSAGE && text.contains("DAT001"));
        assert!(serde_json::from_str::<Value>(&text).is_ok());
    }
}
