//! Projects whose folders are moved or renamed: what we hold for them goes along.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use meshwire_protocol::MeshId;

use super::ledger::{Held, Ledger, User, folder_of};
use crate::failure::Outcome;
use crate::mesh_file::MeshFile;

/// By what a project is known again in another folder.
pub(crate) type Identity = (String, String);

impl Ledger {
    /// Takes what is held for a project over from a folder that is there no more, when this was it. A folder for which
    /// something is held already was not: its clones have the same identity.
    pub(crate) fn follow(&mut self, file: &MeshFile) {
        let Some(here) = file.path().parent().filter(|_| file.is_on_disk()) else { return };
        let Ok(Some(mesh)) = file.mesh_id() else { return };
        let Ok(identity) = identity(file, &mesh) else { return };
        let folder = |key: &str| folder_of(key).map(PathBuf::from);
        if self.users.keys().any(|key| folder(key).is_some_and(|folder| folder == here)) {
            return;
        }
        // Of several that have gone, it can have been one only.
        let moved = self
            .users
            .iter()
            .filter(|(_, done)| done.project.as_ref() == Some(&identity))
            .filter_map(|(key, _)| folder(key))
            .find(|folder| !folder.exists());
        if let Some(from) = moved {
            self.carry(&from, here);
        }
    }

    fn carry(&mut self, from: &Path, to: &Path) {
        let (gone, new) = (from.to_string_lossy(), to.to_string_lossy());
        let place = |path: &Path| path.strip_prefix(from).ok().map(|below| to.join(below));
        for (key, done) in std::mem::take(&mut self.users) {
            let moved = key.strip_suffix(gone.as_ref()).filter(|harness| harness.ends_with(':'));
            let key = moved.map_or(key.clone(), |harness| format!("{harness}{new}"));
            self.users.entry(key).or_insert(done);
        }
        let folders = std::mem::take(&mut self.folders);
        self.folders = folders.into_iter().map(|path| place(&path).unwrap_or(path)).collect();
        let follow = |users: &mut BTreeSet<User>| {
            let all = std::mem::take(users).into_iter();
            users.extend(all.map(|user| {
                if user.project == gone { User::new(to, &user.harness) } else { user }
            }));
        };
        for (key, mut record) in std::mem::take(&mut self.files) {
            match &mut record.content {
                Held::Own { users, .. } => follow(users),
                Held::Some(puts) => puts.values.iter_mut().for_each(|put| follow(&mut put.users)),
            }
            let path: Option<PathBuf> = place(Path::new(&key)).filter(|_| record.in_project);
            let key = path.map_or(key, |path| path.to_string_lossy().into_owned());
            self.files.entry(key).or_insert(record);
        }
    }
}

/// The mesh of a project, and the name that its file gives it.
pub(crate) fn identity(file: &MeshFile, mesh: &MeshId) -> Outcome<Identity> {
    Ok((mesh.to_string(), file.workspace_name()?))
}
