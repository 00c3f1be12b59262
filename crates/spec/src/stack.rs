//! Room for documents that are nested deeply: reading them recurses.

/// Bytes of stack that [`crate::yaml::MAX_DEPTH`] levels fit in, unoptimised builds included.
const ROOM: usize = 64 * 1024 * 1024;

/// Runs a function with enough stack for every document that is accepted, whatever thread calls.
///
/// The result is the same as without; only the room differs.
pub fn roomy<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let mut work = Some(work);
    let result = std::thread::scope(|scope| {
        let take = &mut work;
        let spawned = std::thread::Builder::new()
            .stack_size(ROOM)
            .spawn_scoped(scope, move || take.take().map(|work| work()));
        spawned.ok().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    });
    match (result, work) {
        (Some(Some(result)), _) => result,
        // No thread could be made: the caller's own stack has to do.
        (_, Some(work)) => work(),
        (_, None) => unreachable!("work is taken only by a thread that was made"),
    }
}

/// More levels than a text can have, at a glance: of blocks by their columns, of lists and maps by brackets.
pub(crate) fn may_be_deep(text: &str) -> bool {
    const SHALLOW: usize = 16;
    let mut open: usize = 0;
    text.lines().any(|line| {
        let column = line.bytes().take_while(|byte| matches!(byte, b' ' | b'-' | b'?')).count();
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
        }
        // A line may open and close more than stays open.
        column + open + line.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > SHALLOW
    })
}
