//! A DynamoDB Local of the test's own, with its data in files.

use std::path::PathBuf;
use std::process::Command;

use aws_sdk_dynamodb::Client;

use crate::dynamodb;
use crate::own::{Own, Process};
use crate::site::{Site, config};

pub(crate) struct Local {
    process: Process,
    table: String,
}

impl Own for Local {
    const STOP: &str = "-TERM";

    fn new(process: Process) -> Self {
        Self { process, table: dynamodb::table() }
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn command(&self) -> Command {
        let program = std::env::var_os("MESHWIRE_TEST_DYNAMODB_LOCAL")
            .expect("MESHWIRE_TEST_DYNAMODB_LOCAL: run this by infra/test.sh -- cargo test …");
        let program = PathBuf::from(program);
        let mut command = Command::new("java");
        command
            .current_dir(&program)
            .args([
                "-Xmx512m",
                "-Djava.library.path=DynamoDBLocal_lib",
                "-jar",
                "DynamoDBLocal.jar",
            ])
            .args(["-disableTelemetry", "-port", &self.process.port.to_string(), "-dbPath"])
            .arg(self.process.path());
        command
    }

    async fn answers(&self) -> bool {
        Client::from_conf(config(&self.endpoint()).build()).list_tables().send().await.is_ok()
    }

    fn site(&self) -> Site {
        Site::table(self.table.clone(), self.endpoint())
    }
}

impl Local {
    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.process.port)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.process.end_if_it_runs("-KILL");
    }
}
