//! Starts the service: settings, store, socket; stops it when told to.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use meshwire_server::app::App;
use meshwire_server::clock::Clock;
use meshwire_server::settings::{Args, Command, LogFormat, Settings};
use meshwire_server::{
    healthcheck, listen, log, moving, request_id, routes, settings, sign_in, store, users,
};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use url::Url;

/// Connections of those who read metrics.
const METRICS_CONNECTIONS: usize = 64;

fn main() -> ExitCode {
    let args = match Args::read() {
        Ok(args) => args,
        Err(error) => return refuse_arguments(&error),
    };
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong with a flag or with a variable of the environment; prints the help when it was asked for.
fn refuse_arguments(error: &clap::Error) -> ExitCode {
    match settings::refusal(error) {
        Some(refusal) => drop(writeln!(std::io::stderr(), "error: {refusal}")),
        None => drop(error.print()),
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn start(mut args: Args) -> Result<()> {
    match args.command.take() {
        // Before the settings are checked: that makes files, and other settings are not for this to judge.
        Some(Command::Healthcheck) => healthcheck::run(args.bind),
        None => {
            let settings = Settings::check(args)?;
            begin(&settings.log, settings.log_format)?.block_on(run(settings))
        }
        Some(Command::User(command)) => {
            let runtime = begin(&args.log, args.log_format)?;
            tell(std::io::stdout(), &runtime.block_on(users::run(&args, command))?)
        }
        Some(Command::Export(export)) => {
            let place = args.place()?;
            let runtime = begin_to_move(&args)?;
            let told = runtime.block_on(moving::export(&place, &export))?;
            match export.file {
                Some(_) => tell(std::io::stdout(), &told),
                None => tell(std::io::stderr(), &told),
            }
        }
        Some(Command::Import(import)) => {
            let place = args.place()?;
            let runtime = begin_to_move(&args)?;
            tell(std::io::stdout(), &runtime.block_on(moving::import(&place, &import))?)
        }
    }
}

fn tell(mut out: impl std::io::Write, told: &str) -> Result<()> {
    writeln!(out, "{told}").context("cannot write what became of it")
}

/// That a statement takes long is no news where one reads all messages.
fn begin_to_move(args: &Args) -> Result<Runtime> {
    begin(&format!("{},sqlx=error", args.log), args.log_format)
}

/// Begins to log, and starts the runtime.
fn begin(filter: &str, format: LogFormat) -> Result<Runtime> {
    let filter = EnvFilter::try_new(filter)
        .with_context(|| format!("MESHWIRE_LOG: {filter:?} is not a log filter"))?;
    let writer = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Where the log cannot be written, saying so on stderr would end in a panic: a full disk often holds
        // the log as well.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => {
            let writer = writer.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
            writer.finish().with(filter_fn(log::may_write)).init();
        }
        LogFormat::Json => {
            let writer = writer.json().flatten_event(true).with_span_list(false);
            writer.finish().with(filter_fn(log::may_write)).init();
        }
    }
    request_id::log_panics();
    for unknown in settings::unknown() {
        let meant = unknown.meant.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        tracing::warn!(
            "{} in the environment is no setting, and counts for nothing{meant}",
            unknown.name
        );
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

async fn run(settings: Settings) -> Result<()> {
    let store = store::open(&settings.store).await?;
    let listener = listen::bind(settings.bind)
        .with_context(|| format!("MESHWIRE_BIND: cannot listen on {}", settings.bind))?;
    let address = listener.local_addr()?;
    let metrics_listener = match settings.metrics_bind {
        Some(bind) => Some(
            listen::bind(bind)
                .with_context(|| format!("MESHWIRE_METRICS_BIND: cannot listen on {bind}"))?,
        ),
        None => None,
    };
    let metrics_address = metrics_listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let public_url = match &settings.public_url {
        Some(url) => url.clone(),
        None => Url::parse(&format!("http://{}", users::reachable(address)))?,
    };
    let data = settings.store.to_string();
    let (stop, stopping) = watch::channel(false);
    let metrics_stopping = stopping.clone();
    let app = App::new(settings, public_url, store.clone(), Arc::new(Clock::default()), stopping);
    app.meshes.set_clock().await;
    let set_up = sign_in::first_start(&app).await?;
    // Before anybody is told that it listens: whoever is told may stop it at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    greet(&app, &address.to_string(), &data, metrics_address, set_up.as_deref())?;

    let told_to_stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        // Open polls answer at once, so that their connections can end.
        stop.send_replace(true);
    };
    let limits = listen::Limits::from(&app.settings.limits);
    let exempt = app.settings.trusted_proxies.and_loopback();
    let per_address = app.settings.limits.connections_per_address;
    let admission = listen::Admission::new(per_address, exempt, app.metrics.connections());
    let metrics = serve_metrics(metrics_listener, &app, metrics_stopping);
    let everyone =
        listen::serve(listener, routes::router(app.clone()), limits, admission, told_to_stop);
    tokio::select! {
        (ended, ()) = async { tokio::join!(everyone, metrics) } => {
            if ended.cut_off > 0 {
                tracing::warn!(connections = ended.cut_off, "cut off what took too long to end");
            }
        }
        () = app.meshes.background() => {}
        () = app.meshes.keep_clock() => {}
    }
    app.meshes.flush().await;
    store.close().await;
    Ok(())
}

/// Serves metrics until the server stops; its last word is not waited for.
async fn serve_metrics(
    listener: Option<TcpListener>,
    app: &App,
    mut stopping: watch::Receiver<bool>,
) {
    let Some(listener) = listener else { return };
    let told_to_stop = async move {
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let limits = listen::Limits { max_connections: METRICS_CONNECTIONS, ..Default::default() };
    let (router, admission) = (app.metrics.router(), listen::Admission::default());
    let _ = listen::serve(listener, router, limits, admission, told_to_stop).await;
}

/// Says where the service is and what to do next.
fn greet(
    app: &App,
    address: &str,
    data: &str,
    metrics: Option<SocketAddr>,
    set_up: Option<&str>,
) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "MeshWire {} is listening on http://{address}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "Data: {data}")?;
    if let Some(metrics) = metrics {
        writeln!(out, "Metrics: http://{metrics}/metrics")?;
    }
    writeln!(out)?;
    if let Some(link) = set_up {
        writeln!(
            out,
            "Nobody has an account here yet. Open this link once to make the first one:"
        )?;
        writeln!(out, "  {link}")?;
        writeln!(out)?;
        writeln!(out, "Then sign in on the command line:")?;
    } else {
        writeln!(out, "Sign in on the command line:")?;
    }
    writeln!(out, "  meshwire login --url {}", app.url(""))?;
    out.flush()?;
    Ok(())
}
