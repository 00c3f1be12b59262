//! What goes over the pipes: frames of a length (four bytes, big endian) and as many bytes of JSON.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use render::{Carried, Explained, Survey, Written};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use spec::{Category, Diagnostic, Place, Severity};

use crate::task::{Answer, Task};

/// Bytes of the largest frame. An answer holds the manifests twice, as objects and as the text they were read from.
pub(crate) const MAX_FRAME: usize = 128 * 1024 * 1024;

/// The first frame to the child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub task: Task,
    /// The commit that governs, when there is one.
    pub governor: Option<String>,
}

/// Which of the two commits.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Of {
    Commit,
    Governor,
}

/// A frame from the child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Say {
    /// Asks for a file.
    Read(Of, String),
    /// Asks for the paths below a folder.
    List(Of, String),
    /// Asks for the id of a folder.
    TreeId(Of, String),
    /// Is at this line of a template.
    At(String, usize),
    /// Cannot be held to its limits, and does nothing.
    Unfit(String),
    /// Is done.
    Done(Box<Said>),
}

/// The answer to a question of the child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// A file in Base64, or that there is none.
    Content(Option<String>),
    Paths(Vec<String>),
    TreeId(Option<String>),
    Refused(Box<Told>),
}

/// An [`Answer`] as text.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    Rendered(Result<(Carried, Vec<Told>), Vec<Told>>),
    Checked {
        rendered: Option<Carried>,
        complete: bool,
        found: Vec<Told>,
        denied: Vec<Written>,
        checked: Vec<Told>,
    },
    Explained(Result<Explained, Vec<Told>>),
    Templates(Vec<Told>),
}

/// A [`Diagnostic`] as text, with all that people see of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    code: String,
    severity: Severity,
    category: Category,
    place: Option<Place>,
    object: Option<String>,
    cause: String,
    help: Option<String>,
    snippet: Option<String>,
    detail: Vec<String>,
}

impl From<Diagnostic> for Told {
    fn from(finding: Diagnostic) -> Self {
        let Diagnostic { code, severity, category, place, object, cause, help, snippet, detail } = finding;
        Self { code: code.to_owned(), severity, category, place, object, cause, help, snippet, detail }
    }
}

impl From<Told> for Diagnostic {
    fn from(told: Told) -> Self {
        let Told { code, severity, category, place, object, cause, help, snippet, detail } = told;
        Self { code: known(&code), severity, category, place, object, cause, help, snippet, detail }
    }
}

/// A code that lives as long as the program, as those in its text do. There are few of them.
fn known(code: &str) -> &'static str {
    static CODES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    const MOST: usize = 1000;
    let mut codes = CODES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(code) = codes.get(code) {
        return code;
    }
    let digits = code.trim_start_matches(|c: char| c.is_ascii_uppercase());
    let form = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit()) && code.len() <= 7;
    if !form || codes.len() == MOST {
        return "BUG001";
    }
    let code: &'static str = code.to_owned().leak();
    codes.insert(code);
    code
}

fn told(found: Vec<Diagnostic>) -> Vec<Told> {
    found.into_iter().map(Told::from).collect()
}

fn found(told: Vec<Told>) -> Vec<Diagnostic> {
    told.into_iter().map(Diagnostic::from).collect()
}

impl From<Answer> for Said {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Rendered(Ok((rendered, warnings))) => {
                Self::Rendered(Ok(((*rendered).into(), told(warnings))))
            }
            Answer::Rendered(Err(found)) => Self::Rendered(Err(told(found))),
            Answer::Checked(survey, checked) => {
                let Survey { rendered, complete, found, denied } = *survey;
                let rendered = rendered.map(Carried::from);
                Self::Checked { rendered, complete, found: told(found), denied, checked: told(checked) }
            }
            Answer::Explained(outcome) => Self::Explained(outcome.map_err(told)),
            Answer::Templates(found) => Self::Templates(told(found)),
        }
    }
}

impl From<Said> for Answer {
    fn from(said: Said) -> Self {
        match said {
            Said::Rendered(Ok((carried, warnings))) => {
                Self::Rendered(Ok((Box::new(carried.into()), found(warnings))))
            }
            Said::Rendered(Err(told)) => Self::Rendered(Err(found(told))),
            Said::Checked { rendered, complete, found: told, denied, checked } => {
                let rendered = rendered.map(Into::into);
                let survey = Survey { rendered, complete, found: found(told), denied };
                Self::Checked(Box::new(survey), found(checked))
            }
            Said::Explained(outcome) => Self::Explained(outcome.map_err(found)),
            Said::Templates(told) => Self::Templates(found(told)),
        }
    }
}

impl Reply {
    /// The content of a file.
    pub(crate) fn content(bytes: Option<Vec<u8>>) -> Self {
        Self::Content(bytes.map(|bytes| STANDARD.encode(bytes)))
    }
}

/// The bytes of a file.
pub(crate) fn bytes(content: &str) -> Option<Vec<u8>> {
    STANDARD.decode(content).ok()
}

/// Writes one frame.
pub(crate) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= MAX_FRAME);
    let length = length.ok_or_else(|| too_large(text.len()))?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(&text)?;
    to.flush()
}

/// Reads one frame; `None` at the end.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let Some(text) = frame(from)? else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(Into::into)
}

/// Reads the order, which may be nested deeply: whoever gave it is trusted.
pub(crate) fn receive_order(from: &mut impl Read) -> io::Result<Option<Order>> {
    let Some(text) = frame(from)? else { return Ok(None) };
    let mut deserializer = serde_json::Deserializer::from_slice(&text);
    deserializer.disable_recursion_limit();
    Order::deserialize(&mut deserializer).map(Some).map_err(Into::into)
}

fn frame(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(too_large(length));
    }
    // As much as really comes, whatever the length says.
    let mut text = Vec::new();
    from.take(length as u64).read_to_end(&mut text)?;
    Ok((text.len() == length).then_some(text))
}

fn too_large(bytes: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("a message of {bytes} bytes, the limit is {MAX_FRAME}"),
    )
}
