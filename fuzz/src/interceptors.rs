//! Interceptors of another gateway, as JSON: what comes out is policies that load, line by line a comment, a rule or a name.

use tollgate::policy::import::{ImportError, import};

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match import(text) {
        Ok(imported) => {
            let one = imported.script();
            for script in imported.scripts().iter().map(|script| &*script.text).chain([one.as_str()]) {
                let starts = ["// ", "on_", "policy("];
                let plain =
                    |line: &str| line.is_empty() || starts.iter().any(|start| line.starts_with(start));
                assert!(script.lines().all(plain), "{script}");
            }
        }
        // what it writes loads, unless there is too much of it
        Err(ImportError::TooLong(why)) => assert!(text.len() > 20_000, "{why}"),
        Err(_) => {}
    }
}
