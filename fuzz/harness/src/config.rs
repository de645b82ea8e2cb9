//! Configuration files: any text is taken or refused, and a refusal names a line that exists.

/// Input: the file.
///
/// # Panics
/// When a refusal has no place, or a place that the file does not have.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Err(message) = fastport_cli::fuzzing::read_settings(text) else {
        return;
    };
    let place = message.strip_prefix("fuzz.toml:");
    let line = place.and_then(|place| place.split_once(": "));
    let (line, problem) = line.unwrap_or_else(|| panic!("no place: {message}"));
    let line: usize = line
        .parse()
        .unwrap_or_else(|_| panic!("no line: {message}"));
    let lines = 1 + text.matches('\n').count();
    assert!(
        (1..=lines).contains(&line),
        "line {line} of {lines}: {message}"
    );
    assert!(!problem.is_empty(), "no problem is told: {message}");
}
