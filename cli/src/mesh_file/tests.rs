use super::*;
use crate::failure::Exit;
use crate::wiring::ledger::User;
use crate::wiring::{self, Content, Edit, FileEdit, Format, Place};

const TEXT: &str = "{\n  \"zeta\": [1,   2.50],\n  \"mesh_id\": \"kR9xQpLmW3aZ\",\n  \
    \"agent_name\": \"copilot-agent\",\n  \"harness\": \"copilot\",\n  \"alpha\": {\"b\": 1, \"a\": 2}\n}\n";

fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
    folder
}

#[test]
fn it_is_found_above() {
    let folder = folder(TEXT);
    let deep = folder.path().join("a/b/c");
    std::fs::create_dir_all(&deep).unwrap();
    let file = MeshFile::find(&deep).unwrap().unwrap();
    assert_eq!(file.mesh_id().unwrap().unwrap().as_str(), "kR9xQpLmW3aZ");
    assert_eq!(file.harness().unwrap(), Some(Harness::Copilot));
    assert_eq!(file.path(), folder.path().join(FILE_NAME));
}

#[test]
fn each_harness_has_its_agent() {
    let text = TEXT.replace("\n}\n", ",\n  \"agents\": {\"generic\": \"gen\"}\n}\n");
    let file = MeshFile::find(folder(&text).path()).unwrap().unwrap();
    assert_eq!(file.agent_of(Some(Harness::Generic)).unwrap().as_deref(), Some("gen"));
    assert_eq!(file.agent_of(Some(Harness::Copilot)).unwrap().as_deref(), Some("copilot-agent"));
    assert_eq!(file.agent_of(None).unwrap().as_deref(), Some("copilot-agent"));
}

#[test]
fn a_token_is_refused_wherever_it_hides() {
    let token = meshwire_protocol::finish_token("abcdefghijklmnopqrstuvwxyz0123").unwrap();
    for text in [
        format!("{{\"mesh_id\":\"{token}\"}}"),
        format!("{{\"x\":{{\"deep\":[\"see {token}!\"]}}}}"),
        format!("{{\"{token}\":1}}"),
        "{\"token\":\"x\"}".to_owned(),
        "{\"api_Token\":null}".to_owned(),
        "{\"a\":[{\"b\":{\"token\":\"x\"}}]}".to_owned(),
    ] {
        let failure = MeshFile::find(folder(&text).path()).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage, "{text}");
        assert!(!failure.message().contains("mw_"), "{failure}");
    }
    let failure = MeshFile::find(folder("{\"my_token\":1}").path()).unwrap_err();
    assert!(failure.message().contains("my_token"), "{failure}");
}

#[test]
fn no_text_is_too_strange_and_what_is_taken_stays() {
    // Pseudo-random and the same in every run (SplitMix64).
    let mut state = 7_u64;
    let mut below = |end: usize| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        usize::try_from((mixed ^ (mixed >> 27)) >> 33).unwrap() % end
    };
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "mesh_id",
        "kR9xQpLmW3aZ",
        "agents",
        "harness",
        "x",
        "generic",
        "url",
        "http://x",
        "mw_",
        "\\u0000",
        "\u{202e}",
        "1e400",
        "null",
        " ",
        "\n",
        "é",
    ];
    let path = PathBuf::from(FILE_NAME);
    let edits = vec![Edit::is(&["mesh_id"], "AAAAAAAAAAAA"), Edit::is(&["agents", "pi"], "pi-1")];
    let content = Content::Settings { format: Format::Json, edits };
    let edit = FileEdit { path: path.clone(), place: Place::Project, content };
    let user = User::new(Path::new("/p"), "pi");
    let mut taken = 0;
    for _ in 0..20_000 {
        let mut text = TEXT.to_owned();
        for _ in 0..=below(3) {
            let mut at = below(text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let until = (at + below(8)).min(text.len());
            let until = (until..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap();
            text.replace_range(at..until, pieces[below(pieces.len())]);
        }
        if MeshFile::parse(path.clone(), &text).is_err() {
            continue;
        }
        // A number that no reader can hold is one of those that are left alone.
        let Ok((new, [back, _])) = wiring::try_out(&edit, Some(&text), &user) else { continue };
        taken += 1;
        let file = MeshFile::parse(path.clone(), &new).unwrap();
        assert_eq!(file.mesh_id().unwrap().unwrap().as_str(), "AAAAAAAAAAAA", "{text}");
        assert_eq!(file.agents().unwrap().last().unwrap().1, "pi-1", "{text}");
        assert_eq!(back, text);
    }
    assert!(taken > 500, "{taken}");
}

#[test]
fn slips_name_the_file_and_the_key() {
    for (text, key) in [
        ("{\"mesh_id\":\"short\"}", "mesh_id"),
        ("{\"mesh_id\":7}", "mesh_id"),
        ("{\"agent_name\":\"a b\"}", "agent_name"),
        ("{\"harness\":\"vim\"}", "harness"),
        ("{\"url\":\"ftp://x\"}", "url"),
        ("{\"agents\":[]}", "agents"),
        ("{\"agents\":{\"copilot\":\"all\"}}", "agents"),
        ("[]", "line 1"),
        ("{", "line 1"),
    ] {
        let failure = MeshFile::find(folder(text).path()).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage, "{text}");
        assert!(failure.message().contains(FILE_NAME), "{failure}");
        assert!(failure.message().contains(key), "{failure}");
    }
}
