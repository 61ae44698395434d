//! What was put into which file, and for whom: `~/.meshwire/wiring.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use meshwire_protocol::MeshId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};

use super::document::Format;
use super::moved::Identity;
use super::patch::WayBack;
use crate::harness::NAME;

/// Everything that was put anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// By the path of the file.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, Record>,
    /// The folders that were made for them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) folders: BTreeSet<PathBuf>,
    /// What else was done for a project's harness, by [`User::key`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) users: BTreeMap<String, Done>,
    /// What a later version wrote.
    #[serde(flatten)]
    more: Map<String, Json>,
}

/// What was done for a project's harness besides files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    /// The project as its file named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<Identity>,
    /// The mesh of its agent, and the name that was asked for there: a teammate may have that, and this computer another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<(MeshId, String)>,
    /// The program that its files start.
    #[serde(default)]
    pub(crate) program: String,
    /// The id of the token that was made for it, and the server that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<(String, String)>,
}

/// Who needs something: a harness in a project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct User {
    /// The project's folder.
    pub(crate) project: String,
    /// The harness.
    pub(crate) harness: String,
}

/// What we did to a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Whether it was not there before.
    #[serde(default)]
    pub(crate) created: bool,
    /// Whether it is in a project.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) in_project: bool,
    /// What is in it.
    pub(crate) content: Held,
}

/// What we hold in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Held {
    /// All of it.
    Own {
        /// Of the text as we wrote it.
        sha256: String,
        /// For whom.
        users: BTreeSet<User>,
    },
    /// Some of it.
    Some(Puts),
}

impl Default for Held {
    fn default() -> Self {
        Self::Some(Puts::default())
    }
}

/// What we put into a file of others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Puts {
    /// How it is written; a text of lines has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<Format>,
    /// In the order in which they were put.
    pub(super) values: Vec<Put>,
    /// The objects and lists that were made on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) made: Vec<Vec<String>>,
    /// The way back to the text before us, while nobody else writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) back: Option<Back>,
}

/// The way back to a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Back {
    /// Of the text that it leads from.
    pub(super) sha256: String,
    pub(super) way: WayBack,
}

/// A value that we put somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Put {
    /// Where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) path: Vec<String>,
    /// Whether it is an element of the list there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) element: bool,
    /// What.
    pub(super) value: Json,
    /// What was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<Json>,
    /// For whom.
    pub(super) users: BTreeSet<User>,
}

impl Put {
    /// Whether it is at the same place as another one, so that it replaces it.
    pub(super) fn stands_for(&self, other: &Self) -> bool {
        // A line has no place but what it says.
        let lines = self.path.is_empty() && self.value != other.value;
        self.path == other.path && self.element == other.element && !lines
    }
}

impl User {
    /// Takes somebody out, and those whose projects are there no more.
    pub(super) fn leave(&self, users: &mut BTreeSet<Self>) {
        users.retain(|user| user != self && Path::new(&user.project).exists());
    }

    /// A harness in a project.
    pub(crate) fn new(project: &Path, harness: &str) -> Self {
        Self { project: project.to_string_lossy().into_owned(), harness: harness.to_owned() }
    }

    /// As one text.
    pub(crate) fn key(&self) -> String {
        format!("{}:{}", self.harness, self.project)
    }
}

/// The folder in a [`User::key`].
pub(super) fn folder_of(key: &str) -> Option<&str> {
    key.split_once(':').map(|(_, folder)| folder)
}

impl Ledger {
    /// Whether anything was done for somebody.
    pub(crate) fn knows(&self, user: &User) -> bool {
        self.users.contains_key(&user.key()) || self.files.values().any(|file| file.is_for(user))
    }

    /// Takes out those whose folders are there no more, and the files in those; what was done for each folder. What they
    /// put into files below the home folder stays until another one takes it out, who knows then what was there before.
    pub(crate) fn take_gone(&mut self) -> Vec<(String, Done)> {
        let is_there = |project: &str| Path::new(project).exists();
        self.files.retain(|_, record| {
            !record.in_project
                || record.sets().into_iter().flatten().any(|user| is_there(&user.project))
        });
        let all = std::mem::take(&mut self.users).into_iter();
        let (gone, left): (Vec<_>, Vec<_>) =
            all.partition(|(key, _)| folder_of(key).is_some_and(|folder| !is_there(folder)));
        self.users = left.into_iter().collect();
        let folder = |key: &str| folder_of(key).unwrap_or_default().to_owned();
        gone.into_iter().map(|(key, done)| (folder(&key), done)).collect()
    }

    /// Remembers the program that files start, for whoever shares them: below the home folder all projects do.
    pub(crate) fn set_program(&mut self, user: &User, program: &str) {
        let mut users = BTreeSet::from([user.key()]);
        for record in self.files.values().filter(|record| !record.in_project) {
            let shared = record.sets().into_iter().filter(|users| users.contains(user)).flatten();
            users.extend(shared.map(User::key));
        }
        for key in users {
            program.clone_into(&mut self.users.entry(key).or_default().program);
        }
    }

    /// Whether a file is there for somebody.
    pub(crate) fn holds(&self, path: &Path, user: &User) -> bool {
        self.files.get(path.to_string_lossy().as_ref()).is_some_and(|file| file.is_for(user))
    }

    /// The name of our server where each project needs one of its own: the plain one, when no other project has it.
    pub(crate) fn server_name(&self, user: &User) -> String {
        let shared = self.files.values().filter(|record| !record.in_project);
        let puts = shared.filter_map(|record| match &record.content {
            Held::Some(puts) => Some(&puts.values),
            Held::Own { .. } => None,
        });
        let servers: Vec<_> = puts
            .flatten()
            .filter(|put| put.users.iter().any(|other| other.harness == user.harness))
            .filter_map(|put| Some((put.path.get(1)?, &put.users)))
            .collect();
        if let Some((own, _)) = servers.iter().find(|(_, users)| users.contains(user)) {
            return (*own).clone();
        }
        let folder = Path::new(&user.project).file_name().unwrap_or_default().to_string_lossy();
        let folder: String = folder
            .to_ascii_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let names = [NAME.to_owned(), format!("{NAME}-{folder}")];
        let more = (2..).map(|number| format!("{NAME}-{folder}-{number}"));
        let free = |name: &String| !servers.iter().any(|(taken, _)| *taken == name);
        names.into_iter().chain(more).find(free).unwrap_or_default()
    }
}

impl Record {
    /// Somebody has removed the file: what was in it before us comes back no more.
    pub(super) fn start_anew(&mut self) {
        self.created = true;
        if let Held::Some(puts) = &mut self.content {
            puts.values.iter_mut().for_each(|put| put.before = None);
            puts.made.clear();
            puts.back = None;
        }
    }

    /// The lines that we hold in a file of lines.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        let puts = match &self.content {
            Held::Some(puts) if puts.format.is_none() => puts.values.as_slice(),
            _ => &[],
        };
        puts.iter().filter_map(|put| put.value.as_str())
    }

    /// Whether anybody needs anything of it.
    pub(super) fn is_needed(&self) -> bool {
        match &self.content {
            Held::Own { users, .. } => !users.is_empty(),
            Held::Some(puts) => !puts.values.is_empty(),
        }
    }

    /// Whether somebody needs something of it.
    pub(crate) fn is_for(&self, user: &User) -> bool {
        self.sets().iter().any(|users| users.contains(user))
    }

    /// Who needs it, for each part of it.
    fn sets(&self) -> Vec<&BTreeSet<User>> {
        match &self.content {
            Held::Own { users, .. } => vec![users],
            Held::Some(puts) => puts.values.iter().map(|put| &put.users).collect(),
        }
    }
}

/// The SHA-256 of a text, in hexadecimal digits.
pub(super) fn sha256(text: &str) -> String {
    use std::fmt::Write as _;

    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

impl Puts {
    /// Who needs the value that we put at a path.
    pub(super) fn place(&self, path: &[String]) -> Option<&BTreeSet<User>> {
        self.values.iter().find(|put| put.path == path && !put.element).map(|put| &put.users)
    }

    /// The text as it was before us, as far as it can be told.
    pub(super) fn original(&self, text: &str) -> Option<String> {
        match &self.back {
            Some(back) if back.sha256 == sha256(text) => back.way.apply(text),
            None if self.values.is_empty() => Some(text.to_owned()),
            _ => None,
        }
    }

    /// Remembers the way back from the text that is written now.
    pub(super) fn lead_back(&mut self, original: Option<&str>, text: &str) {
        self.back = original
            .map(|original| Back { sha256: sha256(text), way: WayBack::between(original, text) });
    }
}
